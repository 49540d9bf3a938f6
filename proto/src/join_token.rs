//! A join token as one line of text: opaque to people, easy to copy. Knows no cluster.

use std::fmt::Write;

use prost::Message;

use crate::v1::JoinTokenContents;

/// Tells what it is, and its version.
const PREFIX: &str = "boss-join-1-";
/// A dozen addresses and a certificate take a quarter of it.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// The text is no join token. Does not repeat it: it may be a secret all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadJoinToken {
    /// It begins with something else.
    #[error("it is no join token: one begins with {PREFIX}")]
    Prefix,
    /// It was cut or changed.
    #[error("it is damaged: copy the whole line")]
    Damaged,
}

/// The text.
#[must_use]
pub fn encode(contents: &JoinTokenContents) -> String {
    contents.encode_to_vec().iter().fold(PREFIX.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads what [`encode`] wrote; spaces around it do not matter.
pub fn decode(text: &str) -> Result<JoinTokenContents, BadJoinToken> {
    let digits = text.trim().strip_prefix(PREFIX).ok_or(BadJoinToken::Prefix)?;
    if digits.len() > TEXT_BYTES_MAX || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(BadJoinToken::Damaged);
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| BadJoinToken::Damaged);
    let bytes = (0..digits.len()).step_by(2).map(byte).collect::<Result<Vec<u8>, _>>()?;
    let contents = JoinTokenContents::decode(&*bytes).map_err(|_| BadJoinToken::Damaged)?;
    let complete = !contents.secret.is_empty() && !contents.ca.is_empty() && !contents.servers.is_empty();
    if complete { Ok(contents) } else { Err(BadJoinToken::Damaged) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> JoinTokenContents {
        JoinTokenContents {
            cluster_id: "c1".to_owned(),
            servers: vec!["10.0.0.1:7400".to_owned()],
            ca: vec![1; 300].into(),
            token_id: "t1".to_owned(),
            secret: vec![2; 32].into(),
            other_authorities: vec![vec![3; 300].into()],
            node_name: "n1".to_owned(),
            for_nodes: true,
        }
    }

    #[test]
    fn a_token_survives_as_a_line_of_text() {
        let text = encode(&contents());
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
        assert_eq!(decode(&format!("  {text}\n")), Ok(contents()));
    }

    #[test]
    fn anything_else_is_refused_and_not_repeated() {
        assert_eq!(decode("eyJhbGciOi"), Err(BadJoinToken::Prefix));
        let text = encode(&contents());
        for bad in
            [&text[..text.len() - 1], &text[..text.len() - 40], "boss-join-1-", "boss-join-1-zz", "boss-join-1-éé"]
        {
            assert_eq!(decode(bad), Err(BadJoinToken::Damaged), "{bad}");
        }
    }
}
