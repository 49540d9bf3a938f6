//! Requests that are too large get our own words. Below us, HTTP/2 would only close the stream, and tonic would say
//! "out of range".

use boss_proto::limits::{HEADER_LIST_BYTES_MAX, REQUEST_BYTES_MAX};
use http::{HeaderMap, Response};
use tonic::{Code, body::Body};

use crate::api::{Error, status};

/// What HTTP/2 counts for each header besides name and value.
const HEADER_OVERHEAD_BYTES: usize = 32;
/// How tonic begins to say that a message is too large, in the percent-encoding of headers or not.
const TOO_LARGE_WORDS: [&str; 2] =
    ["Error, decoded message length too large", "Error,%20decoded%20message%20length%20too%20large"];

/// Refuses a request with too long headers.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Error> {
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES).sum();
    if bytes <= HEADER_LIST_BYTES_MAX as usize {
        return Ok(());
    }
    Err(Error::TooLarge {
        problem: format!("the request's headers have {bytes} bytes, the limit is {HEADER_LIST_BYTES_MAX}"),
        hint: "send fewer or shorter headers; a token is at most 8 KiB".to_owned(),
    })
}

/// The same answer, or our own when a message was too large to be read.
pub(super) fn explain(response: Response<Body>) -> Response<Body> {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let has_no_words = !response.headers().contains_key(status::ERROR_INFO);
    let code = header("grpc-status").parse().map_or(Code::Ok, Code::from_i32);
    let message = header("grpc-message");
    if has_no_words && code == Code::OutOfRange && TOO_LARGE_WORDS.iter().any(|words| message.starts_with(words)) {
        let error = Error::TooLarge {
            problem: format!("the request has more than {REQUEST_BYTES_MAX} bytes, which is the limit"),
            hint: "send smaller objects, or fewer at once".to_owned(),
        };
        return status::to_status(&error).into_http();
    }
    response
}
