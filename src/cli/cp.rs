//! `stack cp`: copies files between this machine and containers, running or not.

use std::{
    ffi::OsStr,
    io::{self, IsTerminal, Read},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use clap::Args;
use compose_spec::model::ServiceName;

use super::{
    failure::Failure,
    observed,
    session::{Session, service_names},
};
use crate::{
    container::copy::{CopyError, Extracted, Kind, Owners, Place, extract, pack},
    model::ObservedContainer,
    ui::human,
};

/// Standard input or output, as a tar stream.
const STREAM: &str = "-";

/// Copy files between a container and this machine
#[derive(Debug, Args)]
#[command(
    override_usage = "stack cp [OPTIONS] SERVICE:SOURCE TARGET|-\n       stack cp [OPTIONS] SOURCE|- SERVICE:TARGET"
)]
pub(super) struct Arguments {
    /// What is copied: a path, SERVICE:PATH, or - for a tar stream from standard input
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Where it goes: a path, SERVICE:PATH, or - for a tar stream to standard output
    #[arg(value_name = "TARGET")]
    target: String,
    /// Keep owners [default: the target's root user, or you]
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link named as the source leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Replica number [default: the first for a source, all for a target]
    #[arg(long)]
    index: Option<u32>,
    /// Also containers of `run`
    #[arg(long)]
    all: bool,
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Side {
    Stream,
    Host(String),
    Container { service: String, path: String },
}

impl Side {
    /// As docker: what begins with `/` or `.` is a path of this machine, also with a colon in it.
    pub(super) fn parse(text: &str) -> Self {
        if text == STREAM {
            return Self::Stream;
        }
        match text.split_once(':') {
            Some((service, path))
                if !service.is_empty() && !service.contains('/') && !service.starts_with('.') =>
            {
                Self::Container {
                    service: service.to_owned(),
                    path: path.to_owned(),
                }
            }
            _ => Self::Host(text.to_owned()),
        }
    }
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("cp")?;
    match (
        Side::parse(&arguments.source),
        Side::parse(&arguments.target),
    ) {
        (Side::Container { .. }, Side::Container { .. }) => Err(Failure::Usage(
            "copying from one container to another needs a stop on this machine".into(),
        )),
        (Side::Container { service, path }, target) => {
            let container = containers(session, arguments, &service)?.remove(0);
            from_container(session, arguments, &container, &path, &target)
        }
        (source, Side::Container { service, path }) => {
            let containers = containers(session, arguments, &service)?;
            if source == Side::Stream && containers.len() > 1 {
                return Err(Failure::Usage(format!(
                    "service `{service}` has {} containers and a stream can be read once: say which with --index",
                    containers.len()
                )));
            }
            containers.iter().try_for_each(|container| {
                to_container(session, arguments, &source, (container, &path))
            })
        }
        _ => Err(Failure::Usage(
            "one of the two must be in a container: SERVICE:PATH".into(),
        )),
    }
}

/// Returns the containers that a service means, at least one.
fn containers(
    session: &Session<'_>,
    arguments: &Arguments,
    service: &str,
) -> Result<Vec<ObservedContainer>, Failure> {
    let named = [service.to_owned()];
    let target = session.target(&named)?;
    let service: ServiceName = service_names(&named)?.remove(0);
    let mut containers = observed::of_services(
        session.containers(&target.project)?,
        std::slice::from_ref(&service),
    );
    observed::sort(&mut containers);
    containers.retain(|container| match observed::replica(container) {
        Some(number) => arguments.index.is_none_or(|index| index == number),
        None => arguments.all && arguments.index.is_none(),
    });
    if containers.is_empty() {
        return Err(Failure::message(match arguments.index {
            Some(index) => format!("service `{service}` has no container number {index}"),
            None => format!("service `{service}` has no container"),
        }));
    }
    Ok(containers)
}

fn from_container(
    session: &Session<'_>,
    arguments: &Arguments,
    container: &ObservedContainer,
    path: &str,
    target: &Side,
) -> Result<(), Failure> {
    let name = &container.record.name;
    let failed = |error: &CopyError| Failure::intent(format!("copy from `{name}`"), error);
    let source = Place::container(&container.record, &container.state, path)
        .map_err(|error| failed(&error))?;
    let opened = source
        .open(arguments.follow_link)
        .map_err(|error| failed(&error))?;
    let Side::Host(target) = target else {
        return stream_out(session, (&source, &opened), failed);
    };
    let owners = own(arguments.archive);
    let target =
        Place::host(target, &session.settings.working_dir).map_err(|error| failed(&error))?;
    let copied = copy(&source, &opened, &target, owners).map_err(|error| failed(&error))?;
    report(
        session,
        &copied,
        &format!("{name}:{path}"),
        &target.path().display().to_string(),
    );
    Ok(())
}

/// Writes a tar stream of a source to standard output.
pub(super) fn stream_out(
    session: &Session<'_>,
    (source, opened): (&Place, &OwnedFd),
    failed: impl Fn(&CopyError) -> Failure,
) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "a tar stream is nothing for a terminal: send it to a file or a program".into(),
        ));
    }
    let base = source.name().filter(|_| !source.is_content());
    let name = base.unwrap_or_default();
    let sink = io::stdout().lock();
    let packed =
        pack(opened, Path::new(&name), sink, source.users()).map_err(|error| failed(&error))?;
    skipped(session, &packed.skipped);
    Ok(())
}

/// Returns the owners of what comes to this machine: as they are, or whoever calls.
pub(super) fn own(kept: bool) -> Owners {
    if kept {
        return Owners::Kept;
    }
    Owners::Fixed(
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    )
}

fn to_container(
    session: &Session<'_>,
    arguments: &Arguments,
    source: &Side,
    (container, path): (&ObservedContainer, &str),
) -> Result<(), Failure> {
    let name = &container.record.name;
    let failed = |error: &CopyError| Failure::intent(format!("copy to `{name}`"), error);
    let owners = if arguments.archive {
        Owners::Kept
    } else {
        Owners::Fixed(0, 0)
    };
    let target = Place::container(&container.record, &container.state, path)
        .map_err(|error| failed(&error))?;
    let shown = format!("{name}:{path}");
    let (copied, from) = if let Side::Host(source) = source {
        let place =
            Place::host(source, &session.settings.working_dir).map_err(|error| failed(&error))?;
        let opened = place
            .open(arguments.follow_link)
            .map_err(|error| failed(&error))?;
        let copied = copy(&place, &opened, &target, owners).map_err(|error| failed(&error))?;
        (copied, source.as_str())
    } else {
        let directory = target.open_directory().map_err(|error| failed(&error))?;
        let copied = extract(io::stdin(), directory.as_fd(), owners, target.users())
            .map_err(|error| failed(&error))?;
        (copied, "standard input")
    };
    report(session, &copied, from, &shown);
    Ok(())
}

/// Where a stream is unpacked, and by which name its top comes there; an empty one stands for the content of a directory.
struct Landing {
    directory: OwnedFd,
    name: PathBuf,
}

/// Finds out where a source lands, by the rules of docker cp (and of cp -r): into a directory that exists, else under the new name.
fn landing(source: &Place, is_directory: bool, target: &Place) -> Result<Landing, CopyError> {
    let refused = |operation, errno| {
        Err(CopyError::File {
            operation,
            path: target.path().to_owned(),
            source: errno,
        })
    };
    match target.kind()? {
        Kind::Directory => {
            let base = source
                .name()
                .filter(|_| !(is_directory && source.is_content()));
            Ok(Landing {
                directory: target.open_directory()?,
                name: base.unwrap_or_default().into(),
            })
        }
        Kind::File if is_directory => {
            refused("copy a directory over the file", rustix::io::Errno::NOTDIR)
        }
        Kind::File if target.wants_directory() => refused("copy into", rustix::io::Errno::NOTDIR),
        Kind::Missing if !is_directory && target.wants_directory() => {
            refused("copy into", rustix::io::Errno::NOENT)
        }
        Kind::File | Kind::Missing => {
            let (directory, name) = target.open_parent()?;
            Ok(Landing {
                directory,
                name: name.into(),
            })
        }
    }
}

/// Packs on a thread, unpacks on this one.
pub(super) fn copy(
    source: &Place,
    opened: &OwnedFd,
    target: &Place,
    owners: Owners,
) -> Result<Extracted, CopyError> {
    let is_directory = rustix::fs::fstat(opened)
        .map(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
        .map_err(|source_error| CopyError::File {
            operation: "look at",
            path: source.path().to_owned(),
            source: source_error,
        })?;
    let landing = landing(source, is_directory, target)?;
    transfer((source, opened), (target, &landing), owners)
}

fn transfer(
    (source, opened): (&Place, &OwnedFd),
    (target, landing): (&Place, &Landing),
    owners: Owners,
) -> Result<Extracted, CopyError> {
    let (mut reader, writer) = io::pipe().map_err(|source| CopyError::Stream {
        intent: "make a pipe",
        source,
    })?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(|| {
            let sink = io::BufWriter::with_capacity(64 << 10, writer);
            pack(opened, &landing.name, sink, source.users())
        });
        let extracted = extract(
            &mut reader,
            landing.directory.as_fd(),
            owners,
            target.users(),
        );
        if extracted.is_ok() {
            // The end of an archive is zeros that nobody looks at.
            let _ended = io::copy(&mut reader.by_ref(), &mut io::sink());
        }
        drop(reader);
        let packed = packing.join().expect("packing does not panic");
        match (packed, extracted) {
            // A target that fails breaks the pipe: its error is the cause.
            (_, Err(error @ (CopyError::File { .. } | CopyError::Escape { .. }))) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(_), Err(error)) => Err(error),
            (Ok(packed), Ok(mut extracted)) => {
                extracted.skipped.extend(packed.skipped);
                Ok(extracted)
            }
        }
    })
}

pub(super) fn report(session: &Session<'_>, copied: &Extracted, from: &str, to: &str) {
    skipped(session, &copied.skipped);
    let noun = if copied.entries == 1 {
        "entry"
    } else {
        "entries"
    };
    session.ui.say(&format!(
        "{from} -> {to}: {} {noun}, {}",
        copied.entries,
        human::size(copied.bytes)
    ));
}

pub(super) fn skipped(session: &Session<'_>, paths: &[PathBuf]) {
    for path in paths {
        let shown = if path.as_os_str() == OsStr::new("") {
            "the source".to_owned()
        } else {
            path.display().to_string()
        };
        session
            .ui
            .warn(&format!("{shown} is a device or socket and was not copied"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_told_apart_as_docker_does() {
        let container = |service: &str, path: &str| Side::Container {
            service: service.into(),
            path: path.into(),
        };
        for (text, side) in [
            ("-", Side::Stream),
            ("web:/etc", container("web", "/etc")),
            ("web:", container("web", "")),
            ("web:a:b", container("web", "a:b")),
            ("./web:/etc", Side::Host("./web:/etc".into())),
            ("/a:b", Side::Host("/a:b".into())),
            ("dir/web:b", Side::Host("dir/web:b".into())),
            ("..:b", Side::Host("..:b".into())),
            ("file", Side::Host("file".into())),
            (":x", Side::Host(":x".into())),
        ] {
            assert_eq!(Side::parse(text), side, "{text}");
        }
    }
}
