//! Command lines as tables, and the help text.

use std::path::Path;

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split(' '))
}

#[test]
fn clap_finds_no_contradiction() {
    CommandLine::command().debug_assert();
}

#[test]
fn command_lines_of_docker_compose_are_understood() {
    for line in [
        "stack up",
        "stack up -d",
        "stack -f a.yaml -f b.yaml -p shop --profile x --env-file e --project-directory d up -d web db",
        "stack up --build --force-recreate --remove-orphans --scale web=3 --scale db=1 -t 5",
        "stack up --wait --wait-timeout 60 --no-deps --quiet-pull --pull always -V -y",
        "stack up --abort-on-container-exit --exit-code-from web --attach web --no-attach db",
        "stack up --no-recreate --no-build --no-start --no-color --no-log-prefix --timestamps",
        "stack up --dry-run",
        "stack --dry-run up",
        "stack up --progress plain --ansi never",
        "stack create --build web",
        "stack doctor --format json",
        "stack scale web=3",
        "stack down",
        "stack down -v --rmi local -t 1 --remove-orphans",
        "stack down web",
        "stack ps -a --format json",
        "stack ps -q",
        "stack ps --services --status running --status exited --filter status=paused",
        "stack ps --orphans=false --no-trunc",
        "stack ps --format {{.Name}}",
        "stack logs -f --tail 10 -t --since 10m web",
        "stack logs --tail=all -n 5 --until 2026-01-02T03:04:05Z --no-log-prefix --no-color --index 1",
        "stack exec web ls -la",
        "stack exec -it -u root -w /tmp -e A=b -e C web sh -c x",
        "stack exec --index 2 --privileged -d web true",
        "stack run --rm web ls -la",
        "stack run -d -P -p 80:80 -v ./a:/b --entrypoint sh --no-deps --name x -e A=1 -u 0 -w / -l a=b web",
        "stack run -T -i web",
        "stack run --interactive=false web --flag-of-the-command",
        "stack config",
        "stack config --services",
        "stack config --format json -q -o out.json --images",
        "stack convert",
        "stack build --no-cache --pull --build-arg A=b --build-arg C -q web --with-dependencies",
        "stack pull -q --ignore-buildable --ignore-pull-failures --include-deps --policy missing",
        "stack images -q --format json",
        "stack start web",
        "stack stop -t 3 web",
        "stack restart -t 3",
        "stack kill -s HUP web",
        "stack rm -f -s -v web",
        "stack pause",
        "stack unpause web",
        "stack top",
        "stack port web 80",
        "stack port --protocol udp --index 2 web 53/udp",
        "stack version --short",
        "stack version -f json",
        "stack ls -a -q --filter name=x --format json",
        "stack image load -i a.tar",
        "stack image ls -q",
        "stack image rm -f a b",
        "stack image tag a b",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    for line in [
        "stack",
        "stack frobnicate",
        "stack up -d --abort-on-container-exit",
        "stack up --build --no-build",
        "stack up --force-recreate --no-recreate",
        "stack up --wait --attach web",
        "stack up --watch --detach",
        "stack up --scale web",
        "stack up --pull sometimes",
        "stack up --always-recreate-deps",
        "stack ps --status sleeping",
        "stack ps --format {{range}}",
        "stack logs --tail some",
        "stack logs --since yesterday",
        "stack exec web",
        "stack port web http",
        "stack kill --remove-orphans",
        "stack config --services --volumes",
        "stack down --rmi some",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn flags_after_the_service_belong_to_the_command() {
    let Command::Exec(exec) = parse("stack exec web ls -u root --help").unwrap().command else {
        panic!("not exec");
    };
    assert!(
        format!("{exec:?}").contains(r#"words: ["web", "ls", "-u", "root", "--help"]"#),
        "{exec:?}"
    );
    let Command::Run(run) = parse("stack run --rm web -d --name x").unwrap().command else {
        panic!("not run");
    };
    assert_eq!(run.command(), ["-d", "--name", "x"]);
}

#[test]
fn plugin_and_alias_forms_are_understood() {
    let arguments = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    assert_eq!(
        without_alias(arguments("stack compose up -d")),
        arguments("stack up -d")
    );
    assert_eq!(
        without_alias(arguments("docker-compose up")),
        arguments("docker-compose up")
    );
    assert_eq!(
        without_alias(arguments("stack up compose")),
        arguments("stack up compose")
    );
}

/// `help.txt` beside this file, so that a new command is one line of a text; `STACK_BLESS=1` writes it anew.
#[test]
fn help_lists_every_command() {
    let help = CommandLine::command()
        .term_width(100)
        .render_help()
        .to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/help.txt");
    if std::env::var_os("STACK_BLESS").is_some() {
        fs_err::write(&path, &help).unwrap();
    }
    let written = fs_err::read_to_string(&path).unwrap();
    pretty(&help, &written);
}

fn pretty(help: &str, written: &str) {
    for (number, (now, before)) in help.lines().zip(written.lines()).enumerate() {
        assert_eq!(now, before, "line {} of src/cli/help.txt", number + 1);
    }
    assert_eq!(help.lines().count(), written.lines().count());
}
