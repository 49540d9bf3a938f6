//! Page tokens from any bytes. Compiled for tests and fuzzers only.

use boss_proto::{kind::Kind, selector::Selector};
use bytes::Bytes;

use super::{Consistency, ListQuery, token::Token};
use crate::fuzz::HERE;

/// A token by itself and against a list. What is read is written as the same bytes.
pub fn page_token(input: &[u8]) {
    let Ok(Some(token)) = Token::decode(input) else { return };
    assert_eq!(token.encode(), input);
    let Ok(selector) = Selector::parse(Kind::Pod, "", "") else { return };
    let query = ListQuery {
        kind: Kind::Pod,
        namespace: None,
        selector,
        limit: 10,
        page_token: Bytes::copy_from_slice(input),
        consistency: Consistency::Linearizable,
        at: None,
    };
    drop(token.check(&query, HERE.0, HERE.1));
}
