//! What a container takes from secrets and config maps: read from the registry when it starts, given to the sandbox,
//! and kept nowhere. Errors name objects and keys, never a value.

use std::collections::BTreeMap;

use boss_client::{Client, Error as ClientError};
use boss_proto::{
    key::Key,
    kind::Kind,
    limits::SANDBOX_VALUES_BYTES_MAX,
    references,
    v1::{self, EnvFromSource, EnvVarSource, Object, object::Body},
};
use bytes::Bytes;

use crate::sandbox::Values;

/// The content of an object by its keys; `None` for one that is not there.
type Found = BTreeMap<Key, Option<BTreeMap<String, Bytes>>>;

/// One reference, whatever it names.
struct Reference<'a> {
    kind: Kind,
    name: &'a str,
    /// Absent for the whole object.
    key: Option<&'a str>,
    optional: bool,
}

/// Reads what the pod's container names, or says what is missing.
pub(super) async fn resolve(client: &Client, pod: &v1::Pod) -> Result<Values, String> {
    let namespace = pod.metadata.as_ref().map_or("", |metadata| &metadata.namespace);
    let Some(spec) = &pod.spec else { return Ok(Values::default()) };
    let mut found = Found::new();
    for key in references::of(namespace, spec) {
        let content = match client.get(&key).await {
            Ok(object) => Some(content(object)),
            Err(ClientError::NotFound(_)) => None,
            Err(error) => return Err(format!("cannot read {key}: {error}")),
        };
        found.insert(key, content);
    }
    spec.containers.first().map_or_else(|| Ok(Values::default()), |container| collect(namespace, container, &found))
}

fn content(object: Object) -> BTreeMap<String, Bytes> {
    match object.body {
        Some(Body::Secret(secret)) => secret.data,
        Some(Body::ConfigMap(map)) => {
            let texts = map.data.into_iter().map(|(key, text)| (key, Bytes::from(text)));
            texts.chain(map.binary_data).collect()
        }
        _ => BTreeMap::new(),
    }
}

/// The variables, from what was found.
fn collect(namespace: &str, container: &v1::Container, found: &Found) -> Result<Values, String> {
    let mut variables = BTreeMap::new();
    for from in &container.env_from {
        let Some(reference) = whole(from) else { continue };
        let Some(content) = look(namespace, &reference, found)? else { continue };
        for (key, value) in content {
            let name = format!("{}{key}", from.prefix);
            // A key of a file makes no variable.
            if is_variable(&name) {
                variables.insert(name, text(&reference, key, value)?);
            }
        }
    }
    for variable in &container.env {
        // What stands in env counts before what whole objects give.
        variables.remove(&variable.name);
        let Some(reference) = variable.value_from.as_ref().and_then(one) else { continue };
        let Some(content) = look(namespace, &reference, found)? else { continue };
        let key = reference.key.unwrap_or_default();
        match content.get(key) {
            Some(value) => drop(variables.insert(variable.name.clone(), text(&reference, key, value)?)),
            None if reference.optional => {}
            None => return Err(format!("{} {} has no key {key:?}", reference.kind, reference.name)),
        }
    }
    let values: Values = variables.into_iter().collect();
    if values.bytes() > SANDBOX_VALUES_BYTES_MAX {
        let problem = format!("{} bytes are given to the container, the limit is", values.bytes());
        return Err(format!("{problem} {SANDBOX_VALUES_BYTES_MAX}: name single keys"));
    }
    Ok(values)
}

fn one(from: &EnvVarSource) -> Option<Reference<'_>> {
    match (&from.secret_key_ref, &from.config_map_key_ref) {
        (Some(it), _) => {
            Some(Reference { kind: Kind::Secret, name: &it.name, key: Some(&it.key), optional: it.optional })
        }
        (None, Some(it)) => {
            Some(Reference { kind: Kind::ConfigMap, name: &it.name, key: Some(&it.key), optional: it.optional })
        }
        (None, None) => None,
    }
}

fn whole(from: &EnvFromSource) -> Option<Reference<'_>> {
    match (&from.secret_ref, &from.config_map_ref) {
        (Some(it), _) => Some(Reference { kind: Kind::Secret, name: &it.name, key: None, optional: it.optional }),
        (None, Some(it)) => Some(Reference { kind: Kind::ConfigMap, name: &it.name, key: None, optional: it.optional }),
        (None, None) => None,
    }
}

fn look<'f>(
    namespace: &str,
    reference: &Reference<'_>,
    found: &'f Found,
) -> Result<Option<&'f BTreeMap<String, Bytes>>, String> {
    let content = found.get(&Key::new(reference.kind, namespace, reference.name)).and_then(Option::as_ref);
    match content {
        None if !reference.optional => Err(format!("{} {} does not exist", reference.kind, reference.name)),
        content => Ok(content),
    }
}

/// The kernel takes texts up to the first zero byte.
fn text(reference: &Reference<'_>, key: &str, value: &Bytes) -> Result<String, String> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.contains('\0'));
    text.map(str::to_owned).ok_or_else(|| {
        format!("key {key:?} of {} {} is no text, which a variable must be", reference.kind, reference.name)
    })
}

fn is_variable(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

#[cfg(test)]
#[path = "values_tests.rs"]
mod tests;
