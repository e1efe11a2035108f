//! Flags, environment and terminals as tables.

use super::*;

const NOTHING: Terminals = Terminals {
    stdin: false,
    stdout: false,
    stderr: false,
    rows: 24,
    columns: 80,
};
const ALL: Terminals = Terminals {
    stdin: true,
    stdout: true,
    stderr: true,
    ..NOTHING
};

fn resolve(flags: Flags, environment: &[(&str, &str)], terminals: Terminals) -> Settings {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Settings::resolve(flags, environment, "/here".into(), terminals).unwrap()
}

#[test]
fn colours_follow_flag_then_environment_then_stream() {
    for (flag, environment, terminals, colour) in [
        (None, &[][..], ALL, true),
        (None, &[], NOTHING, false),
        (None, &[("TERM", "dumb")], ALL, false),
        (None, &[("NO_COLOR", "1")], ALL, false),
        (None, &[("NO_COLOR", "")], ALL, true),
        (None, &[("FORCE_COLOR", "1")], NOTHING, true),
        (None, &[("CLICOLOR_FORCE", "0")], NOTHING, false),
        (
            None,
            &[("NO_COLOR", "1"), ("FORCE_COLOR", "1")],
            NOTHING,
            false,
        ),
        (None, &[("COMPOSE_ANSI", "never")], ALL, false),
        (
            None,
            &[("COMPOSE_ANSI", "never"), ("STACK_COLOR", "always")],
            NOTHING,
            true,
        ),
        (Some(AnsiFlag::Always), &[("NO_COLOR", "1")], NOTHING, true),
        (Some(AnsiFlag::Never), &[("FORCE_COLOR", "1")], ALL, false),
        (
            Some(AnsiFlag::Auto),
            &[("COMPOSE_ANSI", "never")],
            ALL,
            true,
        ),
    ] {
        let flags = Flags {
            ansi: flag,
            ..Flags::default()
        };
        let settings = resolve(flags, environment, terminals);
        assert_eq!(
            settings.ui.out.is_enabled(),
            colour,
            "{flag:?} {environment:?}"
        );
    }
}

#[test]
fn progress_follows_flag_then_environment_then_stream() {
    for (flag, environment, terminals, mode) in [
        (None, &[][..], ALL, ProgressMode::Tty),
        (None, &[], NOTHING, ProgressMode::Plain),
        (None, &[("CI", "true")], ALL, ProgressMode::Plain),
        (None, &[("TERM", "dumb")], ALL, ProgressMode::Plain),
        (None, &[("COMPOSE_ANSI", "never")], ALL, ProgressMode::Plain),
        (
            None,
            &[("COMPOSE_PROGRESS", "json")],
            ALL,
            ProgressMode::Json,
        ),
        (
            Some(ProgressFlag::Quiet),
            &[("COMPOSE_PROGRESS", "json")],
            ALL,
            ProgressMode::Quiet,
        ),
        (
            Some(ProgressFlag::Tty),
            &[("CI", "1")],
            ALL,
            ProgressMode::Tty,
        ),
        (Some(ProgressFlag::Tty), &[], NOTHING, ProgressMode::Plain),
    ] {
        let flags = Flags {
            progress: flag,
            ..Flags::default()
        };
        let settings = resolve(flags, environment, terminals);
        assert_eq!(settings.ui.progress, mode, "{flag:?} {environment:?}");
    }
}

#[test]
fn the_root_can_be_moved() {
    for (flag, variable, root) in [
        (None, None, Root::system()),
        (None, Some("/state"), Root::below("/state")),
        (
            Some("relative"),
            Some("/state"),
            Root::below("/here/relative"),
        ),
    ] {
        let flags = Flags {
            root: flag.map(Into::into),
            ..Flags::default()
        };
        let variable = variable.map(|value| ("STACK_ROOT", value));
        assert_eq!(resolve(flags, variable.as_slice(), ALL).root, root);
    }
}

#[test]
fn questions_need_a_terminal_on_both_sides() {
    assert!(resolve(Flags::default(), &[], ALL).ui.interactive);
    let no_stdin = Terminals {
        stdin: false,
        ..ALL
    };
    assert!(!resolve(Flags::default(), &[], no_stdin).ui.interactive);
}

#[test]
fn signs_need_a_locale_that_has_them() {
    for (environment, signs) in [
        (&[][..], Signs::UNICODE),
        (&[("LANG", "C.UTF-8")], Signs::UNICODE),
        (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], Signs::ASCII),
        (&[("STACK_ASCII", "1")], Signs::ASCII),
    ] {
        assert_eq!(
            resolve(Flags::default(), environment, ALL).ui.signs,
            signs,
            "{environment:?}"
        );
    }
}

#[test]
fn a_variable_with_an_unknown_value_is_named() {
    let environment = [("COMPOSE_PROGRESS".to_owned(), "fancy".to_owned())].into();
    let failure =
        Settings::resolve(Flags::default(), environment, "/".into(), NOTHING).unwrap_err();
    let Failure::Usage(text) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!(
        text,
        "COMPOSE_PROGRESS: unknown value `fancy`; it can be auto, tty, plain, json, quiet"
    );
}

#[test]
fn the_named_project_is_checked() {
    let named = |flag: Option<&str>, variable: &[(&str, &str)]| {
        let flags = Flags {
            project_name: flag.map(Into::into),
            ..Flags::default()
        };
        resolve(flags, variable, ALL).named_project()
    };
    let shop = "shop".parse().unwrap();
    assert_eq!(named(None, &[]).unwrap(), None);
    assert_eq!(
        named(Some("shop"), &[("COMPOSE_PROJECT_NAME", "x")]).unwrap(),
        Some(shop)
    );
    assert!(matches!(named(Some("Shop!"), &[]), Err(Failure::Usage(_))));
}

#[test]
fn docker_host_is_noted_and_not_followed() {
    let settings = resolve(Flags::default(), &[("DOCKER_HOST", "tcp://x")], ALL);
    assert_eq!(settings.notes.len(), 1);
    assert!(
        resolve(Flags::default(), &[("DOCKER_HOST", "")], ALL)
            .notes
            .is_empty()
    );
}
