//! Connections that reach the listening socket are carried to the container.

use std::{io, net::SocketAddrV4, sync::Arc, time::Duration};

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::Target;

/// Connections carried at a time, for one socket.
const CONNECTIONS_MAX: usize = 4096;
/// Time that a connection waits for a container that is being started again.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a copy's buffer in each direction.
const BUFFER_BYTES: usize = 64 * 1024;
/// Rest after an error of accept(2) that does not pass by itself (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until cancelled; connections end with it.
pub(super) async fn serve(listener: TcpListener, target: Target, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = async {
                let place = place.await.expect("the semaphore is never closed");
                (listener.accept().await, place)
            } => accepted,
        };
        match accepted {
            (Ok((client, _)), place) => {
                let target = target.clone();
                connections.spawn(async move {
                    if let Err(error) = carry(client, target).await {
                        tracing::debug!(%error, "a published connection ended");
                    }
                    drop(place);
                });
            }
            (Err(error), _) => {
                tracing::warn!(%error, "accept a published connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn carry(mut client: TcpStream, mut target: Target) -> io::Result<()> {
    let mut server = match connect(&mut target).await {
        Ok(server) => server,
        Err(error) => {
            // The client shall see a reset, as if nobody listened, not an empty answer.
            client.set_zero_linger()?;
            return Err(error);
        }
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await?;
    Ok(())
}

async fn connect(target: &mut Target) -> io::Result<TcpStream> {
    let address = running(target).await?;
    timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn running(target: &mut Target) -> io::Result<SocketAddrV4> {
    let value = timeout(START_TIMEOUT, target.wait_for(Option::is_some))
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
        .map_err(io::Error::other)?;
    Ok(value.expect("waited until it is there"))
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::watch,
    };

    use super::*;

    #[tokio::test]
    async fn waits_for_the_container_and_carries_both_ways() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, receive) = watch::channel(None);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, receive, cancel.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"ping").await.unwrap();
        let std::net::SocketAddr::V4(container) = server.local_addr().unwrap() else {
            panic!("bound to IPv4");
        };
        send.send(Some(container)).unwrap();
        let (mut inside, _) = server.accept().await.unwrap();
        let mut bytes = [0; 4];
        inside.read_exact(&mut bytes).await.unwrap();
        inside.write_all(b"pong").await.unwrap();
        drop(inside);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!((&bytes, answer.as_str()), (b"ping", "pong"));
        cancel.cancel();
        tasks.join_next().await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_container_that_does_not_listen_resets_the_client() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let std::net::SocketAddr::V4(nobody) = closed.local_addr().unwrap() else {
            panic!("bound to IPv4");
        };
        drop(closed);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_send, receive) = watch::channel(Some(nobody));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, receive, CancellationToken::new()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let error = client.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
