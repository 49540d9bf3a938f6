//! Where a watch stands and what of a stream is new. Pure: opens nothing, waits for nothing.

use boss_proto::{
    ids::Revision,
    key::Key,
    v1::{self, watch_response::Body},
};

use super::{EventKind, Item};
use crate::{Error, client::incomplete};

/// Several objects can change in one revision, so a revision counts as told only when a later one, or a bookmark,
/// shows that nothing more of it comes. Until then it is asked for again, and what was told of it is left out.
#[derive(Debug, Default)]
pub(super) struct Resume {
    /// Everything up to here was told; `None` until the first list is complete.
    after: Option<Revision>,
    /// The revision of the last event.
    current: Revision,
    /// What was told of it.
    told: Vec<Key>,
    /// The list that is on its way.
    listing: Vec<v1::Object>,
}

impl Resume {
    pub(super) fn new(after: Option<Revision>) -> Self {
        Self { after, ..Self::default() }
    }

    pub(super) fn after(&self) -> Option<Revision> {
        self.after
    }

    /// The stream broke: half a list is worth nothing.
    pub(super) fn disconnect(&mut self) {
        self.listing.clear();
    }

    /// The history is gone: the next stream begins with a list.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// What is new in a message, if anything.
    pub(super) fn accept(&mut self, message: v1::WatchResponse) -> Result<Option<Item>, Error> {
        match (message.body, self.after) {
            (Some(Body::Event(event)), None) => self.accept_listed(event).map(|()| None),
            (Some(Body::Event(event)), Some(after)) => self.accept_event(event, after),
            (Some(Body::Bookmark(bookmark)), None) => Ok(self.end_list(&bookmark)),
            (Some(Body::Bookmark(bookmark)), Some(after)) => {
                Ok(self.accept_bookmark(Revision(bookmark.revision), after))
            }
            // A message of a later version.
            (None, _) => Ok(None),
        }
    }

    fn accept_listed(&mut self, event: v1::WatchEvent) -> Result<(), Error> {
        self.listing.push(event.object.ok_or_else(|| incomplete("an event without its object"))?);
        Ok(())
    }

    fn end_list(&mut self, bookmark: &v1::Bookmark) -> Option<Item> {
        if !bookmark.initial_list_end {
            return None;
        }
        let revision = Revision(bookmark.revision);
        self.after = Some(revision);
        Some(Item::Restarted { objects: std::mem::take(&mut self.listing), revision })
    }

    fn accept_event(&mut self, event: v1::WatchEvent, after: Revision) -> Result<Option<Item>, Error> {
        let revision = Revision(event.revision);
        // A later version may know more kinds of events; they do not concern us, their revisions do.
        let Some(kind) = EventKind::from_proto(event.r#type) else { return Ok(None) };
        let object = event.object.ok_or_else(|| incomplete("an event without its object"))?;
        let key = object.key().ok_or_else(|| incomplete("an object without its name"))?;
        if revision <= after || revision < self.current {
            return Ok(None);
        }
        if revision > self.current {
            self.after = Some(after.max(self.current));
            self.current = revision;
            self.told.clear();
        }
        if self.told.contains(&key) {
            return Ok(None);
        }
        self.told.push(key);
        Ok(Some(Item::Event { kind, object, revision }))
    }

    fn accept_bookmark(&mut self, revision: Revision, after: Revision) -> Option<Item> {
        if revision <= after {
            return None;
        }
        self.after = Some(revision);
        Some(Item::Bookmark(revision))
    }
}

#[cfg(test)]
mod tests {
    use boss_proto::{object::Resource, v1::watch_event::Type};
    use proptest::prelude::*;

    use super::*;

    fn pod(name: &str) -> v1::Object {
        let metadata = v1::ObjectMeta { name: name.into(), namespace: "d".into(), ..v1::ObjectMeta::default() };
        v1::Pod { metadata: Some(metadata), ..v1::Pod::default() }.into_object()
    }

    fn event(revision: u64, name: &str) -> v1::WatchResponse {
        let event = v1::WatchEvent { r#type: Type::Modified.into(), object: Some(pod(name)), revision };
        v1::WatchResponse { body: Some(Body::Event(event)) }
    }

    fn bookmark(revision: u64, initial_list_end: bool) -> v1::WatchResponse {
        v1::WatchResponse { body: Some(Body::Bookmark(v1::Bookmark { revision, initial_list_end })) }
    }

    fn told(item: Option<Item>) -> Option<(u64, String)> {
        match item? {
            Item::Event { object, revision, .. } => Some((revision.0, object.key()?.name)),
            _ => None,
        }
    }

    #[test]
    fn the_first_list_arrives_whole_or_not_at_all() {
        let mut resume = Resume::new(None);
        assert_eq!(resume.accept(event(1, "a")).unwrap(), None);
        resume.disconnect();
        assert_eq!(resume.after(), None);
        resume.accept(event(1, "a")).unwrap();
        resume.accept(event(4, "b")).unwrap();
        let Some(Item::Restarted { objects, revision }) = resume.accept(bookmark(5, true)).unwrap() else {
            panic!("expected the list")
        };
        assert_eq!((objects.len(), revision), (2, Revision(5)));
        assert_eq!(resume.after(), Some(Revision(5)));
    }

    #[test]
    fn an_empty_list_is_a_list() {
        let item = Resume::new(None).accept(bookmark(3, true)).unwrap();
        assert_eq!(item, Some(Item::Restarted { objects: Vec::new(), revision: Revision(3) }));
    }

    #[test]
    fn a_revision_that_may_go_on_is_asked_for_again_without_what_was_told() {
        let mut resume = Resume::new(Some(Revision(5)));
        assert!(told(resume.accept(event(7, "a")).unwrap()).is_some());
        resume.disconnect();
        assert_eq!(resume.after(), Some(Revision(5)));
        assert_eq!(told(resume.accept(event(7, "a")).unwrap()), None);
        assert_eq!(told(resume.accept(event(7, "b")).unwrap()), Some((7, "b".into())));
        assert!(told(resume.accept(event(8, "a")).unwrap()).is_some());
        assert_eq!(resume.after(), Some(Revision(7)));
        resume.accept(bookmark(9, false)).unwrap();
        assert_eq!(resume.after(), Some(Revision(9)));
    }

    #[test]
    fn an_event_without_an_object_is_an_error_and_not_a_gap() {
        let empty = v1::WatchEvent { r#type: Type::Added.into(), object: None, revision: 9 };
        let message = v1::WatchResponse { body: Some(Body::Event(empty)) };
        assert!(matches!(Resume::new(Some(Revision(1))).accept(message), Err(Error::Internal(_))));
    }

    /// A history of (revision, name) with some revisions of several objects.
    fn history() -> impl Strategy<Value = Vec<(u64, String)>> {
        proptest::collection::vec((1_u64..4, 1_usize..4), 0..20).prop_map(|steps| {
            let mut revision = 10;
            let mut events = Vec::new();
            for (step, objects) in steps {
                revision += step;
                events.extend((0..objects).map(|number| (revision, format!("o{number}"))));
            }
            events
        })
    }

    proptest! {
        #[test]
        fn whatever_breaks_each_event_is_told_once_and_in_order(
            history in history(),
            breaks in proptest::collection::vec((0_usize..12, any::<bool>()), 0..12),
        ) {
            let mut resume = Resume::new(Some(Revision(10)));
            let mut seen = Vec::new();
            for (length, with_bookmark) in breaks.into_iter().chain([(usize::MAX, false)]) {
                let after = resume.after().unwrap().0;
                let stream: Vec<_> = history.iter().filter(|(revision, _)| *revision > after).take(length).collect();
                for (revision, name) in &stream {
                    seen.extend(told(resume.accept(event(*revision, name)).unwrap()));
                }
                let at_end = stream.last().is_some_and(|last| Some(*last) == history.last());
                if with_bookmark && at_end {
                    resume.accept(bookmark(stream.last().unwrap().0, false)).unwrap();
                }
                resume.disconnect();
            }
            prop_assert_eq!(seen, history);
        }
    }
}
