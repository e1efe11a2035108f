//! What starts, stops and execs cost, against the system calls that cannot be left out, in the same run. Not a test: `kernel --measure`
//! prints microseconds and ratios; tests/bench/floor builds it for release and runs it. Only the ratios mean something on another machine.

mod bare;
mod parallel;

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use runtime::cgroup::{Cgroup, DevicePolicy};
use runtime::netns;
use runtime::process::SockFilter;
use runtime::security::seccomp::program;
use runtime::spec::{CgroupPlace, ContainerSpec, Namespace, Resources};
use runtime::sys::clone::{Child, clone_child};
use runtime::sys::exec::Texts;
use runtime::sys::memory::keep_large_apart;
use rustix::process::{Signal, pidfd_send_signal};
use rustix::thread::ThreadNameSpaceType;

use crate::running::Running;
use crate::world::{World, wait};

/// Starts measured of each kind.
const ROUNDS: usize = 200;
/// Starts and stops after which nothing may be left.
const CYCLES: usize = 1000;
/// What a start may cost at most in terms of the bare calls.
const RATIO_MAX: f64 = 2.0;

/// Prints everything, or one of `starts`, `execs`, `parallel` and `cycles`.
pub(crate) fn run(part: Option<&str>) {
    // As a monitor does before anything else.
    keep_large_apart();
    let world = World::new();
    let network = world.path("share/net");
    netns::create(&network).unwrap();
    let place = CgroupPlace {
        parent: format!("stack-floor-{}", std::process::id()),
        name: "container".into(),
    };
    let resources = Resources {
        pids: Some(100),
        ..Resources::default()
    };
    let policy = DevicePolicy::Listed(vec![]);
    let cgroup = Cgroup::create(&place, &resources, &policy, &mut Vec::new()).unwrap();
    let mut spec = world.spec(&["echo:x", "sleep"]);
    spec.namespaces.net = Namespace::Join(network.clone());
    let bench = Bench {
        network: File::open(&network).unwrap().into(),
        world: &world,
        cgroup: &cgroup,
        filter: program(&spec.security).unwrap(),
        spec,
    };
    let parts: [(&str, &dyn Fn()); 4] = [
        ("starts", &|| bench.starts()),
        ("execs", &|| bench.execs()),
        ("parallel", &|| parallel::run(&bench, &place.parent)),
        ("cycles", &|| bench.cycles()),
    ];
    for (_, measure) in parts
        .iter()
        .filter(|(name, _)| part.is_none_or(|part| part == *name))
    {
        measure();
    }
    cgroup.remove().unwrap();
    drop(bench);
    netns::remove(&network).unwrap();
}

struct Bench<'a> {
    world: &'a World,
    cgroup: &'a Cgroup,
    network: OwnedFd,
    spec: ContainerSpec,
    /// Compiled ahead, for the bare calls.
    filter: Vec<SockFilter>,
}

impl Bench<'_> {
    fn starts(&self) {
        let (mut bare_start, mut bare_stop) = (Vec::new(), Vec::new());
        let (mut our_start, mut our_stop) = (Vec::new(), Vec::new());
        // Alternately, so that whatever else the machine does meets both.
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            let (child, mut output) = self.bare();
            first_byte(&mut output);
            bare_start.push(begin.elapsed());
            let begin = Instant::now();
            pidfd_send_signal(&child.pidfd, Signal::KILL).unwrap();
            wait(child.pidfd.as_fd());
            bare_stop.push(begin.elapsed());

            let begin = Instant::now();
            let mut running = self.ours();
            running.await_text("echo:x");
            our_start.push(begin.elapsed());
            let begin = Instant::now();
            running.kill();
            our_stop.push(begin.elapsed());
        }
        report(
            "start, request to first byte",
            &mut our_start,
            &mut bare_start,
        );
        report("stop, SIGKILL to reaped", &mut our_stop, &mut bare_stop);
    }

    /// A container as the product starts it.
    fn ours(&self) -> Running {
        let filter = program(&self.spec.security).unwrap();
        let join = self.cgroup.join_files().unwrap();
        self.world
            .start_with(self.spec.clone(), &join, &filter)
            .unwrap()
    }

    /// The same by nothing but the calls.
    fn bare(&self) -> (Child, File) {
        let join = self.cgroup.join_files().unwrap();
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let child = bare::start(&bare::Bare {
            rootfs: &self.spec.rootfs,
            network: self.network.as_fd(),
            join: &join,
            filter: &self.filter,
            output: write.as_fd(),
        });
        (child, File::from(read))
    }

    fn execs(&self) {
        let mut running = self.ours();
        running.await_text("ready");
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begin = Instant::now();
            Self::bare_exec(&running);
            bare.push(begin.elapsed());
            let begin = Instant::now();
            assert_eq!(running.exec(&["exit:0"]).code, 0);
            ours.push(begin.elapsed());
        }
        report("exec, request to exit", &mut ours, &mut bare);
        running.kill();
    }

    /// What nsenter(1) does, without its own start.
    fn bare_exec(running: &Running) {
        let arguments = Texts::new(vec![c"probe".to_owned(), c"exit:0".to_owned()]);
        let environment = Texts::new(vec![]);
        let all = ThreadNameSpaceType::MOUNT
            | ThreadNameSpaceType::NETWORK
            | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
            | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
            | ThreadNameSpaceType::PROCESS_ID;
        let init = running.launched.pidfd.as_fd();
        let child = clone_child(0, None, || {
            rustix::thread::move_into_thread_name_spaces(init, all).unwrap();
            let inner = runtime::sys::clone::fork(|| {
                let Err(_) = arguments.execute(c"/bin/probe", &environment);
                127
            });
            let pid = rustix::process::Pid::from_raw(inner.unwrap());
            rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
            0
        });
        assert_eq!(wait(child.unwrap().pidfd.as_fd()), 0);
    }

    /// Nothing grows: what `World` looks at in the end is looked at, and here memory and control groups.
    fn cycles(&self) {
        let groups = || fs::read_dir("/sys/fs/cgroup").unwrap().count();
        self.ours().kill();
        let (memory, before) = (resident_kib(), groups());
        let begin = Instant::now();
        for _ in 0..CYCLES {
            let mut running = self.ours();
            running.await_text("echo:x");
            running.kill();
        }
        let each = begin.elapsed() / u32::try_from(CYCLES).unwrap();
        assert_eq!(groups(), before, "control groups were left");
        assert_eq!(self.cgroup.pids(), [0; 0], "processes were left");
        let grown = resident_kib().saturating_sub(memory);
        println!(
            "{CYCLES} cycles: {} us each, {grown} KiB grown",
            each.as_micros()
        );
        assert!(grown < 512, "memory grows: {grown} KiB");
    }
}

fn first_byte(output: &mut File) {
    let mut byte = [0];
    output.read_exact(&mut byte).unwrap();
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.split_ascii_whitespace().next()?.parse().ok())
        .unwrap()
}

/// Prints medians and tenth percentiles, and the ratio of the medians.
fn report(name: &str, ours: &mut [Duration], bare: &mut [Duration]) {
    ours.sort();
    bare.sort();
    let at = |times: &[Duration], part: usize| times[times.len() * part / 10].as_secs_f64() * 1e6;
    let ratio = at(ours, 5) / at(bare, 5);
    let verdict = if ratio <= RATIO_MAX { "ok" } else { "ABOVE" };
    println!(
        "{name:30} ours {:6.0} (p10 {:6.0})  bare {:6.0} (p10 {:6.0})  ratio {ratio:.2} {verdict} {RATIO_MAX}",
        at(ours, 5),
        at(ours, 1),
        at(bare, 5),
        at(bare, 1),
    );
}
