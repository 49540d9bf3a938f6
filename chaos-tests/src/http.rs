//! Just enough HTTP to ask a server how it is. No TLS, no redirects, no keep-alive.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Health and metrics come from memory.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The status code of a GET.
pub async fn get_status(address: &str, path: &str) -> io::Result<u16> {
    get(address, path).await.map(|(status, _)| status)
}

/// Status code and body of a GET.
pub async fn get(address: &str, path: &str) -> io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| io::Error::other("this is not HTTP"))
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
