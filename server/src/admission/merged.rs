//! Writes that say only a part: merge patches and applies. Both become the whole object here, as the leader sees it,
//! and go on as an update; when the object moves meanwhile, they are merged anew.

use boss_proto::{
    key::Key,
    limits::FIELD_MANAGER_LEN_MAX,
    manifest::{self, Problem},
    raft::v1::Operation,
    v1::{ApplyRequest, ManagedFields, Object, PatchRequest},
};
use boss_raft::state::{Record, rbac::Attributes};
use pbjson_types::Timestamp;
use serde_json::Value;

use super::{
    Case, Refusal, checks, defaults,
    fields::{self, Managers},
    metadata, take_object,
};

/// Who owns what an update changes.
pub(super) enum Manager<'a> {
    /// Whoever writes: under this name, or the caller's own.
    Writer(&'a str),
    /// An apply has found it out.
    Applied(Vec<ManagedFields>),
}

impl Case<'_> {
    pub(super) fn patch(&self, request: PatchRequest) -> Result<Operation, Refusal> {
        let key = checks::key(request.key)?;
        let attributes = Attributes::on("patch", &key);
        self.authorize(&if request.status { attributes.part("status") } else { attributes })?;
        if self.done().is_some() {
            return Ok(self.again(&key, request.status));
        }
        let patch = parse(&request.merge_patch, "mergePatch")?;
        check_patch(&patch, request.status)?;
        let stored = self.stored(&key)?.ok_or_else(|| Refusal::NotFound { key: key.clone() })?;
        let patched = fields::merge_patch(bare(&stored.object), &patch);
        let object = typed(patched)?;
        if object.key().as_ref() != Some(&key) {
            return Err(Refusal::invalid("metadata.name", "cannot be patched, nor can namespace and kind", ""));
        }
        let mut operation = if request.status {
            self.update_status_as(object, &key)?
        } else {
            self.update_as(object, &key, &Manager::Writer(&request.field_manager))?
        };
        // What the patch itself says comes on top of what the call demands.
        let preconditions = match (request.preconditions, operation.preconditions.take()) {
            (Some(wanted), Some(said)) => Some(boss_proto::v1::Preconditions {
                resource_version: said.resource_version.or(wanted.resource_version),
                uid: said.uid.or(wanted.uid),
            }),
            (wanted, said) => said.or(wanted),
        };
        Ok(Operation { patch: true, any_revision: false, preconditions, ..self.pinned(operation, &stored) })
    }

    pub(super) fn apply(&self, request: ApplyRequest) -> Result<Operation, Refusal> {
        check_manager(&request.field_manager, true)?;
        let said = parse(&request.manifest, "manifest")?;
        let (mut object, key) = take_object(Some(typed(said.clone())?))?;
        self.authorize(&Attributes::on("patch", &key))?;
        if self.view.get(&key).is_none() {
            self.authorize(&Attributes::on("create", &key))?;
        }
        if self.done().is_some() {
            return Ok(self.again(&key, false));
        }
        let stored = self.stored(&key)?;
        let stored = stored.as_ref();
        let (version, uid) = object.metadata().map_or((0, String::new()), |m| (m.resource_version, m.uid.clone()));
        defaults::normalize(&mut object);
        let wanted = wanted(&said, &object);
        let mut managers = Managers::read(stored.map_or(&[], |stored| &stored.metadata().managed_fields));
        let live = stored.map_or_else(|| bare(&metadata::empty(&key)), |stored| bare(&stored.object));
        let now = self.now();
        let merged = managers
            .apply(&request.field_manager, &live, &wanted, request.force, now)
            .map_err(Refusal::FieldConflicts)?;
        let mut object = typed(merged)?;
        let Some(stored) = stored else { return self.create_as(object, &key, managers.write()) };
        if let Some(metadata) = object.metadata_mut() {
            metadata.resource_version = version;
            metadata.uid = uid;
        }
        let operation = self.update_as(object, &key, &Manager::Applied(managers.write()))?;
        Ok(Operation { patch: true, ..self.pinned(operation, stored) })
    }

    /// Writes down who owns the fields of an updated object.
    pub(super) fn own_fields(
        &self,
        stored: Option<&Record>,
        object: &mut Object,
        manager: &Manager<'_>,
    ) -> Result<(), Refusal> {
        let managed = match manager {
            Manager::Applied(managed) => managed.clone(),
            Manager::Writer(name) => {
                check_manager(name, false)?;
                // Until somebody applies an object, its fields belong to nobody, and nobody pays for them.
                let stored = stored.filter(|stored| !stored.metadata().managed_fields.is_empty());
                let Some(stored) = stored else { return Ok(()) };
                let name = if name.is_empty() { &self.identity.username } else { *name };
                let mut managers = Managers::read(&stored.metadata().managed_fields);
                managers.changed(name, &manifest::to_value(&stored.object), &manifest::to_value(object), self.now());
                managers.write()
            }
        };
        if let Some(metadata) = object.metadata_mut() {
            metadata.managed_fields = managed;
        }
        Ok(())
    }

    fn now(&self) -> Timestamp {
        let ms = self.stamp.now_ms;
        Timestamp { seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX), nanos: 0 }
    }

    /// Merged from this very version: another one is merged anew.
    fn pinned(&self, operation: Operation, stored: &Record) -> Operation {
        Operation { admitted_revision: stored.revision.0, ..operation }
    }

    /// A request that has had its effect: apply answers it before it looks at the object.
    fn again(&self, key: &Key, status: bool) -> Operation {
        use boss_proto::raft::v1::{Update, UpdateStatus, operation::Action};
        let object = Some(metadata::empty(key));
        let action =
            if status { Action::UpdateStatus(UpdateStatus { object }) } else { Action::Update(Update { object }) };
        Operation { patch: true, ..self.operation(key, None, None, action) }
    }
}

/// The object as managers and patches see it. Its version and uid count only when somebody says them.
fn bare(object: &Object) -> Value {
    let mut value = manifest::to_value(object);
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        for name in ["resourceVersion", "uid", "managedFields"] {
            metadata.remove(name);
        }
    }
    value
}

fn parse(text: &[u8], field: &str) -> Result<Value, Refusal> {
    let value = manifest::value_from_json(text).map_err(|problem| Refusal::invalid(field, problem.to_string(), ""))?;
    if value.is_object() { Ok(value) } else { Err(Refusal::invalid(field, "is no JSON object", "")) }
}

fn typed(value: Value) -> Result<Object, Refusal> {
    manifest::from_value(value).map_err(|problem| match problem {
        Problem::ObjectTooLarge { bytes, max } => Refusal::TooLarge { bytes, max },
        other => Refusal::invalid(other.field().unwrap_or_default().to_owned(), other.to_string(), ""),
    })
}

/// A patch of the status touches nothing else, and one of the rest no status: silence would hide the mistake.
fn check_patch(patch: &Value, status: bool) -> Result<(), Refusal> {
    let Value::Object(fields) = patch else { return Ok(()) };
    let stray = fields.keys().find(|name| match name.as_str() {
        "apiVersion" | "kind" | "metadata" => false,
        "status" => !status,
        _ => status,
    });
    match stray {
        Some(name) if name == "status" => {
            Err(Refusal::invalid("status", "is patched by a call of its own", "patch the status with --status"))
        }
        Some(name) => Err(Refusal::invalid(name.clone(), "is no part of the status", "leave --status out")),
        None => Ok(()),
    }
}

fn check_manager(name: &str, needed: bool) -> Result<(), Refusal> {
    let problem = match name {
        "" if needed => "is empty".to_owned(),
        _ if name.len() > FIELD_MANAGER_LEN_MAX => {
            format!("has {} bytes, the limit is {FIELD_MANAGER_LEN_MAX}", name.len())
        }
        _ if name.chars().any(char::is_control) => "has control characters".to_owned(),
        _ => return Ok(()),
    };
    Err(Refusal::invalid("fieldManager", problem, "name the program or person that applies"))
}

/// The manifest in the canonical form of the object, with the fields that it sets to their zero: the object's own JSON
/// does not show those, but their manager means them.
fn wanted(said: &Value, object: &Object) -> Value {
    let mut canonical = bare(object);
    if let Value::Object(fields) = &mut canonical {
        fields.remove("status");
    }
    let mut said = said.clone();
    if let Value::Object(fields) = &mut said {
        fields.remove("status");
        if let Some(Value::Object(spec)) = fields.get_mut("spec") {
            // An alias, which has become the class.
            spec.retain(|name, _| name != "runtimeClass" && name != "runtime_class");
        }
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.retain(|name, _| ["name", "namespace", "labels", "annotations", "finalizers"].contains(&&**name));
        }
    }
    add_zeros(&said, &mut canonical);
    canonical
}

fn add_zeros(said: &Value, canonical: &mut Value) {
    match (said, canonical) {
        (Value::Object(said), Value::Object(canonical)) => {
            for (name, value) in said.iter().filter(|(_, value)| !value.is_null()) {
                let name = if canonical.contains_key(name) { name.clone() } else { camel(name) };
                match canonical.get_mut(&name) {
                    Some(inner) => add_zeros(value, inner),
                    None if is_zero(value) => {
                        canonical.insert(name, value.clone());
                    }
                    None => {}
                }
            }
        }
        (Value::Array(said), Value::Array(canonical)) => {
            said.iter().zip(canonical).for_each(|(said, canonical)| add_zeros(said, canonical));
        }
        _ => {}
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Array(items) => items.is_empty(),
        Value::Object(_) | Value::Null => false,
    }
}

/// Manifests may write `node_name` for `nodeName`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.extend(letters);
    }
    text
}
