//! A transaction as a file. Asks no cluster.
//!
//! ```yaml
//! compare:                                  # all must hold for `then`, or `else` is done
//! - {kind: Pod, name: web, exists: false}   # or resourceVersion: 7, or uid: ...
//! then:
//! - create: {apiVersion: boss.dev/v1, kind: Pod, metadata: {name: web}, spec: ...}
//! - delete: {kind: ConfigMap, name: old, resourceVersion: 7}
//! else:
//! - get: {kind: Pod, name: web}
//! ```

use boss_proto::{
    key::Key,
    kind::Kind,
    manifest,
    v1::{
        Compare, CreateRequest, DeleteRequest, GetRequest, Object, ObjectKey, Preconditions, TxnOperation, TxnRequest,
        UpdateRequest, compare::Condition, txn_operation::Operation,
    },
};
use serde_json::{Map, Value};

const FIELD_MANAGER: &str = "bossctl";

/// Reads the file; objects without a namespace get `namespace`. The error says where and what to write instead.
pub(super) fn parse(text: &str, namespace: &str) -> Result<TxnRequest, String> {
    let value = manifest::value_from_yaml(text).map_err(|problem| problem.to_string())?;
    let mut fields = mapping(value, "the file")?;
    let compare = list(&mut fields, "compare")?;
    let (success, failure) = (list(&mut fields, "then")?, list(&mut fields, "else")?);
    nothing_left(&fields, "the file", "compare, then and else")?;
    if success.is_empty() && failure.is_empty() {
        return Err("both then and else are empty: there is nothing to do".to_owned());
    }
    let each = |values: Vec<Value>, name: &str, read: fn(Value, &str) -> Result<TxnOperation, String>| {
        values
            .into_iter()
            .enumerate()
            .map(|(at, value)| {
                let at = format!("{name}[{at}]");
                read(value, namespace).map_err(|problem| format!("{at}: {problem}"))
            })
            .collect::<Result<Vec<_>, _>>()
    };
    let compare = compare
        .into_iter()
        .enumerate()
        .map(|(at, value)| comparison(value, namespace).map_err(|problem| format!("compare[{at}]: {problem}")));
    Ok(TxnRequest {
        compare: compare.collect::<Result<_, _>>()?,
        success: each(success, "then", operation)?,
        failure: each(failure, "else", operation)?,
        ..TxnRequest::default()
    })
}

/// What lines call the object of an operation.
pub(super) fn name(operation: &TxnOperation) -> String {
    let of_object = |object: Option<&Object>| object.and_then(Object::key);
    let of_key = |key: Option<&ObjectKey>| key.and_then(|key| Key::try_from(key).ok());
    let key = match &operation.operation {
        Some(Operation::Create(create)) => of_object(create.object.as_ref()),
        Some(Operation::Update(update) | Operation::UpdateStatus(update)) => of_object(update.object.as_ref()),
        Some(Operation::Delete(delete)) => of_key(delete.key.as_ref()),
        Some(Operation::Get(get)) => of_key(get.key.as_ref()),
        None => None,
    };
    key.map_or_else(String::new, |key| format!("{}/{}", key.kind.plural(), key.name))
}

fn comparison(value: Value, namespace: &str) -> Result<Compare, String> {
    let mut fields = mapping(value, "a comparison")?;
    let key = key(&mut fields, namespace)?;
    let exists = take(&mut fields, "exists", Value::as_bool, "true or false")?;
    let version = take(&mut fields, "resourceVersion", Value::as_u64, "a whole number")?;
    let uid = take(&mut fields, "uid", text, "a text")?;
    nothing_left(&fields, "a comparison", "kind, namespace, name and one of exists, resourceVersion and uid")?;
    let condition = match (exists, version, uid) {
        (Some(exists), None, None) => Condition::Exists(exists),
        (None, Some(version), None) => Condition::ResourceVersion(version),
        (None, None, Some(uid)) => Condition::Uid(uid),
        _ => return Err("needs exactly one of exists, resourceVersion and uid".to_owned()),
    };
    Ok(Compare { key: Some(key), condition: Some(condition) })
}

fn operation(value: Value, namespace: &str) -> Result<TxnOperation, String> {
    let fields = mapping(value, "an operation")?;
    let mut fields = fields.into_iter();
    let (Some((verb, what)), None) = (fields.next(), fields.next()) else {
        return Err("needs exactly one of create, update, updateStatus, delete and get".to_owned());
    };
    let field_manager = FIELD_MANAGER.to_owned();
    let operation = match verb.as_str() {
        "create" => {
            let object = Some(object(what, namespace)?);
            Operation::Create(CreateRequest { object, field_manager, ..CreateRequest::default() })
        }
        "update" | "updateStatus" => {
            let object = Some(object(what, namespace)?);
            let request = UpdateRequest { object, field_manager, ..UpdateRequest::default() };
            if verb == "update" { Operation::Update(request) } else { Operation::UpdateStatus(request) }
        }
        "delete" => Operation::Delete(deletion(what, namespace)?),
        "get" => {
            let mut fields = mapping(what, "get")?;
            let key = Some(key(&mut fields, namespace)?);
            nothing_left(&fields, "get", "kind, namespace and name")?;
            Operation::Get(GetRequest { key, ..GetRequest::default() })
        }
        other => return Err(format!("{other:?} is no operation: use create, update, updateStatus, delete or get")),
    };
    Ok(TxnOperation { operation: Some(operation) })
}

fn deletion(value: Value, namespace: &str) -> Result<DeleteRequest, String> {
    let mut fields = mapping(value, "delete")?;
    let key = Some(key(&mut fields, namespace)?);
    let version = take(&mut fields, "resourceVersion", Value::as_u64, "a whole number")?;
    let uid = take(&mut fields, "uid", text, "a text")?;
    nothing_left(&fields, "delete", "kind, namespace, name, resourceVersion and uid")?;
    let preconditions =
        (version.is_some() || uid.is_some()).then_some(Preconditions { resource_version: version, uid });
    Ok(DeleteRequest { key, preconditions, ..DeleteRequest::default() })
}

fn object(value: Value, namespace: &str) -> Result<Object, String> {
    let mut object = manifest::from_value(value).map_err(|problem| problem.to_string())?;
    let namespaced = object.kind().is_some_and(Kind::is_namespaced);
    if let Some(metadata) = object.metadata_mut().filter(|metadata| namespaced && metadata.namespace.is_empty()) {
        namespace.clone_into(&mut metadata.namespace);
    }
    Ok(object)
}

fn key(fields: &mut Map<String, Value>, namespace: &str) -> Result<ObjectKey, String> {
    let kind = take(fields, "kind", text, "a text")?.ok_or("kind is missing")?;
    let name = take(fields, "name", text, "a text")?.ok_or("name is missing")?;
    let given = take(fields, "namespace", text, "a text")?;
    let kind: Kind = kind.parse().map_err(|error| format!("kind: {error}"))?;
    let namespace = given.unwrap_or_else(|| if kind.is_namespaced() { namespace.to_owned() } else { String::new() });
    let key = ObjectKey { kind: kind.to_string(), namespace, name };
    Key::try_from(&key).map_err(|bad| bad.to_string())?;
    Ok(key)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn take<T>(
    fields: &mut Map<String, Value>,
    name: &str,
    read: impl FnOnce(&Value) -> Option<T>,
    expected: &str,
) -> Result<Option<T>, String> {
    match fields.remove(name) {
        None => Ok(None),
        Some(value) => read(&value).map(Some).ok_or_else(|| format!("{name} must be {expected}, not {value}")),
    }
}

fn list(fields: &mut Map<String, Value>, name: &str) -> Result<Vec<Value>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => Ok(values),
        Some(_) => Err(format!("{name} must be a list")),
    }
}

fn mapping(value: Value, what: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(format!("{what} must be a mapping")),
    }
}

fn nothing_left(fields: &Map<String, Value>, what: &str, possible: &str) -> Result<(), String> {
    fields.keys().next().map_or(Ok(()), |field| Err(format!("{field:?} is no field of {what}: there are {possible}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
compare:
- {kind: Pod, name: web, exists: false}
- {kind: Node, name: n1, uid: u1}
- {kind: ConfigMap, namespace: team, name: c, resourceVersion: 7}
then:
- create: {apiVersion: boss.dev/v1, kind: ConfigMap, metadata: {name: c2}, data: {a: b}}
- update: {apiVersion: boss.dev/v1, kind: ConfigMap, metadata: {name: c, namespace: team, resourceVersion: 7}}
- delete: {kind: ConfigMap, name: old, resourceVersion: 3}
else:
- get: {kind: Pod, name: web}
";

    #[test]
    fn comparisons_and_both_lists_are_read_with_the_namespace_of_the_command_line() {
        let txn = parse(WHOLE, "mine").unwrap();
        assert_eq!(txn.compare.len(), 3);
        assert_eq!(txn.compare[0].key.as_ref().unwrap().namespace, "mine");
        assert_eq!(txn.compare[0].condition, Some(Condition::Exists(false)));
        assert_eq!(txn.compare[1].key.as_ref().unwrap().namespace, "");
        assert_eq!(txn.compare[2].key.as_ref().unwrap().namespace, "team");
        let names: Vec<String> = txn.success.iter().chain(&txn.failure).map(name).collect();
        assert_eq!(names, ["configmaps/c2", "configmaps/c", "configmaps/old", "pods/web"]);
        let Some(Operation::Create(create)) = &txn.success[0].operation else { panic!("no create") };
        assert_eq!(create.object.as_ref().unwrap().metadata().unwrap().namespace, "mine");
        let Some(Operation::Delete(delete)) = &txn.success[2].operation else { panic!("no delete") };
        assert_eq!(delete.preconditions.as_ref().unwrap().resource_version, Some(3));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |text: &str, expected: &str| {
            let problem = parse(text, "default").unwrap_err();
            assert!(problem.contains(expected), "{text}: {problem}");
        };
        check("then: []\n", "nothing to do");
        check("- a\n", "the file must be a mapping");
        check("when: []\nthen: [{get: {kind: Pod, name: a}}]", "\"when\" is no field of the file");
        check("then: {}", "then must be a list");
        check("then: [{get: {kind: Pod}}]", "then[0]: name is missing");
        check("then: [{get: {kind: Pot, name: a}}]", "then[0]: kind:");
        check("then: [{put: {}}]", "then[0]: \"put\" is no operation");
        check("then: [{}]", "then[0]: needs exactly one of create");
        check("then: [{create: {kind: Pod}}]", "then[0]: apiVersion");
        check("compare: [{kind: Pod, name: a}]\nthen: [{get: {kind: Pod, name: a}}]", "compare[0]: needs exactly one");
        check(
            "compare: [{kind: Pod, name: a, exists: maybe}]\nthen: [{get: {kind: Pod, name: a}}]",
            "compare[0]: exists must be true or false",
        );
        check("then: [{get: {kind: Node, name: a, namespace: x}}]", "then[0]: namespace");
    }
}
