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
