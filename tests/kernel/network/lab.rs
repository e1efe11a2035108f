//! A host of its own for each test: a network and a mount namespace, an uplink with MTU 1400 and somebody at its other end.
//!
//! ```text
//! host (the test's thread) 192.0.2.2 == eth0 ===== eth0 == 192.0.2.1, 192.0.2.53 ext
//! ```
//! "Containers" are the namespaces that the fabric makes, entered by threads of the test. Nothing of the machine is touched.

use std::{
    fs,
    future::Future,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, setns, unshare},
};
use stack::{
    model::ContainerRecord,
    network::{Fabric, netns_path},
    store::Root,
};

/// Longest wait for a fact.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Timeout of a connection that is expected to get no answer.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);
/// Namespace of the other end of the uplink.
pub(crate) const EXT: &str = "/run/netns/ext";

/// The host of one test.
pub(crate) struct Lab {
    pub(crate) root: Root,
}

/// Runs a test in a lab, on a thread of its own with a runtime of its own; fails when it leaves links or tables behind.
pub(crate) fn lab<F: Future<Output = ()>>(test: impl FnOnce(Lab) -> F + Send + 'static) {
    let result = thread::spawn(move || {
        let directory = set_up();
        let root = Root::below(directory.path());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(test(Lab { root }));
        drop(runtime);
        assert_clean(directory.path());
    })
    .join();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn set_up() -> tempfile::TempDir {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("kernel tests need root");
    let none: Option<&str> = None;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).expect("make mounts private");
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), none).expect("mount /run");
    let directory = tempfile::tempdir().expect("a directory");
    write_resolv_conf("nameserver 192.0.2.53\n");
    mount(
        Some("/run/resolv.conf"),
        "/etc/resolv.conf",
        none,
        MsFlags::MS_BIND,
        none,
    )
    .expect("mount resolv.conf");
    for line in [
        "ip link set lo up",
        "ip netns add ext",
        "ip link add eth0 mtu 1400 type veth peer name eth0 netns ext",
        "ip address add 192.0.2.2/24 dev eth0",
        "ip link set eth0 up",
        "ip -n ext link set lo up",
        "ip -n ext link set eth0 mtu 1400 up",
        "ip -n ext address add 192.0.2.1/24 dev eth0",
        "ip -n ext address add 192.0.2.53/24 dev eth0",
        "ip route add default via 192.0.2.1",
    ] {
        sh(line);
    }
    directory
}

/// Changes the host's resolver configuration.
pub(crate) fn write_resolv_conf(text: &str) {
    fs::write("/run/resolv.conf", text).expect("write resolv.conf");
}

fn assert_clean(root: &Path) {
    let pins = fs::read_dir(root.join("run/netns")).map_or(0, Iterator::count);
    assert_eq!(pins, 0, "network namespaces are left");
    eventually(&sh("ip -o link"), || !sh("ip -o link").contains(": st"));
    assert_eq!(sh("nft list ruleset"), "", "a table is left");
    assert_eq!(
        read("/proc/sys/net/ipv4/ip_forward"),
        "0",
        "forwarding is left on"
    );
}

/// Runs a command of the test in the calling thread's namespaces and returns its output.
pub(crate) fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {text}{errors}");
    text
}

/// Reads a kernel file, trimmed.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).expect(path).trim().to_owned()
}

/// Waits for a fact.
#[expect(clippy::disallowed_methods, reason = "polling with a deadline")]
pub(crate) fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !check() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs something in a pinned namespace, on a thread of its own.
pub(crate) fn inside<T: Send>(pin: &Path, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        scope
            .spawn(|| {
                let file = fs::File::open(pin).expect("the pin");
                setns(file, CloneFlags::CLONE_NEWNET).expect("enter");
                work()
            })
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Lab {
    /// Opens a fabric as a supervisor does that finds nothing.
    pub(crate) async fn fabric(&self) -> Fabric {
        let fabric = Fabric::open(&self.root).await.expect("a fabric");
        fabric.settle().await.expect("settled");
        fabric
    }

    /// Path of a container's namespace.
    pub(crate) fn pin(&self, record: &ContainerRecord) -> PathBuf {
        netns_path(&self.root, &record.id)
    }

    /// Runs something in a container.
    pub(crate) fn within<T: Send>(
        &self,
        record: &ContainerRecord,
        work: impl FnOnce() -> T + Send,
    ) -> T {
        inside(&self.pin(record), work)
    }

    /// Starts a server in a container that answers each connection with a name and the peer's address.
    pub(crate) fn serve(&self, record: &ContainerRecord, port: u16) -> Service {
        let name = record.name.clone();
        let listener = self.within(record, || {
            TcpListener::bind(("0.0.0.0", port)).expect("bind")
        });
        Service::start(listener, name)
    }
}

/// A TCP server of the test; ends when dropped.
pub(crate) struct Service {
    stop: TcpListener,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    /// Serves a listener that was made in any namespace.
    pub(crate) fn start(listener: TcpListener, name: String) -> Self {
        let stop = listener.try_clone().expect("a second descriptor");
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let peer = stream.peer_addr().map(|peer| peer.ip().to_string());
                // A client may be gone already.
                drop(write!(stream, "{name} {}", peer.unwrap_or_default()));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Wakes accept(2) with an error, wherever the socket lives.
        nix::sys::socket::shutdown(
            std::os::fd::AsRawFd::as_raw_fd(&self.stop),
            nix::sys::socket::Shutdown::Both,
        )
        .expect("shutdown");
        self.thread
            .take()
            .expect("joined once")
            .join()
            .expect("the server");
    }
}

/// What a connection gave: what the server said, or how it was turned away.
pub(crate) fn fetch(address: &str) -> String {
    let address: SocketAddr = address.parse().expect("an address");
    match TcpStream::connect_timeout(&address, SILENCE) {
        Ok(mut stream) => {
            stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
            stream.shutdown(Shutdown::Write).expect("shutdown");
            let mut text = String::new();
            match stream.read_to_string(&mut text) {
                Ok(_) => text,
                Err(error) => format!("{:?}", error.kind()),
            }
        }
        Err(error) => format!("{:?}", error.kind()),
    }
}

/// Sends a datagram and returns the answer, if one comes.
pub(crate) fn exchange(address: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let address: SocketAddr = address.parse().expect("an address");
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any).expect("bind");
    socket.set_read_timeout(Some(SILENCE)).expect("a timeout");
    socket.connect(address).expect("connect");
    socket.send(bytes).ok()?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer).ok()?;
    buffer.truncate(length);
    Some(buffer)
}
