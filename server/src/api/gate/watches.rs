//! How many watches each subject has open on this server. A watch holds its place until its stream is dropped.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::HttpBody;
use boss_base::cached;
use boss_proto::limits::WATCHES_PER_SUBJECT_MAX;
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use crate::{api::Error, metric_definitions as metric};

/// Open watches by subject. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Watches(Arc<Mutex<HashMap<String, usize>>>);

/// One watch's place.
pub(super) struct Place {
    watches: Watches,
    subject: String,
}

impl Watches {
    /// A place for one more watch of the subject.
    pub(super) fn open(&self, subject: &str) -> Result<Place, Error> {
        let mut by_subject = self.by_subject();
        let open = by_subject.entry(subject.to_owned()).or_default();
        if *open >= WATCHES_PER_SUBJECT_MAX {
            cached!(counter metric::WATCHES_REFUSED).increment(1);
            let problem = format!(
                "you have {open} watches open on this server, the limit is {WATCHES_PER_SUBJECT_MAX}: share watches \
                 between what needs them, or ask another server"
            );
            return Err(Error::Exhausted(problem));
        }
        *open += 1;
        Ok(Place { watches: self.clone(), subject: subject.to_owned() })
    }

    fn by_subject(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Nothing between lock and unlock can leave the counts half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_subject = self.watches.by_subject();
        if let Some(open) = by_subject.get_mut(&self.subject) {
            *open -= 1;
            if *open == 0 {
                by_subject.remove(&self.subject);
            }
        }
    }
}

impl Place {
    /// The answer, which holds the place for as long as it lasts.
    pub(super) fn hold(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| Body::new(Holding { body, _place: self }))
    }
}

struct Holding {
    body: Body,
    _place: Place,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watch_more_than_the_limit_is_refused_and_other_subjects_are_not() {
        let watches = Watches::default();
        let mut places: Vec<Place> = (0..WATCHES_PER_SUBJECT_MAX).map(|_| watches.open("a").unwrap()).collect();
        let error = watches.open("a").err().expect("the limit is reached");
        assert!(error.to_string().contains(&WATCHES_PER_SUBJECT_MAX.to_string()), "{error}");
        assert!(watches.open("b").is_ok());
        places.pop();
        assert!(watches.open("a").is_ok());
        drop(places);
        assert!(watches.by_subject().is_empty());
    }
}
