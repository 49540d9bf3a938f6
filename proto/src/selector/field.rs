//! Field selectors: the few fields that lists and watches can be narrowed by. Knows no labels.

use std::fmt;

use super::BadSelector;
use crate::{
    intent::{PodPhase, SandboxClass},
    kind::Kind,
    limits::SELECTOR_LEN_MAX,
    v1::{self, object::Body},
};

/// A field that objects can be selected by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `metadata.name`
    Name,
    /// `metadata.namespace`
    Namespace,
    /// `metadata.ownerReferences.uid`; any of the owners.
    OwnerUid,
    /// `spec.nodeName` of pods.
    NodeName,
    /// `status.phase` of pods and namespaces.
    Phase,
    /// `class` of pods: the resolved sandbox class.
    Class,
    /// `involvedObject.kind` of events.
    InvolvedKind,
    /// `involvedObject.namespace` of events.
    InvolvedNamespace,
    /// `involvedObject.name` of events.
    InvolvedName,
    /// `involvedObject.uid` of events.
    InvolvedUid,
    /// `type` of events: Normal or Warning.
    Type,
    /// `reason` of events.
    Reason,
}

impl Field {
    const ALL: [Field; 12] = [
        Field::Name,
        Field::Namespace,
        Field::OwnerUid,
        Field::NodeName,
        Field::Phase,
        Field::Class,
        Field::InvolvedKind,
        Field::InvolvedNamespace,
        Field::InvolvedName,
        Field::InvolvedUid,
        Field::Type,
        Field::Reason,
    ];

    /// As selectors write it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Field::Name => "metadata.name",
            Field::Namespace => "metadata.namespace",
            Field::OwnerUid => "metadata.ownerReferences.uid",
            Field::NodeName => "spec.nodeName",
            Field::Phase => "status.phase",
            Field::Class => "class",
            Field::InvolvedKind => "involvedObject.kind",
            Field::InvolvedNamespace => "involvedObject.namespace",
            Field::InvolvedName => "involvedObject.name",
            Field::InvolvedUid => "involvedObject.uid",
            Field::Type => "type",
            Field::Reason => "reason",
        }
    }

    /// Whether objects of the kind have it.
    #[must_use]
    pub fn is_of(self, kind: Kind) -> bool {
        match self {
            Field::Name | Field::OwnerUid => true,
            Field::Namespace => kind.is_namespaced(),
            Field::NodeName | Field::Class => kind == Kind::Pod,
            Field::Phase => matches!(kind, Kind::Pod | Kind::Namespace),
            Field::InvolvedKind
            | Field::InvolvedNamespace
            | Field::InvolvedName
            | Field::InvolvedUid
            | Field::Type
            | Field::Reason => kind == Kind::Event,
        }
    }

    fn has_value(self, object: &v1::Object, wanted: &str) -> bool {
        if self == Field::OwnerUid {
            return object.metadata().is_some_and(|meta| meta.owner_references.iter().any(|owner| owner.uid == wanted));
        }
        self.value(object) == wanted
    }

    /// Every value that the object has in the field; an owner's uid is one of several.
    pub fn values(self, object: &v1::Object) -> impl Iterator<Item = &str> {
        let owners = object.metadata().filter(|_| self == Field::OwnerUid).into_iter();
        let owners = owners.flat_map(|metadata| &metadata.owner_references).map(|owner| owner.uid.as_str());
        owners.chain((self != Field::OwnerUid).then(|| self.value(object)))
    }

    /// Empty when the object has no such field.
    fn value(self, object: &v1::Object) -> &str {
        let metadata = object.metadata();
        match (self, &object.body) {
            (Field::Name, _) => metadata.map_or("", |metadata| &metadata.name),
            (Field::Namespace, _) => metadata.map_or("", |metadata| &metadata.namespace),
            (Field::NodeName, Some(Body::Pod(pod))) => pod.spec.as_ref().map_or("", |spec| &spec.node_name),
            (Field::Phase, Some(Body::Pod(pod))) => PodPhase::of(pod).as_str(),
            (Field::Phase, Some(Body::Namespace(namespace))) => namespace_phase(namespace),
            (Field::Class, Some(Body::Pod(pod))) => class(pod),
            (field, Some(Body::Event(event))) => event_value(field, event),
            _ => "",
        }
    }
}

fn namespace_phase(namespace: &v1::Namespace) -> &str {
    match namespace.status.as_ref().map(|status| &*status.phase) {
        None | Some("") => "Active",
        Some(phase) => phase,
    }
}

fn class(pod: &v1::Pod) -> &'static str {
    pod.spec.as_ref().and_then(|spec| SandboxClass::resolve(spec).ok()).map_or("", SandboxClass::as_str)
}

fn event_value(field: Field, event: &v1::Event) -> &str {
    let involved = event.involved_object.as_ref();
    match field {
        Field::InvolvedKind => involved.map_or("", |object| &object.kind),
        Field::InvolvedNamespace => involved.map_or("", |object| &object.namespace),
        Field::InvolvedName => involved.map_or("", |object| &object.name),
        Field::InvolvedUid => involved.map_or("", |object| &object.uid),
        Field::Type => &event.r#type,
        Field::Reason => &event.reason,
        _ => "",
    }
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Condition {
    field: Field,
    equal: bool,
    value: String,
}

/// Conditions that must all hold; none selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    conditions: Vec<Condition>,
}

impl FieldSelector {
    /// Reads `field=value`, `field==value` and `field!=value`, joined by commas.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, BadSelector> {
        if text.len() > SELECTOR_LEN_MAX {
            return Err(BadSelector::TooLong { len: text.len(), max: SELECTOR_LEN_MAX });
        }
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut position = 1;
        let mut conditions = Vec::new();
        for part in text.split(',') {
            conditions.push(condition(kind, part, position)?);
            position += part.chars().count() + 1;
        }
        Ok(Self { conditions })
    }

    /// Whether the object is selected.
    #[must_use]
    pub fn matches(&self, object: &v1::Object) -> bool {
        self.conditions.iter().all(|Condition { field, equal, value }| field.has_value(object, value) == *equal)
    }

    /// The value that the field must have, if the selector says so: what an index can be asked for.
    #[must_use]
    pub fn exact(&self, field: Field) -> Option<&str> {
        self.conditions.iter().find(|condition| condition.equal && condition.field == field).map(|found| &*found.value)
    }
}

fn condition(kind: Kind, part: &str, position: usize) -> Result<Condition, BadSelector> {
    let operators = [("!=", false), ("==", true), ("=", true)];
    let split = operators.into_iter().find_map(|(token, equal)| part.split_once(token).map(|(f, v)| (f, v, equal)));
    let Some((path, value, equal)) = split else {
        let found = if part.trim().is_empty() { "nothing".to_owned() } else { format!("{:?}", part.trim()) };
        return Err(BadSelector::Syntax { position, expected: "field=value or field!=value", found });
    };
    let (path, value) = (path.trim(), value.trim());
    if value.contains(['=', '!']) {
        return Err(BadSelector::Syntax { position, expected: "one = or !=", found: format!("{:?}", part.trim()) });
    }
    let known = Field::ALL.into_iter().find(|field| field.path() == path && field.is_of(kind));
    let field = known.ok_or_else(|| BadSelector::UnknownField {
        position,
        field: path.to_owned(),
        kind,
        possible: possible(kind),
    })?;
    Ok(Condition { field, equal, value: value.to_owned() })
}

fn possible(kind: Kind) -> String {
    Field::ALL.into_iter().filter(|field| field.is_of(kind)).map(Field::path).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for FieldSelector {
    /// In the form that is read back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Condition { field, equal, value }) in self.conditions.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}{}{value}", field.path(), if *equal { "=" } else { "!=" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Resource;

    fn pod() -> v1::Object {
        let owner_references = vec![v1::OwnerReference { uid: "u1".into(), ..Default::default() }];
        v1::Pod {
            metadata: Some(v1::ObjectMeta {
                name: "web".into(),
                namespace: "prod".into(),
                owner_references,
                ..Default::default()
            }),
            spec: Some(v1::PodSpec {
                node_name: "n1".into(),
                sandbox_class: "firecracker".into(),
                ..Default::default()
            }),
            ..Default::default()
        }
        .into_object()
    }

    fn event() -> v1::Object {
        let involved =
            v1::ObjectReference { kind: "Pod".into(), namespace: "prod".into(), name: "web".into(), uid: "u2".into() };
        v1::Event {
            involved_object: Some(involved),
            r#type: "Warning".into(),
            reason: "Failed".into(),
            ..Default::default()
        }
        .into_object()
    }

    fn check(object: &v1::Object, text: &str, selected: bool) {
        let selector = FieldSelector::parse(object.kind().unwrap(), text).unwrap();
        assert_eq!(selector.matches(object), selected, "{text}");
        assert_eq!(FieldSelector::parse(object.kind().unwrap(), &selector.to_string()), Ok(selector));
    }

    #[test]
    fn pods_are_selected_by_their_fields() {
        let pod = pod();
        check(&pod, "", true);
        check(&pod, "metadata.name=web", true);
        check(&pod, "metadata.name!=web", false);
        check(&pod, "metadata.namespace == prod, spec.nodeName=n1", true);
        check(&pod, "spec.nodeName=", false);
        check(&pod, "status.phase=Pending", true);
        check(&pod, "status.phase!=Running,class=microvm", true);
        check(&pod, "metadata.ownerReferences.uid=u1", true);
        check(&pod, "metadata.ownerReferences.uid=u2", false);
    }

    #[test]
    fn events_are_selected_by_what_they_are_about() {
        let event = event();
        check(
            &event,
            "involvedObject.kind=Pod,involvedObject.name=web,involvedObject.namespace=prod,involvedObject.uid=u2",
            true,
        );
        check(&event, "involvedObject.uid=u3", false);
        check(&event, "type=Warning,reason!=Started", true);
    }

    #[test]
    fn the_exact_value_of_a_field_can_be_asked_for() {
        let selector = FieldSelector::parse(Kind::Pod, "status.phase!=Failed,spec.nodeName=n1").unwrap();
        assert_eq!(selector.exact(Field::NodeName), Some("n1"));
        assert_eq!(selector.exact(Field::Phase), None);
    }

    #[test]
    fn a_bad_selector_says_where() {
        for (text, at) in [("x", 1), ("metadata.name=a,", 17), (",metadata.name=a", 1), ("metadata.name=a=b", 1)] {
            let found = FieldSelector::parse(Kind::Pod, text);
            assert!(matches!(found, Err(BadSelector::Syntax { position, .. }) if position == at), "{text}: {found:?}");
        }
        for (kind, text, at) in [(Kind::Node, "spec.nodeName=a", 1), (Kind::Pod, "metadata.name=a,spec.x=1", 17)] {
            let found = FieldSelector::parse(kind, text);
            assert!(
                matches!(found, Err(BadSelector::UnknownField { position, .. }) if position == at),
                "{text}: {found:?}"
            );
        }
    }
}
