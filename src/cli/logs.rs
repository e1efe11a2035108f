//! `stack logs`: what services wrote, merged by time.

use clap::Args;

use super::{
    failure::{Failure, INTERRUPTED},
    follow::{Follow, LOOK_INTERVAL, Selection},
    poll::{self, Interest},
    session::{Session, Target, service_names},
    terminal::Signals,
    values::{self, Moment, Tail},
};
use crate::{
    container::logs::Query,
    ui::{logs::LogStyle, style::Palette},
};

/// View what services wrote
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Go on with new lines until every container has ended
    #[arg(short, long)]
    follow: bool,
    /// Only this replica
    #[arg(long)]
    index: Option<u32>,
    /// Without colours
    #[arg(long)]
    no_color: bool,
    /// Without the container's name before each line
    #[arg(long)]
    no_log_prefix: bool,
    /// From this time on: 10m, 2026-01-02T15:04:05Z, seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    since: Option<Moment>,
    /// Up to this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    until: Option<Moment>,
    /// Number of lines from the end of each container's log
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = values::tail, allow_hyphen_values = true)]
    tail: Tail,
    /// With the time of each line
    #[arg(short, long)]
    timestamps: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let selection = Selection {
        services: selected(&target, arguments)?,
        index: arguments.index,
    };
    let mut follow = Follow::open(
        session,
        target.project,
        selection.clone(),
        arguments.query(jiff::Timestamp::now())?,
        arguments.style(session),
    )?;
    if !arguments.follow {
        follow.print()?;
        return follow.print_rest();
    }
    let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
    follow.watch()?;
    loop {
        // Who lives is asked before the lines are read: what the last one wrote is then on disk.
        let containers = follow.refresh()?;
        let is_over = !containers
            .iter()
            .any(|container| selection.wants(container) && container.state.is_live());
        follow.print()?;
        if is_over {
            return follow.print_rest();
        }
        let fds = [
            Some((std::os::fd::AsFd::as_fd(&signals), Interest::Read)),
            Some((std::os::fd::AsFd::as_fd(&follow), Interest::Read)),
        ];
        let ready = poll::wait(&fds, Some(LOOK_INTERVAL))
            .map_err(|error| Failure::intent("wait for lines", &error))?;
        let is_end = ready[0]
            && signals
                .is_end()
                .map_err(|error| Failure::intent("read a signal", &error))?;
        if is_end {
            return Err(Failure::Status(INTERRUPTED));
        }
    }
}

/// Returns the services named, else those of the file that show their logs, else `None` for all.
fn selected(
    target: &Target,
    arguments: &Arguments,
) -> Result<Option<Vec<compose_spec::model::ServiceName>>, Failure> {
    if !arguments.services.is_empty() {
        return service_names(&arguments.services).map(Some);
    }
    Ok(target.file().map(|project| {
        project
            .services
            .values()
            .filter(|service| service.attach)
            .map(|service| service.name.clone())
            .collect()
    }))
}

impl Arguments {
    fn query(&self, now: jiff::Timestamp) -> Result<Query, Failure> {
        let at = |moment: Option<Moment>| {
            moment
                .map(|moment| {
                    moment
                        .at(now)
                        .ok_or_else(|| Failure::Usage("the time is out of range".into()))
                })
                .transpose()
        };
        Ok(Query {
            since: at(self.since)?,
            until: at(self.until)?,
            tail: self.tail.0,
        })
    }

    fn style(&self, session: &Session<'_>) -> LogStyle {
        LogStyle {
            palette: if self.no_color {
                Palette::new(false)
            } else {
                session.ui.options().out
            },
            prefix: !self.no_log_prefix,
            timestamps: self.timestamps,
        }
    }
}
