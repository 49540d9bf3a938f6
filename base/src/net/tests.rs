//! A network of one port, made of pipes in memory.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::{Mutex, mpsc},
};

use super::*;
use crate::{
    pki::{CertificateAuthority, Subject},
    tasks::Tasks,
    tls::{ClientAuth, Expected, Identity, Limits, Listener, Pem, connector, server_acceptor},
};

const NAME: &str = "made.example";

struct Pipes {
    dialled: mpsc::Sender<Connection>,
    accepted: Mutex<Option<mpsc::Receiver<Connection>>>,
}

struct Pipe(mpsc::Receiver<Connection>);

fn somewhere() -> SocketAddr {
    ([10, 0, 0, 1], 443).into()
}

fn pipes() -> Network {
    let (dialled, accepted) = mpsc::channel(1);
    Network::of(Pipes { dialled, accepted: Mutex::new(Some(accepted)) })
}

impl Fabric for Pipes {
    fn bind(&self, _address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move {
            let accepted = self.accepted.lock().await.take().ok_or(io::ErrorKind::AddrInUse)?;
            Ok(Box::new(Pipe(accepted)) as Box<dyn Accept>)
        })
    }

    fn connect(&self, _host: String, _port: u16) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            let (ours, theirs) = duplex(4_096);
            let sent = self.dialled.send(Connection::of(theirs, somewhere())).await;
            sent.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Connection::of(ours, somewhere()))
        })
    }
}

impl Accept for Pipe {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Connection, SocketAddr)>> {
        Box::pin(async move {
            match self.0.recv().await {
                Some(connection) => Ok((connection, somewhere())),
                None => std::future::pending().await,
            }
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(somewhere())
    }
}

fn identity() -> Identity {
    let authority = CertificateAuthority::generate("x").unwrap();
    let subject = Subject {
        dns_names: vec![NAME.to_owned()],
        server_auth: true,
        client_auth: true,
        lifetime: Duration::from_secs(60),
        ..Subject::default()
    };
    let issued = authority.issue(&subject).unwrap();
    let own = Some((issued.cert_pem.into_bytes(), issued.key_pem.into_bytes()));
    Identity::from_pem(Pem { own, ca: authority.cert_pem().as_bytes().to_vec() }).unwrap()
}

#[tokio::test]
async fn a_made_network_carries_tls_as_sockets_do() {
    let (tasks, identity) = (Tasks::new(), identity());
    for network in [pipes(), Network::default()] {
        let limits =
            Limits { connections_max: 4, connections_per_source_max: 4, handshake_timeout: Duration::from_secs(30) };
        let acceptor = server_acceptor(identity.clone(), ClientAuth::Optional);
        let any = ([127, 0, 0, 1], 0).into();
        let listener = Listener::bind_on(&network, any, acceptor, limits).await.unwrap();
        let uri = format!("http://{}", listener.local_address()).parse().unwrap();
        let mut incoming = listener.accept(&tasks);
        let connector = connector(identity.clone(), Expected::name(NAME).unwrap()).over(network);
        let (dialled, accepted) = tokio::join!(connector.connect(&uri), tokio_stream::StreamExt::next(&mut incoming));
        let (mut dialled, mut accepted) = (dialled.unwrap().into_inner(), accepted.unwrap().unwrap());
        dialled.write_all(b"who").await.unwrap();
        dialled.flush().await.unwrap();
        let mut asked = [0; 3];
        accepted.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"who");
    }
    tasks.stop(Duration::from_secs(30)).await.unwrap();
}
