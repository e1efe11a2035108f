//! TLS and proxies.
#![expect(
    clippy::disallowed_methods,
    reason = "certificates are made by a program"
)]

use std::{path::Path, process::Command, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Makes an authority and a certificate of `localhost` that it signed.
fn make_certificates(directory: &Path) {
    let script = r"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=test-authority
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout server.key -out server.csr -subj /CN=localhost
        printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' > extensions
        openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile extensions
    ";
    let output = Command::new("sh")
        .arg("-euc")
        .arg(script)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn acceptor(directory: &Path) -> tokio_rustls::TlsAcceptor {
    let chain =
        CertificateDer::from_pem_slice(&fs_err::read(directory.join("server.crt")).unwrap())
            .unwrap();
    let key = PrivateKeyDer::from_pem_slice(&fs_err::read(directory.join("server.key")).unwrap())
        .unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn certificates_are_checked_unless_the_settings_say_otherwise() {
    let mut world = World::new();
    let certificates = tempfile::tempdir().unwrap();
    make_certificates(certificates.path());
    let fake = Fake::start_with(Some(acceptor(certificates.path()))).await;
    put(&fake, "1", &[layer("a", 100_000)]);
    // Nothing listens at the registry itself: only its mirror speaks TLS.
    let port = fake.address.port();
    let mirror = format!("https://localhost:{port}");
    let registries = (world.registries.clone())
        .with_mirror("127.0.0.1:1", &mirror)
        .unwrap();
    let places = tempfile::tempdir().unwrap();
    let registries = registries.with_certificates(places.path());
    world.registries = registries.clone();
    let error = text(&world.pull("127.0.0.1:1/image:1").await.unwrap_err());
    assert!(
        error.contains(&format!(
            "make a TLS connection to localhost:{port}: its certificate is of an authority that this machine does not trust"
        )),
        "{error}"
    );
    world.registries = registries
        .clone()
        .with_insecure(&format!("localhost:{port}"));
    world.pull("127.0.0.1:1/image:1").await.unwrap();

    let place = places.path().join(format!("localhost:{port}"));
    fs_err::create_dir(&place).unwrap();
    fs_err::copy(certificates.path().join("ca.crt"), place.join("ca.crt")).unwrap();
    let mut other = World::new();
    other.registries = registries;
    let record = other.pull("127.0.0.1:1/image:1").await.unwrap();
    assert_eq!(record.size_bytes, 100_000);
    fs_err::write(
        place.join("ca.crt"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let broken = text(
        &World {
            registries: other.registries.clone(),
            ..World::new()
        }
        .pull("127.0.0.1:1/image:1")
        .await
        .unwrap_err(),
    );
    assert!(
        broken.contains("holds no certificate or key that can be used"),
        "{broken}"
    );
}

/// Tunnels to one address, whatever it is asked for; returns the first line of each request.
async fn proxy(target: std::net::SocketAddr) -> (String, tokio::task::JoinSet<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut upstream = TcpStream::connect(target).await.unwrap();
        if head.starts_with("CONNECT") {
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .await
                .unwrap();
        } else {
            upstream.write_all(head.as_bytes()).await.unwrap();
        }
        drop(copy_bidirectional(&mut stream, &mut upstream).await);
        let wanted = |line: &&str| line.to_ascii_lowercase().starts_with("proxy-authorization");
        let secret = head.lines().find(wanted).unwrap_or_default();
        let secret = secret.split_once(": ").map_or("", |(_, value)| value);
        format!("{} {secret}", head.lines().next().unwrap())
    });
    (address, tasks)
}

#[tokio::test]
async fn proxies_are_used_for_plain_and_for_protected_registries() {
    for secure in [false, true] {
        let mut world = World::new();
        let certificates = tempfile::tempdir().unwrap();
        make_certificates(certificates.path());
        let tls = secure.then(|| acceptor(certificates.path()));
        let fake = Fake::start_with(tls).await;
        put(&fake, "1", &[layer("a", 1000)]);
        let (address, mut tasks) = proxy(fake.address).await;
        let address = address.replace("http://", "http://me:se%40cret@");
        // A name that does not exist: only the proxy knows the way.
        let scheme = if secure { "https" } else { "http" };
        let mirror = format!("{scheme}://registry.invalid:5000");
        let registries = world
            .registries
            .clone()
            .with_mirror("127.0.0.1:1", &mirror)
            .unwrap()
            .with_insecure("registry.invalid:5000");
        world.registries = registries
            .with_proxies(Some(&address), Some(&address), Some("other,10.0.0.0/8"))
            .unwrap();
        world.pull("127.0.0.1:1/image:1").await.unwrap();
        drop(world);
        let line = tasks.join_next().await.unwrap().unwrap();
        let expected = if secure {
            "CONNECT registry.invalid:5000 HTTP/1.1"
        } else {
            "GET http://registry.invalid:5000/v2/image/manifests/1 HTTP/1.1"
        };
        assert_eq!(line, format!("{expected} Basic bWU6c2VAY3JldA=="));
    }
    assert!(
        Registries::default()
            .with_proxies(Some("ftp://u:secret@p:1"), None, None)
            .unwrap_err()
            .to_string()
            .contains("`p:1`")
    );
}
