//! Many starts at once: as many processes as the product has monitors, each of which makes a control group and starts a container in it,
//! all released by one word. Time ends when the last container has written its first byte.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use runtime::cgroup::{Cgroup, DevicePolicy, Hierarchies};
use runtime::check::check;
use runtime::process::{LaunchIo, launch};
use runtime::security::seccomp::program;
use runtime::spec::{CgroupPlace, ContainerSpec, Resources, Rootfs};
use runtime::sys::clone::fork;
use runtime::sys::files::close;
use rustix::event::{PollFd, PollFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, pidfd_send_signal};

use super::{Bench, bare, report};
use crate::world::{DEADLINE, wait};

/// Containers at once, and how often they are started.
const BATCHES: [(usize, usize); 3] = [(1, 60), (10, 20), (50, 6)];

/// Who starts.
#[derive(Debug, Clone, Copy)]
enum Way {
    Ours,
    Bare,
}

/// Prints what batches of starts, and of ends, cost.
pub(super) fn run(bench: &Bench<'_>, parent: &str) {
    let hierarchies = Hierarchies::detect().unwrap();
    for (count, rounds) in BATCHES {
        let seats: Vec<_> = (0..count).map(|number| seat(bench, number)).collect();
        let mut times: [Vec<Duration>; 4] = Default::default();
        for _ in 0..rounds {
            for (at, way) in [(0, Way::Bare), (1, Way::Ours)] {
                let batch = Batch {
                    bench,
                    hierarchies: &hierarchies,
                    parent,
                    way,
                };
                let (started, ended) = batch.run(&seats);
                times[at].push(started);
                times[2 + at].push(ended);
            }
        }
        let [bare_start, our_start, bare_end, our_end] = &mut times;
        report(
            &format!("{count} at once, with their groups"),
            our_start,
            bare_start,
        );
        report(&format!("{count} ended at once"), our_end, bare_end);
    }
}

/// A container with directories of its own.
fn seat(bench: &Bench<'_>, number: usize) -> ContainerSpec {
    let mut spec = bench.spec.clone();
    let Rootfs::Overlay {
        upper,
        work,
        mount_point,
        ..
    } = &mut spec.rootfs
    else {
        panic!("an overlay");
    };
    for (path, name) in [(upper, "upper"), (work, "work"), (mount_point, "root")] {
        *path = bench.world.path(&format!("seats/{number}/{name}"));
        fs::create_dir_all(path).unwrap();
    }
    spec
}

struct Batch<'a> {
    bench: &'a Bench<'a>,
    hierarchies: &'a Hierarchies,
    parent: &'a str,
    way: Way,
}

/// Ends of the pipes by which the processes are told and tell.
struct Pipes {
    /// Read to its end before the start.
    go: OwnedFd,
    /// Read to its end before the end.
    end: OwnedFd,
    /// Output of all containers, and one byte of each process that is ready.
    output: OwnedFd,
}

impl Batch<'_> {
    /// Returns the time until all have written, and until all have ended.
    fn run(&self, seats: &[ContainerSpec]) -> (Duration, Duration) {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (go, tell_go) = pipe();
        let (end, tell_end) = pipe();
        let (output, all_output) = pipe();
        let pipes = Pipes {
            go,
            end,
            output: all_output,
        };
        let words = [tell_go, tell_end];
        let children: Vec<_> = seats
            .iter()
            .enumerate()
            .map(|(number, spec)| {
                fork(|| {
                    // Otherwise it would keep its own words from ending.
                    for word in &words {
                        close(word.as_fd()).unwrap();
                    }
                    self.serve(number, spec, &pipes);
                    0
                })
                .unwrap()
            })
            .collect();
        drop(pipes);
        let mut output = File::from(output);
        await_all(&mut output, ".", seats.len());
        let [tell_go, tell_end] = words;
        let begin = Instant::now();
        drop(tell_go);
        await_all(&mut output, "echo:x", seats.len());
        let started = begin.elapsed();
        let begin = Instant::now();
        drop(tell_end);
        for child in children {
            let pid = rustix::process::Pid::from_raw(child);
            let status = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
            assert_eq!(status.unwrap().unwrap().1.exit_status(), Some(0));
        }
        (started, begin.elapsed())
    }

    /// One process: starts a container when it is told to, and ends it when it is told to.
    fn serve(&self, number: usize, spec: &ContainerSpec, pipes: &Pipes) {
        let place = CgroupPlace {
            parent: self.parent.to_owned(),
            name: format!("seat-{number}"),
        };
        rustix::io::write(&pipes.output, b".").unwrap();
        await_end(&pipes.go);
        let pidfd = match self.way {
            Way::Ours => self.ours(spec, &place, pipes),
            Way::Bare => self.bare(spec, &place, pipes),
        };
        await_end(&pipes.end);
        pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
        wait(pidfd.as_fd());
        Cgroup::open_in(self.hierarchies, &place)
            .unwrap()
            .remove()
            .unwrap();
    }

    fn ours(&self, spec: &ContainerSpec, place: &CgroupPlace, pipes: &Pipes) -> OwnedFd {
        let resources = Resources {
            pids: Some(100),
            ..Resources::default()
        };
        let policy = DevicePolicy::Listed(vec![]);
        let warnings = &mut Vec::new();
        let cgroup = Cgroup::create_in(self.hierarchies, place, &resources, &policy, warnings);
        let join = cgroup.unwrap().join_files().unwrap();
        let filter = program(&spec.security).unwrap();
        let io = LaunchIo::Files {
            stdin: File::open("/dev/null").unwrap().into(),
            stdout: pipes.output.try_clone().unwrap(),
            stderr: pipes.output.try_clone().unwrap(),
        };
        let spec = check(spec.clone()).unwrap();
        launch(&spec, io, &join, &filter).unwrap().pidfd
    }

    fn bare(&self, spec: &ContainerSpec, place: &CgroupPlace, pipes: &Pipes) -> OwnedFd {
        let join = bare::group(self.hierarchies, place);
        bare::start(&bare::Bare {
            rootfs: &spec.rootfs,
            network: self.bench.network.as_fd(),
            join: &join,
            filter: &self.bench.filter,
            output: pipes.output.as_fd(),
        })
        .pidfd
    }
}

fn await_end(pipe: &OwnedFd) {
    assert_eq!(rustix::io::read(pipe, &mut [0; 1]), Ok(0));
}

/// Reads until all have written this.
fn await_all(output: &mut File, what: &str, count: usize) {
    let timeout = rustix::event::Timespec {
        tv_sec: DEADLINE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    let mut text = String::new();
    while text.matches(what).count() < count {
        let mut poll = [PollFd::new(&*output, PollFlags::IN)];
        let seen = rustix::event::poll(&mut poll, Some(&timeout));
        assert_eq!(seen, Ok(1), "{count} times {what:?} in {text:?}");
        let mut buffer = [0; 4096];
        let length = output.read(&mut buffer).unwrap();
        assert!(length > 0, "the processes ended: {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
}
