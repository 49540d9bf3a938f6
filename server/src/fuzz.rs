//! Everything of this crate that reads bytes of callers before it knows who they are or what they may: no bytes make
//! any of it panic. Each function is one subject for a fuzzer; the tests here give each a short run. Compiled for tests
//! and fuzzers only.

use boss_proto::{
    ids::{Incarnation, Revision},
    join_token, manifest,
    selector::Selector,
    v1::Object,
};

pub use crate::{api::fuzz_requests as requests, reads::fuzz::page_token};

/// Manifests, selectors and join tokens: what people write or paste. What is read as a manifest can be written and
/// read again.
pub fn texts(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    drop(join_token::decode(text));
    for kind in boss_proto::kind::Kind::ALL {
        if let Ok(selector) = Selector::parse(kind, text, "") {
            let written = selector.labels.to_string();
            let again = Selector::parse(kind, &written, "").unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(again.labels, selector.labels);
        }
        drop(Selector::parse(kind, "", text));
    }
    for object in manifest::from_yaml(text).unwrap_or_default() {
        there_and_back(&object);
    }
    if let Ok(object) = manifest::from_json(input) {
        there_and_back(&object);
    }
}

fn there_and_back(object: &Object) {
    let written = manifest::to_json(object);
    let again = manifest::from_json(written.as_bytes()).unwrap_or_else(|error| panic!("{written}: {error}"));
    assert_eq!(&again, object, "{written}");
}

/// Which revision a caller of the tests stands at.
pub(crate) const HERE: (Incarnation, Revision) = (Incarnation(3), Revision(9));

#[cfg(test)]
mod tests {
    use std::{panic::RefUnwindSafe, path::Path};

    use super::*;

    fn run(subject: &str, read: impl Fn(&[u8]) + RefUnwindSafe) {
        boss_base::fuzz::run(subject, &Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz-corpus").join(subject), read);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_page_token_panic() {
        run("page_token", page_token);
    }

    #[test]
    fn no_bytes_make_the_reading_of_a_request_panic() {
        run("requests", requests);
    }

    #[test]
    fn no_text_makes_the_reading_of_a_manifest_or_selector_panic() {
        run("texts", texts);
    }
}
