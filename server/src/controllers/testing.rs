//! A registry for tests, filled through apply as a real one is.

use boss_proto::{
    ids::Uid,
    raft::v1::{Caller, Command, Create, Operation, operation::Action},
    v1::Object,
};
use boss_raft::state::{Outcome, Position, State, View, apply, rbac::SERVERS_GROUP};

/// A view that holds the objects, statuses included.
pub(crate) fn registry_with<T: Into<Object>>(objects: impl IntoIterator<Item = T>) -> View {
    registry_of(objects.into_iter().map(Into::into).collect())
}

/// The same for objects of several kinds, in an order in which they can be created.
pub(crate) fn registry_of(objects: Vec<Object>) -> View {
    let caller = Caller { groups: vec![SERVERS_GROUP.to_owned()], ..Default::default() };
    let create = |mut object: Object| {
        let metadata = object.metadata_mut().expect("test objects have a body");
        if metadata.uid.is_empty() {
            metadata.uid = Uid::random().to_string();
        }
        let action = Some(Action::Create(Create { object: Some(object) }));
        Operation { caller: Some(caller.clone()), leader_term: Some(1), action, ..Default::default() }
    };
    let operations: Vec<_> = objects.into_iter().map(create).collect();
    let command = Command { format: 1, proposed_at_ms: 1, operations };
    let mut state = State::default();
    for outcome in apply(&mut state, Position { term: 1, index: 1 }, &command).outcomes {
        assert!(matches!(outcome, Outcome::Written { .. }), "{outcome:?}");
    }
    state.view()
}
