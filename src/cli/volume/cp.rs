//! `stack volume cp`: a whole volume to a new one, or files between a volume and this machine.

use std::{io, os::fd::AsFd};

use clap::Args;

use super::{change, volumes};
use crate::{
    cli::{
        cp::{Side, copy, own, report, stream_out},
        failure::Failure,
        session::Session,
    },
    container::copy::{CopyError, Owners, Place, extract},
    protocol::VolumeRequest,
};

/// Copy a volume to a new one, or files between a volume and this machine
#[derive(Debug, Args)]
#[command(
    override_usage = "stack volume cp [OPTIONS] VOLUME NEW\n       stack volume cp [OPTIONS] VOLUME:PATH TARGET|-\n       stack volume cp [OPTIONS] SOURCE|- VOLUME:PATH"
)]
pub(in crate::cli) struct Arguments {
    /// A volume, VOLUME:PATH, a path of this machine, or - for a tar stream from standard input
    #[arg(value_name = "SOURCE")]
    source: String,
    /// A new volume, VOLUME:PATH, a path of this machine, or - for a tar stream to standard output
    #[arg(value_name = "TARGET")]
    target: String,
    /// Keep the owners of files [default: root in a volume, you on this machine]; a whole volume keeps them anyway
    #[arg(short, long)]
    archive: bool,
    /// Copy what a link named as the source leads to
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// A whole volume: let its containers go on; otherwise they stand still meanwhile
    #[arg(long)]
    live: bool,
}

pub(super) fn run(session: &Session<'_>, arguments: &Arguments) -> Result<(), Failure> {
    session.refuse_dry_run("volume cp")?;
    let sides = (
        Side::parse(&arguments.source),
        Side::parse(&arguments.target),
    );
    match sides {
        (Side::Container { service, path }, Side::Host(target)) => {
            from_volume(session, arguments, (&service, &path), Some(&target))
        }
        (Side::Container { service, path }, Side::Stream) => {
            from_volume(session, arguments, (&service, &path), None)
        }
        (Side::Host(source), Side::Container { service, path }) => {
            to_volume(session, arguments, Some(&source), (&service, &path))
        }
        (Side::Stream, Side::Container { service, path }) => {
            to_volume(session, arguments, None, (&service, &path))
        }
        (Side::Host(from), Side::Host(to)) if is_name(&from) && is_name(&to) => {
            let live = arguments.live;
            change::call(session, "cp", VolumeRequest::Copy { from, to, live })
        }
        (Side::Container { .. }, Side::Container { .. }) => Err(Failure::Usage(
            "files of one volume come into another by a stop on this machine; a whole volume is copied by its name alone"
                .to_owned(),
        )),
        _ => Err(Failure::Usage(
            "name two volumes, or one of the two as VOLUME:PATH".to_owned(),
        )),
    }
}

/// Tells whether a text names a volume: what begins with `/` or `.` is a path.
fn is_name(text: &str) -> bool {
    !text.starts_with(['/', '.']) && !text.contains('/')
}

fn place(session: &Session<'_>, name: &str, path: &str) -> Result<Place, Failure> {
    let known = volumes(session)?;
    let Some(volume) = known.iter().find(|volume| volume.record.name == name) else {
        return Err(Failure::message(format!("no such volume: {name}"))
            .hint("`stack volume ls` lists those there are"));
    };
    if volume.detached {
        return Err(
            Failure::message(format!("the file system of volume `{name}` is not mounted"))
                .hint("it is while a container with the volume runs"),
        );
    }
    Place::below(&volume.mountpoint, name, path).map_err(|error| Failure::error(&error))
}

fn from_volume(
    session: &Session<'_>,
    arguments: &Arguments,
    (name, path): (&str, &str),
    target: Option<&str>,
) -> Result<(), Failure> {
    let failed = |error: &CopyError| Failure::intent(format!("copy from volume `{name}`"), error);
    let source = place(session, name, path)?;
    let opened = source
        .open(arguments.follow_link)
        .map_err(|error| failed(&error))?;
    let Some(target) = target else {
        return stream_out(session, (&source, &opened), failed);
    };
    let target =
        Place::host(target, &session.settings.working_dir).map_err(|error| failed(&error))?;
    let copied =
        copy(&source, &opened, &target, own(arguments.archive)).map_err(|error| failed(&error))?;
    let shown = target.path().display().to_string();
    report(session, &copied, &format!("{name}:{path}"), &shown);
    Ok(())
}

fn to_volume(
    session: &Session<'_>,
    arguments: &Arguments,
    source: Option<&str>,
    (name, path): (&str, &str),
) -> Result<(), Failure> {
    let failed = |error: &CopyError| Failure::intent(format!("copy to volume `{name}`"), error);
    let target = place(session, name, path)?;
    let owners = if arguments.archive {
        Owners::Kept
    } else {
        Owners::Fixed(0, 0)
    };
    let copied = if let Some(source) = source {
        let place =
            Place::host(source, &session.settings.working_dir).map_err(|error| failed(&error))?;
        let opened = place
            .open(arguments.follow_link)
            .map_err(|error| failed(&error))?;
        copy(&place, &opened, &target, owners)
    } else {
        let directory = target.open_directory().map_err(|error| failed(&error))?;
        extract(io::stdin(), directory.as_fd(), owners, target.users())
    };
    let copied = copied.map_err(|error| failed(&error))?;
    let from = source.unwrap_or("standard input");
    report(session, &copied, from, &format!("{name}:{path}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_told_apart() {
        for (text, expected) in [
            ("data", true),
            ("shop_data.2", true),
            ("./data", false),
            ("/data", false),
            (".", false),
            ("a/b", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }
}
