//! Command lines as tables, and the help text.

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
        "stack up --watch",
        "stack up --scale web",
        "stack up --pull sometimes",
        "stack up --always-recreate-deps",
        "stack ps --status sleeping",
        "stack ps --format {{range}}",
        "stack logs --tail some",
        "stack logs --since yesterday",
        "stack exec web",
        "stack port web http",
        "stack build --push",
        "stack kill --remove-orphans",
        "stack config --services --volumes",
        "stack image tag one",
        "stack save",
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

#[test]
fn help_lists_every_command() {
    let help = CommandLine::command()
        .term_width(100)
        .render_help()
        .to_string();
    insta::assert_snapshot!(help, @"
        Makes a Compose file true on this machine, and keeps it true

        Usage: stack [OPTIONS] <COMMAND>

        Commands:
          attach   Attach this terminal to a running container
          build    Build the images of services
          commit   Make an image of a container's files
          config   Check the Compose file and print it in canonical form
          cp       Copy files between a container and this machine
          create   Create the project's containers without starting them
          doctor   Print what this host has of what containers need
          down     Stop and remove the project's containers and networks
          exec     Run a command in a running container
          explain  Explain the code of an error or warning
          export   Write a container's files into a tar archive, volumes and mounts left out
          image    Images of the store
          images   List the images of the project's containers, of the store outside of projects
          kill     Send a signal to containers
          load     Load images from an archive or an OCI layout directory
          login    Log in to a registry
          logout   Log out of a registry
          logs     View what services wrote
          ls       List the projects of this machine
          oci      Run OCI bundles, as runc does; `stack oci --help` tells more
          pause    Freeze containers
          port     Print where a port of a service appears on the host
          ps       List the containers of the project
          pull     Pull the images of services
          push     Push the images of services that can be built
          restart  Stop and start containers as they are
          rm       Remove stopped containers
          run      Run a one-off command in a new container of a service
          save     Write images into an archive
          scale    Change the number of containers of services
          search   Search Docker Hub, or the catalog of another registry
          start    Start containers that exist
          stats    Show what containers use
          stop     Stop containers, leave them in place
          system   The disk, and what of it nothing uses
          top      Show the processes of running containers
          unpause  Thaw frozen containers
          up       Create and start the project's containers
          version  Print the version
          wait     Wait until the containers of services have stopped, and print their exit codes
          help     Print this message or the help of the given subcommand(s)

        Options:
          -f, --file <FILE>              Compose file; may be given several times, later ones override; `-`
                                         = standard input
          -p, --project-name <NAME>      Project name
              --profile <PROFILE>        Enable a profile; may be given several times
              --env-file <FILE>          Environment file in place of `.env`; may be given several times
              --project-directory <DIR>  Directory that relative paths start from [default: that of the
                                         first Compose file]
              --progress <MODE>          How progress is shown [default: auto] [possible values: auto, tty,
                                         plain, json, quiet]
              --ansi <WHEN>              When to use colours [default: auto] [possible values: auto, never,
                                         always]
              --message-format <FORM>    Form of errors and warnings [default: human] [possible values:
                                         human, json, short]
              --dry-run                  Print what would be done, change nothing
              --root <DIR>               State directory in place of /var/lib/stack [env: STACK_ROOT]
          -v, --version                  Print the version
          -h, --help                     Print help (see more with '--help')

        Exit codes: 0 done, 1 failed, 2 wrong usage, 3 invalid Compose file, 4 image not pulled or built,
        5 service not ready, 6 time is up, 7 port, name or lock taken, 8 not possible on this host,
        130 interrupted; `run`, `exec` and `up --exit-code-from` end with the container's own code.
    ");
}
