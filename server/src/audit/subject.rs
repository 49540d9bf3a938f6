//! What a call is about: the gate does not read messages, so the method tells it. Knows no record.

use std::sync::{Arc, OnceLock};

/// Travels with a call that may be kept.
#[derive(Debug, Clone, Default)]
pub struct Subject(Arc<OnceLock<String>>);

impl Subject {
    /// Tells what the call is about, if anybody wants to know.
    pub fn tell<T>(request: &tonic::Request<T>, about: impl FnOnce(&T) -> String) {
        if let Some(Self(subject)) = request.extensions().get::<Self>() {
            let _ = subject.set(about(request.get_ref()));
        }
    }

    /// What was told; empty when nothing was.
    #[must_use]
    pub fn text(&self) -> &str {
        self.0.get().map_or("", String::as_str)
    }
}
