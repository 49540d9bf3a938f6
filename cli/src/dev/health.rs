//! Asks a server's HTTP port whether it is ready. Knows no process.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// A server that is alive answers at once; one that is not shall not stop us from asking the others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The reasons why a server is not ready fit into it.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It can do its work.
    Ready,
    /// It lives, but cannot do its work; with its reason.
    NotReady(String),
    /// It did not answer.
    Silent(String),
}

/// Asks `/readyz` at `address`.
pub async fn ready(address: &str) -> Health {
    match timeout(ANSWER_TIMEOUT, get(address, "/readyz")).await {
        Err(_) => Health::Silent("no answer in time".to_owned()),
        Ok(Err(error)) => Health::Silent(error.to_string()),
        Ok(Ok(answer)) => judge(&answer),
    }
}

async fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Health {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some("200") => Health::Ready,
        Some(status) => {
            let reason = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
            Health::NotReady(format!("{status}: {reason}"))
        }
        None => Health::Silent("something else than a boss-server listens there".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn answers_are_judged_by_their_status() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nok", Health::Ready),
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n", Health::Ready),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n\nno leader\n", Health::NotReady("503: no leader".into())),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Health::NotReady("404: no reason given".into())),
            ("SSH-2.0-x\r\n", Health::Silent("something else than a boss-server listens there".into())),
            ("", Health::Silent("something else than a boss-server listens there".into())),
        ] {
            assert_eq!(judge(answer), expected, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_port_without_a_server_is_silent() {
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(matches!(ready(&address.to_string()).await, Health::Silent(_)));
    }
}
