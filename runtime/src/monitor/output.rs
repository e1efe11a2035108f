//! Brings what the container prints into its log and to the attached clients.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    Monitor, Phase,
    connections::Connections,
    log::{Log, Stream},
    protocol::Frame,
    streams::{Output, Streams},
};

/// Time that output may take to end after the process: longer only when a process outside of the container has it open.
const DRAIN_MAX: Duration = Duration::from_millis(200);
impl Monitor {
    /// An output has something to read, or has ended.
    pub(super) fn output_ready(&mut self, stream: Stream) {
        if let Phase::Running(run) = &mut self.phase {
            pump(
                &mut run.streams,
                stream,
                &mut self.log,
                &mut self.connections,
                &mut self.buffer,
            );
        }
    }

    /// Reads the outputs to their end.
    pub(super) fn drain(&mut self) {
        let Phase::Running(run) = &mut self.phase else {
            return;
        };
        let deadline = Instant::now() + DRAIN_MAX;
        loop {
            let open = run
                .streams
                .outputs()
                .map(|(stream, _)| stream)
                .collect::<Vec<_>>();
            let mut idle = true;
            for stream in open {
                let output = pump(
                    &mut run.streams,
                    stream,
                    &mut self.log,
                    &mut self.connections,
                    &mut self.buffer,
                );
                idle &= !matches!(output, Output::Bytes(_));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if run.streams.outputs().next().is_none() || left.is_zero() {
                break;
            }
            if idle {
                let mut fds = run
                    .streams
                    .outputs()
                    .map(|(_, output)| PollFd::from_borrowed_fd(output, PollFlags::IN))
                    .collect::<Vec<_>>();
                let timeout = Timespec::try_from(left).expect("milliseconds fit");
                poll(&mut fds, Some(&timeout)).ok();
            }
        }
        self.log.end(Stream::Stdout);
        self.log.end(Stream::Stderr);
    }
}

/// Reads one output once, into the log and to the attached clients.
fn pump(
    streams: &mut Streams,
    stream: Stream,
    log: &mut Log,
    connections: &mut Connections,
    buffer: &mut [u8],
) -> Output {
    let (tag, space) = buffer.split_at_mut(1);
    let output = streams.read(stream, space);
    match output {
        Output::Bytes(count) => {
            log.output(stream, &space[..count]);
            if connections.any_attached() {
                tag[0] = match stream {
                    Stream::Stdout => Frame::Stdout as u8,
                    Stream::Stderr => Frame::Stderr as u8,
                };
                connections.broadcast(&buffer[..=count]);
            }
        }
        Output::End => log.end(stream),
        Output::Nothing => {}
    }
    output
}
