//! `stack events`: what happens to the containers and images of a project, from the supervisor's journal. Needs no supervisor itself.

use std::{collections::BTreeSet, os::fd::AsFd, time::Duration};

use clap::Args;
use compose_spec::model::{ProjectName, ServiceName};

use super::{
    failure::{Failure, INTERRUPTED},
    follow::LOOK_INTERVAL,
    poll::{self, Interest},
    session::{Session, service_names},
    terminal::Signals,
    values::{self, Moment},
};
use crate::container::{
    journal::{self, Entry, EntryKind},
    logs::{LogLine, LogReader, LogTime, Query, Watch},
};

/// Watch what happens to the containers and images of the project
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Also what happened from this time on: 10m, 2026-01-02T15:04:05Z, seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    since: Option<Moment>,
    /// End at this time
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    until: Option<Moment>,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let target = session.target(&arguments.services)?;
    let now = jiff::Timestamp::now();
    let query = Query {
        since: Some(match arguments.since {
            Some(since) => at(since, now)?,
            None => log_time(now)?,
        }),
        until: arguments.until.map(|until| at(until, now)).transpose()?,
        tail: None,
    };
    let mut events = Events {
        session,
        project: target.project,
        services: service_names(&arguments.services)?.into_iter().collect(),
        json: arguments.json,
        reader: LogReader::open(&session.settings.root.events(), &query)?,
    };
    let signals = Signals::take().map_err(|error| Failure::intent("take signals", &error))?;
    let watch = events.watch()?;
    loop {
        let left = match query.until {
            Some(until) => time_left(until, jiff::Timestamp::now())?,
            None => Some(LOOK_INTERVAL),
        };
        events.print()?;
        let Some(left) = left else {
            return Ok(());
        };
        let fds = [
            Some((signals.as_fd(), Interest::Read)),
            Some((watch.as_fd(), Interest::Read)),
        ];
        let ready = poll::wait(&fds, Some(left.min(LOOK_INTERVAL)))
            .map_err(|error| Failure::intent("wait for events", &error))?;
        if ready[0]
            && signals
                .is_end()
                .map_err(|error| Failure::intent("read a signal", &error))?
        {
            return Err(Failure::Status(INTERRUPTED));
        }
        watch
            .drain()
            .map_err(|error| Failure::intent("watch the journal", &error))?;
    }
}

/// The events of a project as they come.
struct Events<'a> {
    session: &'a Session<'a>,
    project: ProjectName,
    /// Empty = all, and images.
    services: BTreeSet<ServiceName>,
    json: bool,
    reader: LogReader,
}

impl Events<'_> {
    /// Begins to watch, the parent first: the journal appears with its first event.
    fn watch(&self) -> Result<Watch, Failure> {
        let root = &self.session.settings.root;
        let watch = || {
            let watch = Watch::open()?;
            watch.add(root.state())?;
            watch.add(&root.events())?;
            Ok(watch)
        };
        watch().map_err(|error: std::io::Error| Failure::intent("watch the journal", &error))
    }

    fn print(&mut self) -> Result<(), Failure> {
        while let Some(line) = self.reader.next_line()? {
            let entry = journal::entry(line.stream, &line.text);
            if let Some(entry) = entry.filter(|entry| self.wants(entry)) {
                let text = if self.json {
                    json(&line, &entry)
                } else {
                    plain(&line, &entry)
                };
                self.session.ui.data(text)?;
            }
        }
        Ok(())
    }

    /// One-offs are nobody's business, as in compose.
    fn wants(&self, entry: &Entry) -> bool {
        let service = entry.service.as_ref();
        entry.project == self.project
            && !entry.one_off
            && (self.services.is_empty()
                || service.is_some_and(|service| self.services.contains(service)))
    }
}

/// Compose's object, its keys in the same order.
fn json(line: &LogLine, entry: &Entry) -> String {
    let object = serde_json::json!({
        "action": entry.action,
        "attributes": entry.attributes,
        "id": entry.id,
        "service": entry.service.as_ref().map_or("", |service| service.as_str()),
        "time": line.time.as_str(),
        "type": entry.kind,
    });
    format!("{object}\n")
}

/// `2026-01-02 03:04:05.123456 container die 0123… (exitCode=1, image=…, name=shop-web-1)`.
fn plain(line: &LogLine, entry: &Entry) -> String {
    let time = line.time.as_str();
    let kind = match entry.kind {
        EntryKind::Container => "container",
        EntryKind::Image => "image",
    };
    let attributes: Vec<String> = entry
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!(
        "{} {} {kind} {} {} ({})\n",
        &time[..10],
        &time[11..26],
        entry.action,
        entry.id,
        attributes.join(", ")
    )
}

fn at(moment: Moment, now: jiff::Timestamp) -> Result<LogTime, Failure> {
    moment.at(now).ok_or_else(out_of_range)
}

fn log_time(time: jiff::Timestamp) -> Result<LogTime, Failure> {
    LogTime::from_unix(time.as_second(), time.subsec_nanosecond()).ok_or_else(out_of_range)
}

fn out_of_range() -> Failure {
    Failure::Usage("the time is out of range".into())
}

/// Returns how long it is until a time; `None` once it has come.
fn time_left(until: LogTime, now: jiff::Timestamp) -> Result<Option<Duration>, Failure> {
    let until: jiff::Timestamp = until.as_str().parse().map_err(|_error| out_of_range())?;
    Ok(Duration::try_from(until.duration_since(now))
        .ok()
        .filter(|left| !left.is_zero()))
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::container::logs::LogStream;

    const TIME: &str = "2026-01-02T03:04:05.123456789Z";

    fn entry() -> Entry {
        Entry {
            kind: EntryKind::Container,
            action: "die".to_owned(),
            id: "0123".to_owned(),
            project: "shop".parse().unwrap(),
            service: Some("web".parse().unwrap()),
            one_off: false,
            run_ms: Some(1),
            ended_ms: None,
            attributes: IndexMap::from([
                ("name".to_owned(), "shop-web-1".to_owned()),
                ("exitCode".to_owned(), "1".to_owned()),
            ]),
        }
    }

    fn line() -> LogLine {
        LogLine {
            time: LogTime::parse(TIME.as_bytes()).unwrap(),
            stream: LogStream::Event,
            text: serde_json::to_vec(&entry()).unwrap(),
        }
    }

    #[test]
    fn events_have_composes_forms() {
        let (line, entry) = (line(), entry());
        assert_eq!(
            journal::entry(line.stream, &line.text).as_ref(),
            Some(&entry)
        );
        insta::assert_snapshot!(json(&line, &entry).trim_end(), @r#"{"action":"die","attributes":{"name":"shop-web-1","exitCode":"1"},"id":"0123","service":"web","time":"2026-01-02T03:04:05.123456789Z","type":"container"}"#);
        insta::assert_snapshot!(plain(&line, &entry).trim_end(), @"2026-01-02 03:04:05.123456 container die 0123 (name=shop-web-1, exitCode=1)");
    }

    #[test]
    fn the_end_is_when_its_time_has_come() {
        let until = LogTime::parse(TIME.as_bytes()).unwrap();
        let now: jiff::Timestamp = "2026-01-02T03:04:04.123456789Z".parse().unwrap();
        assert_eq!(time_left(until, now).unwrap(), Some(Duration::from_secs(1)));
        let now: jiff::Timestamp = TIME.parse().unwrap();
        assert_eq!(time_left(until, now).unwrap(), None);
        let now: jiff::Timestamp = "2027-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(time_left(until, now).unwrap(), None);
    }
}
