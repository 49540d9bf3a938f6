//! Length-prefixed JSON frames between the processes of one machine: agent, launcher, monitors.
//! Local and versioned by the messages themselves. Knows no socket.

use std::io;

use boss_proto::limits::SANDBOX_VALUES_BYTES_MAX;
use serde::{Serialize, de::DeserializeOwned};

/// One frame. Most messages are a few hundred bytes; the largest gives a sandbox its values, each byte of which JSON may
/// write as six. A longer one is not ours.
pub const FRAME_BYTES_MAX: usize = 64 * 1024 + 8 * SANDBOX_VALUES_BYTES_MAX;

const PREFIX_BYTES: usize = 4;

/// One message as it goes over the socket.
pub fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; PREFIX_BYTES];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - PREFIX_BYTES;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
    }
    let prefix = u32::try_from(length).expect("bounded by FRAME_BYTES_MAX").to_le_bytes();
    frame[..PREFIX_BYTES].copy_from_slice(&prefix);
    Ok(frame)
}

/// Collects bytes as they come and gives back whole messages.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there. An error means that the peer speaks something else: hang up.
    pub fn decode<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(prefix) = self.pending.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is too long")));
        }
        let Some(body) = self.pending.get(PREFIX_BYTES..PREFIX_BYTES + length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.pending.drain(..PREFIX_BYTES + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_any_split() {
        let bytes = [encode(&"one").unwrap(), encode(&"two").unwrap()].concat();
        for at in 0..bytes.len() {
            let mut decoder = Decoder::default();
            let mut found: Vec<String> = Vec::new();
            for part in [&bytes[..at], &bytes[at..]] {
                decoder.push(part);
                while let Some(message) = decoder.decode().unwrap() {
                    found.push(message);
                }
            }
            assert_eq!(found, ["one", "two"], "split at {at}");
        }
    }

    #[test]
    fn an_oversized_frame_is_refused_both_ways() {
        let long = "x".repeat(FRAME_BYTES_MAX);
        assert!(encode(&long).is_err());
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(decoder.decode::<String>().is_err());
    }

    #[test]
    fn bytes_that_are_no_message_are_an_error() {
        let mut decoder = Decoder::default();
        decoder.push(&3u32.to_le_bytes());
        decoder.push(b"{{{");
        assert!(decoder.decode::<String>().is_err());
    }
}
