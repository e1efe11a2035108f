//! Flags of `run` as tables.

use super::*;

fn port(target: u16, published: PublishedPort) -> Port {
    Port {
        target,
        published,
        host_ip: None,
        protocol: PortProtocol::Tcp,
    }
}

#[test]
fn ports_are_parsed() {
    for (text, expected) in [
        ("80", vec![port(80, PublishedPort::Ephemeral)]),
        ("8080:80", vec![port(80, PublishedPort::Fixed(8080))]),
        (
            "127.0.0.1:53:53/udp",
            vec![Port {
                target: 53,
                published: PublishedPort::Fixed(53),
                host_ip: Some("127.0.0.1".parse().unwrap()),
                protocol: PortProtocol::Udp,
            }],
        ),
        (
            "[::1]:8080:80",
            vec![Port {
                host_ip: Some("::1".parse().unwrap()),
                ..port(80, PublishedPort::Fixed(8080))
            }],
        ),
        (
            "127.0.0.1::80",
            vec![Port {
                host_ip: Some("127.0.0.1".parse().unwrap()),
                ..port(80, PublishedPort::Ephemeral)
            }],
        ),
        (
            "8000-8001:80-81",
            vec![
                port(80, PublishedPort::Fixed(8000)),
                port(81, PublishedPort::Fixed(8001)),
            ],
        ),
        (
            "8000-8009:80",
            vec![port(80, PublishedPort::Range(8000, 8009))],
        ),
    ] {
        assert_eq!(ports(text), Ok(Ports(expected)), "{text}");
    }
    for bad in [
        "",
        "0",
        "99999",
        "80/xyz",
        "x:80",
        "1-3:80-81",
        "81-80",
        "1.2.3:8080:80",
    ] {
        assert!(ports(bad).is_err(), "{bad}");
    }
}

#[test]
fn lines_are_split_as_a_shell_does() {
    for (line, expected) in [
        ("", Some(&[][..])),
        ("sh -c 'a b' \"c d\"", Some(&["sh", "-c", "a b", "c d"])),
        (r"a\ b '' x'y'z", Some(&["a b", "", "xyz"])),
        (r#""a \" b" '\'"#, Some(&[r#"a " b"#, r"\"])),
        ("'open", None),
        (r"end\", None),
    ] {
        let expected = expected.map(|words| {
            words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(words(line), expected, "{line}");
    }
}

#[test]
fn host_paths_start_where_the_command_runs() {
    let environment = [("HOME".to_owned(), "/root".to_owned())].into();
    let place = Place {
        environment: &environment,
        working_dir: Path::new("/here/now"),
        streams: Streams {
            tty: false,
            stdin: false,
            sig_proxy: true,
        },
    };
    for (path, expected) in [
        ("./a", "/here/now/a"),
        ("../a/./b", "/here/a/b"),
        ("/x/../y", "/y"),
        ("~/a", "/root/a"),
        ("~", "/root/"),
    ] {
        assert_eq!(host_path(path, &place), Path::new(expected), "{path}");
    }
}

/// Parses flags of `run` and applies them to `web` of a project.
fn applied(line: &str) -> Project {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    let yaml = "
services:
  web:
    image: a
    command: [serve]
    entrypoint: [/start]
    restart: always
    ports: ['80-82:80']
    environment: {A: old, B: kept}
    volumes: ['data:/data', './src:/src']
    deploy: {replicas: 3}
  once: {image: a, container_name: fixed}
  db: {image: a, ports: ['5432:5432']}
volumes: {data: {}}
";
    let mut project = crate::cli::testing::load(yaml).unwrap().project;
    let environment = [("FROM_HERE".to_owned(), "value".to_owned())].into();
    let place = Place {
        environment: &environment,
        working_dir: Path::new("/here"),
        streams: Streams {
            tty: true,
            stdin: true,
            sig_proxy: true,
        },
    };
    let arguments = Line::try_parse_from(line.split(' ')).unwrap().arguments;
    apply(&mut project, &"web".parse().unwrap(), &arguments, &place).unwrap();
    project
}

#[test]
fn a_one_off_has_no_ports_no_restart_and_no_fixed_name() {
    let project = applied("run web");
    let web = &project.services["web"];
    assert_eq!(web.ports, []);
    assert_eq!(web.restart, RestartPolicy::No);
    assert_eq!(web.replicas, 1);
    assert_eq!(web.command, Some(vec!["serve".into()]));
    assert!(web.tty && web.stdin_open);
    assert_eq!(project.services["db"].ports.len(), 1);
}

#[test]
fn flags_change_the_process() {
    let project = applied("run -e A=new -e FROM_HERE -e UNSET -u 7 -w /w -P -p 81:81 web ls -l");
    let web = &project.services["web"];
    assert_eq!(web.command, Some(vec!["ls".into(), "-l".into()]));
    assert_eq!(web.entrypoint, Some(vec!["/start".into()]));
    let environment: Vec<(&str, Option<&str>)> = web
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    assert_eq!(
        environment,
        [
            ("A", Some("new")),
            ("B", Some("kept")),
            ("FROM_HERE", Some("value")),
            ("UNSET", None)
        ]
    );
    assert_eq!(
        (web.user.as_deref(), web.working_dir.as_deref()),
        (Some("7"), Some("/w"))
    );
    assert_eq!(web.ports.len(), 2);

    let web = &applied("run --entrypoint sh web").services["web"];
    assert_eq!(web.entrypoint, Some(vec!["sh".into()]));
    assert_eq!(web.command, Some(Vec::new()));
}

#[test]
fn mounts_replace_those_with_their_target() {
    let project = applied("run -v ./other:/src:ro -v cache:/cache -v /anonymous -v /abs:/abs web");
    let web = &project.services["web"];
    let mounts: Vec<(&str, bool, String)> = web
        .mounts
        .iter()
        .map(|mount| {
            let source = match &mount.source {
                MountSource::Volume { key, .. } => key.clone(),
                MountSource::Bind { path, .. } => path.display().to_string(),
                MountSource::Anonymous { .. } => "anonymous".into(),
                source => format!("{source:?}"),
            };
            (mount.target.as_str(), mount.read_only, source)
        })
        .collect();
    assert_eq!(
        mounts,
        [
            ("/data", false, "data".to_owned()),
            ("/src", true, "/here/other".to_owned()),
            ("/cache", false, "cache".to_owned()),
            ("/anonymous", false, "anonymous".to_owned()),
            ("/abs", false, "/abs".to_owned()),
        ]
    );
    assert_eq!(project.volumes["cache"].name, "cache");
    assert_eq!(project.volumes["data"].name, "shop_data");
}
