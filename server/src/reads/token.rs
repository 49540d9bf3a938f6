//! Page tokens: where a list goes on, at which revision, and for which list. Every server reads them. They carry no right:
//! each page is authorised by itself, and a revision may be named without one; so they are checked, not signed.

use boss_proto::{
    ids::{Incarnation, Revision},
    key::Key,
};
use boss_raft::state::Digest;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Error, list::ListQuery};
use crate::admission::Refusal;

/// First byte of a token. A token of another format comes from another version of Boss.
const FORMAT: u8 = 2;
/// First bytes that formats are taken from.
const FORMATS: std::ops::Range<u8> = 1..32;
/// Kind, namespace and name have bounds; this is above all of them.
const BYTES_MAX: usize = 1_024;

/// What a page leaves for the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Of every page of the list.
    pub(super) revision: Revision,
    /// The last key of the page before.
    pub(super) after: Key,
    incarnation: Incarnation,
    /// Binds everything to the query.
    seal: Digest,
}

impl Token {
    pub(super) fn new(query: &ListQuery, incarnation: Incarnation, revision: Revision, after: Key) -> Self {
        let seal = seal(query, incarnation, revision, &after);
        Self { revision, after, incarnation, seal }
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_u8(FORMAT);
        bytes.put_u64(self.incarnation.0);
        bytes.put_u64(self.revision.0);
        bytes.put_slice(&self.seal.to_bytes());
        bytes.put(self.after.to_path().as_bytes());
        bytes.freeze()
    }

    /// `None` for the first page, whose token is empty.
    pub(super) fn decode(bytes: &[u8]) -> Result<Option<Self>, Error> {
        match bytes.first() {
            None => Ok(None),
            Some(&FORMAT) if bytes.len() <= BYTES_MAX => {
                Ok(Some(read(&bytes[1..]).ok_or_else(|| bad("is no page token"))?))
            }
            Some(other) if *other != FORMAT && FORMATS.contains(other) => {
                Err(bad("is of another version of Boss").into())
            }
            Some(_) => Err(bad("is no page token").into()),
        }
    }

    /// Whether it continues this list, in this life of the cluster.
    pub(super) fn check(&self, query: &ListQuery, incarnation: Incarnation, current: Revision) -> Result<(), Error> {
        if self.incarnation != incarnation {
            return Err(Error::Expired { current });
        }
        let inside = self.after.kind == query.kind
            && query.namespace.as_ref().is_none_or(|namespace| *namespace == self.after.namespace);
        if !inside || self.seal != seal(query, incarnation, self.revision, &self.after) {
            return Err(bad("belongs to another list").into());
        }
        if query.at.is_some_and(|at| at != self.revision) {
            return Err(bad("belongs to another revision than atRevision").into());
        }
        Ok(())
    }
}

fn read(mut bytes: &[u8]) -> Option<Token> {
    let incarnation = Incarnation(bytes.try_get_u64().ok()?);
    let revision = Revision(bytes.try_get_u64().ok()?);
    let (seal, path) = bytes.split_at_checked(16)?;
    let after = Key::from_path(std::str::from_utf8(path).ok()?)?;
    Some(Token { revision, after, incarnation, seal: Digest::from_bytes(seal)? })
}

fn seal(query: &ListQuery, incarnation: Incarnation, revision: Revision, after: &Key) -> Digest {
    Digest::of(&[
        b"page",
        &incarnation.0.to_le_bytes(),
        &revision.0.to_le_bytes(),
        query.kind.as_str().as_bytes(),
        query.namespace.as_deref().unwrap_or("").as_bytes(),
        query.selector.labels.to_string().as_bytes(),
        query.selector.fields.to_string().as_bytes(),
        after.to_path().as_bytes(),
    ])
}

fn bad(problem: &str) -> Refusal {
    Refusal::invalid("pageToken", problem, "begin the list again")
}

#[cfg(test)]
mod tests {
    use boss_proto::{kind::Kind, selector::Selector};
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::reads::Consistency;

    fn query(namespace: Option<&str>, labels: &str) -> ListQuery {
        ListQuery {
            kind: Kind::Pod,
            namespace: namespace.map(str::to_owned),
            selector: Selector::parse(Kind::Pod, labels, "").unwrap(),
            limit: 10,
            page_token: Bytes::new(),
            consistency: Consistency::Linearizable,
            at: None,
        }
    }

    fn token(query: &ListQuery) -> Token {
        Token::new(query, Incarnation(3), Revision(7), Key::new(Kind::Pod, "default", "web"))
    }

    fn check(token: &Token, query: &ListQuery) -> Result<(), Error> {
        token.check(query, Incarnation(3), Revision(9))
    }

    #[test]
    fn a_token_continues_its_own_list_on_every_server() {
        let query = query(Some("default"), "app=web");
        let read = Token::decode(&token(&query).encode()).unwrap().unwrap();
        assert_eq!(read, token(&query));
        assert_eq!(check(&read, &query), Ok(()));
        assert_eq!(check(&read, &ListQuery { limit: 3, ..query }), Ok(()));
    }

    #[test]
    fn a_token_continues_no_other_list() {
        let own = query(Some("default"), "app=web");
        let token = token(&own);
        for other in [query(None, "app=web"), query(Some("default"), ""), query(Some("other"), "app=web")] {
            assert!(matches!(check(&token, &other), Err(Error::Refused(_))));
        }
        let at = ListQuery { at: Some(Revision(6)), ..own.clone() };
        assert!(matches!(check(&token, &at), Err(Error::Refused(_))));
        let other_life = token.check(&own, Incarnation(4), Revision(9));
        assert_eq!(other_life, Err(Error::Expired { current: Revision(9) }));
    }

    #[test]
    fn nonsense_is_no_token() {
        assert_eq!(Token::decode(b""), Ok(None));
        let bytes = token(&query(None, "")).encode();
        for nonsense in
            [&b"x"[..], b"\x01", b"\x02", &bytes[..20], &[2; 2_000], &bytes[..bytes.len() - 4 - "default".len()]]
        {
            assert!(matches!(Token::decode(nonsense), Err(Error::Refused(_))), "{nonsense:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..80)) {
            let _ = Token::decode(&bytes);
            let _ = Token::decode(&[&[FORMAT][..], &bytes].concat());
        }

        #[test]
        fn a_token_that_was_changed_continues_nothing(at in 1..60usize, change in 1..255u8) {
            let query = query(None, "");
            let mut bytes = token(&query).encode().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= change;
            let continues = Token::decode(&bytes).is_ok_and(|read| read.is_some_and(|read| check(&read, &query).is_ok()));
            prop_assert!(!continues);
        }
    }
}
