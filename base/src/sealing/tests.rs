//! Envelopes that open, and those that must not.

use super::*;

const CONTEXT: [&[u8]; 3] = [b"cluster", b"secrets", b"uid-1"];

fn ring(keys: usize) -> (KeyRing, Vec<String>) {
    let text: String = (0..keys).map(|_| new_key_line().unwrap()).collect();
    let ring = KeyRing::parse(&text).unwrap();
    let ids = ring.ids().map(str::to_owned).collect();
    (ring, ids)
}

#[test]
fn what_is_sealed_opens_with_the_same_key_and_context_only() {
    let (ring, ids) = ring(2);
    let envelope = ring.seal(&ids[0], &CONTEXT, b"text").unwrap();
    assert_eq!(ring.open(&envelope, &CONTEXT).unwrap(), b"text");
    for context in [&[b"cluster".as_slice(), b"secrets", b"uid-2"][..], &[b"clustersecrets", b"uid-1"], &[]] {
        assert_eq!(ring.open(&envelope, context), Err(Error::Broken { id: ids[0].clone() }));
    }
    let renamed = Envelope { key_id: ids[1].clone(), ..envelope.clone() };
    assert_eq!(ring.open(&renamed, &CONTEXT), Err(Error::Broken { id: ids[1].clone() }));
    let swapped = Envelope { ciphertext: envelope.wrapped_key.clone(), ..envelope };
    assert!(ring.open(&swapped, &CONTEXT).is_err());
}

#[test]
fn a_key_that_is_not_held_is_named() {
    let (ours, ids) = ring(1);
    let (theirs, _) = ring(1);
    let envelope = ours.seal(&ids[0], &CONTEXT, b"text").unwrap();
    assert_eq!(theirs.open(&envelope, &CONTEXT), Err(Error::UnknownKey { id: ids[0].clone() }));
    assert_eq!(theirs.seal(&ids[0], &CONTEXT, b"text"), Err(Error::UnknownKey { id: ids[0].clone() }));
}

#[test]
fn the_same_text_looks_different_each_time() {
    let (ring, ids) = ring(1);
    let (one, two) = (ring.seal(&ids[0], &CONTEXT, b"text"), ring.seal(&ids[0], &CONTEXT, b"text"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.ciphertext != two.ciphertext && one.wrapped_key != two.wrapped_key);
}

#[test]
fn a_proof_convinces_who_holds_the_key_and_only_of_what_it_states() {
    let (ours, ids) = ring(1);
    let proof = ours.prove(&ids[0], b"server 1, challenge 7").unwrap();
    assert!(ours.believes(&ids[0], b"server 1, challenge 7", &proof));
    assert!(!ours.believes(&ids[0], b"server 2, challenge 7", &proof));
    assert!(!ours.believes(&ids[0], b"server 1, challenge 7", &[]));
    let (theirs, _) = ring(1);
    assert_eq!(theirs.prove(&ids[0], b"server 1, challenge 7"), None);
}

#[test]
fn bad_files_are_refused_by_line_and_show_no_key() {
    let good = new_key_line().unwrap();
    let half = &good[..good.len() - 3];
    for (text, expected) in [
        (String::new(), BadKeys::Count { found: 0 }),
        ("# nothing\n\n".to_owned(), BadKeys::Count { found: 0 }),
        (format!("# mine\n{half}\n"), BadKeys::Line { line: 2 }),
        (format!("{good}{good}"), BadKeys::Twice { line: 2 }),
        (format!("{good}secret words\n"), BadKeys::Line { line: 2 }),
        (good.replace(':', ":zz"), BadKeys::Line { line: 1 }),
    ] {
        let problem = KeyRing::parse(&text).unwrap_err();
        assert_eq!(problem, expected);
        assert!(!problem.to_string().contains("secret words"));
    }
    let ring = KeyRing::parse(&good).unwrap();
    assert!(!format!("{ring:?}").contains(good.trim().split_once(':').unwrap().1));
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    crate::files::write_atomic(&path, new_key_line().unwrap().as_bytes(), crate::files::PUBLIC).unwrap();
    assert!(matches!(KeyRing::load(&path), Err(BadKeys::OpenToOthers { .. })));
    crate::files::write_atomic(&path, new_key_line().unwrap().as_bytes(), crate::files::PRIVATE).unwrap();
    assert_eq!(KeyRing::load(&path).unwrap().ids().count(), 1);
    assert!(matches!(KeyRing::load(&folder.path().join("none")), Err(BadKeys::Unreadable { .. })));
}

#[test]
fn any_changed_byte_keeps_an_envelope_shut() {
    let (ring, ids) = ring(1);
    let envelope = ring.seal(&ids[0], &CONTEXT, b"text").unwrap();
    for at in 0..envelope.wrapped_key.len() {
        let mut changed = envelope.clone();
        changed.wrapped_key[at] ^= 1 << (at % 8);
        assert!(ring.open(&changed, &CONTEXT).is_err(), "byte {at} of the wrapped key");
    }
    for at in 0..envelope.ciphertext.len() {
        let mut changed = envelope.clone();
        changed.ciphertext[at] ^= 1 << (at % 8);
        assert!(ring.open(&changed, &CONTEXT).is_err(), "byte {at} of the ciphertext");
    }
    for len in 0..envelope.ciphertext.len() {
        let shorter = Envelope { ciphertext: envelope.ciphertext[..len].to_vec(), ..envelope.clone() };
        assert!(ring.open(&shorter, &CONTEXT).is_err(), "cut to {len} bytes");
    }
}
