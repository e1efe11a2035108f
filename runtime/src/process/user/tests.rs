use proptest::prelude::*;

use super::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n\
    broken:x:-1:0::/:\n\
    daemon:x:1:1::/usr/sbin:/bin/false\n\
    short:x:7:7\n\
    1000:x:4242:4242::/trap:\n\
    web:x:1000:1000:Web:/srv/web:/bin/sh\n\
    web:x:0:0:second line of the same name:/root:\n";
const GROUP: &[u8] = b"root:x:0:\ndaemon:x:1:web\nweb:x:1000:\nlogs:x:2000:daemon,web\nsudo:x:27:webmaster\n33:x:9999:web\n";

fn look_up(text: &str, additional: &[&str]) -> Result<(u32, u32, Vec<u32>), String> {
    let spec = UserSpec::parse(text).map_err(|error| error.to_string())?;
    let additional: Vec<_> = additional
        .iter()
        .map(|text| Id::parse(text).unwrap())
        .collect();
    resolve(&spec, &additional, PASSWD, GROUP)
        .map(|found| found.credentials)
        .map(|found| (found.uid, found.gid, found.groups().to_vec()))
        .map_err(|missing| format!("{missing:?}"))
}

#[test]
fn users_are_what_docker_makes_of_them() {
    for (text, uid, gid, groups) in [
        ("", 0, 0, vec![0]),
        (":", 0, 0, vec![0]),
        ("0", 0, 0, vec![0]),
        ("0:", 0, 0, vec![0]),
        ("root", 0, 0, vec![0]),
        (":web", 0, 1000, vec![1000]),
        ("web", 1000, 1000, vec![1000, 1, 2000, 9999]),
        ("1000", 1000, 1000, vec![1000, 1, 2000, 9999]),
        ("01000", 1000, 1000, vec![1000, 1, 2000, 9999]),
        ("web:logs", 1000, 2000, vec![2000]),
        ("web:2000", 1000, 2000, vec![2000]),
        ("web:33", 1000, 33, vec![33]),
        ("4242", 4242, 4242, vec![4242]),
        ("5555", 5555, 0, vec![0]),
        ("5555:6666", 5555, 6666, vec![6666]),
        ("4294967294", 4_294_967_294, 0, vec![0]),
        ("short", 7, 7, vec![7]),
    ] {
        assert_eq!(look_up(text, &[]), Ok((uid, gid, groups)), "{text:?}");
    }
}

#[test]
fn texts_that_could_mean_another_user_are_refused() {
    for text in [
        "-1",
        "+1",
        " 1",
        "1 ",
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "-1:0",
        "0:-1",
        "0:+1",
        "0: 1",
        "web:logs:x",
        "we b",
        "web\n",
        "web\0",
        "a/b",
        "0:4294967295",
        "web,root",
    ] {
        assert!(UserSpec::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn names_without_an_entry_are_missing_and_never_root() {
    for (text, additional, missing) in [
        ("nobody", [].as_slice(), "User"),
        ("0x0", &[], "User"),
        ("1000a", &[], "User"),
        ("broken", &[], "User"),
        ("0:staff", &[], "Group"),
        ("0", &["27", "staff"], "Additional(1)"),
    ] {
        assert_eq!(
            look_up(text, additional),
            Err(missing.to_owned()),
            "{text:?}"
        );
    }
}

#[test]
fn additional_groups_follow_without_repetition() {
    assert_eq!(
        look_up("web", &["27", "logs", "sudo", "5"]),
        Ok((1000, 1000, vec![1000, 1, 2000, 9999, 27, 5]))
    );
}

#[test]
fn more_groups_than_fit_are_refused() {
    let lines = (0..=GROUPS_MAX).map(|gid| format!("g{gid}:x:{}:web", gid + 5000));
    let group = lines.collect::<Vec<_>>().join(
        "
",
    );
    let spec = UserSpec::parse("web").unwrap();
    assert_eq!(
        resolve(&spec, &[], PASSWD, group.as_bytes()),
        Err(Missing::TooManyGroups)
    );
}

#[test]
fn home_is_that_of_the_first_line() {
    let home = |text| {
        let spec = UserSpec::parse(text).unwrap();
        resolve(&spec, &[], PASSWD, GROUP).unwrap().home
    };
    assert_eq!(home("web"), Some(b"/srv/web".as_slice()));
    assert_eq!(home("5555"), None);
    assert_eq!(home("short"), Some(b"".as_slice()));
}

proptest! {
    #[test]
    fn no_text_panics_and_none_becomes_root_by_accident(
        text in ".{0,12}", passwd in prop::collection::vec(any::<u8>(), 0..200), group in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(spec) = UserSpec::parse(&text) && let Ok(found) = resolve(&spec, &[], &passwd, &group) {
            let asked_for_zero = matches!(spec.user, Id::Number(0));
            let has_name = matches!(spec.user, Id::Name(_));
            let found = found.credentials;
            prop_assert!(found.uid != 0 || asked_for_zero || has_name);
            prop_assert!(found.uid != u32::MAX && found.gid != u32::MAX);
        }
    }

    #[test]
    fn digits_are_the_number_itself(number in 0..u32::MAX, group in 0..u32::MAX) {
        let text = format!("{number}:{group}");
        let found = resolve(&UserSpec::parse(&text).unwrap(), &[], PASSWD, GROUP).unwrap();
        let found = found.credentials;
        prop_assert_eq!((found.uid, found.gid), (number, group));
    }

    #[test]
    fn a_name_is_found_only_by_its_whole_self(name in "[a-z]{1,8}") {
        let passwd = format!("{name}x:x:1:1::/:\nx{name}:x:2:2::/:\n{name}:x:3:3::/:\n");
        let found = resolve(&UserSpec::parse(&name).unwrap(), &[], passwd.as_bytes(), b"").unwrap();
        prop_assert_eq!(found.credentials.uid, 3);
    }
}
