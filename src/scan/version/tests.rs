use std::process::Command;

use proptest::prelude::*;

use super::*;

/// Checks that versions are in order, each against each.
fn ascending(order: Order, versions: &[&str]) {
    for (at, a) in versions.iter().enumerate() {
        for (other, b) in versions.iter().enumerate() {
            assert_eq!(order.compare(a, b), Some(at.cmp(&other)), "{a} {b}");
        }
    }
}

fn equal(order: Order, pairs: &[(&str, &str)]) {
    for (a, b) in pairs {
        assert_eq!(order.compare(a, b), Some(Ordering::Equal), "{a} {b}");
    }
}

#[test]
fn debian_versions() {
    ascending(
        Order::Dpkg,
        &[
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1-1",
            "1.0",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb12u1",
            "1.0-1+deb12u2",
            "1.0-1+deb12u10",
            "1.0a-1",
            "1.0+dfsg-1",
            "1.0.1-1",
            "1.9-1",
            "1.10-1",
            "1:0.1-1",
            "2:0.1-1",
        ],
    );
    equal(
        Order::Dpkg,
        &[
            ("1.0", "0:1.0"),
            ("1.0-0", "1.0"),
            ("1.00", "1.0"),
            ("1.001-1", "1.1-1"),
        ],
    );
}

#[test]
fn apk_versions() {
    ascending(
        Order::Apk,
        &[
            "0.9-r9",
            "1.0_alpha",
            "1.0_alpha1",
            "1.0_beta2",
            "1.0_pre1",
            "1.0_rc1",
            "1.0_rc1-r1",
            "1.0",
            "1.0-r0",
            "1.0-r1",
            "1.0-r10",
            "1.0_git20230717-r0",
            "1.0_p1-r0",
            "1.0_p2",
            "1.0a-r0",
            "1.0b",
            "1.0.1",
            "1.01",
            "1.1",
            "1.2.3",
            "1.10",
            "2.0",
        ],
    );
    for odd in ["", "a", "1.", "1..2", "1.0_odd", "1.0-r", "1.0-1", "1.0 "] {
        assert_eq!(Order::Apk.compare(odd, "1"), None, "{odd}");
    }
}

#[test]
fn rpm_versions() {
    ascending(
        Order::Rpm,
        &[
            "1.0~beta-1",
            "1.0~rc1-1",
            "1.0-1.el8",
            "1.0-1.el9",
            "1.0-1.el9_2",
            "1.0-2",
            "1.0^git1-1",
            "1.0.a-1",
            "1.0.1-1",
            "1.5-1",
            "1.10-1",
            "1:0.1-1",
        ],
    );
    equal(
        Order::Rpm,
        &[
            ("1.0-1", "0:1.0-1"),
            ("1.0", "1.0-5"),
            ("1_0-1", "1.0-1"),
            ("1.05-1", "1.5-1"),
        ],
    );
}

#[test]
fn python_versions() {
    ascending(
        Order::Pep440,
        &[
            "1.dev0",
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.0.15",
            "1.1.dev1",
            "1!0.1",
        ],
    );
    equal(
        Order::Pep440,
        &[
            ("1.0", "1.0.0"),
            ("v1.0", "1"),
            ("1.0-1", "1.0.post1"),
            ("1.0alpha", "1.0a0"),
            ("1.0-C1", "1.0rc1"),
            ("1.0_beta.2", "1.0b2"),
            ("1.0.r5", "1.0.post5"),
            ("1.0DEV", "1.0.dev0"),
        ],
    );
    for odd in ["", "x", "1.0x", "1.0+", "1.0.a.b", "2004d.x"] {
        assert_eq!(Order::Pep440.compare(odd, "1"), None, "{odd}");
    }
}

#[test]
fn semantic_versions() {
    ascending(
        Order::Semver,
        &[
            "0.9.9",
            "1.0.0-0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ],
    );
    equal(
        Order::Semver,
        &[
            ("v1.2.3", "1.2.3"),
            ("1.2", "1.2.0"),
            ("1.0.0+a", "1.0.0+b"),
            ("1.22rc1", "1.22.0-rc.1"),
            ("2.0.0+incompatible", "v2.0.0"),
        ],
    );
    assert_eq!(Order::Semver.compare("(devel)", "1.0.0"), None);
    assert_eq!(Order::Semver.compare("", "1.0.0"), None);
}

#[test]
fn maven_versions() {
    ascending(
        Order::Maven,
        &[
            "1-alpha-1",
            "1-alpha-2",
            "1-beta-1",
            "1-m3",
            "1-rc1",
            "1-snapshot",
            "1",
            "1-sp",
            "1-xyz",
            "1-1",
            "1.1",
            "1.2-rc",
            "1.2",
            "1.2.1",
            "1.10",
            "2.0",
        ],
    );
    equal(
        Order::Maven,
        &[
            ("1", "1.0"),
            ("1.0", "1.0.0"),
            ("1-ga", "1"),
            ("1.0-final", "1"),
            ("1-a1", "1-alpha-1"),
            ("1-cr2", "1-rc2"),
            ("1.RELEASE", "1"),
        ],
    );
}

/// Versions of every kind, valid and not.
fn versions() -> impl Strategy<Value = String> {
    "[0-9]{0,2}[:!]?[0-9]{1,3}([.][0-9]{1,2}){0,2}([-_.~^+]?(a|b|rc|post|dev|alpha|p|git)?[0-9]{0,2}){0,2}(-r?[0-9]{1,2})?"
}

proptest! {
    #[test]
    fn orders_are_orders(a in versions(), b in versions(), c in versions()) {
        for order in [Order::Dpkg, Order::Apk, Order::Rpm, Order::Pep440, Order::Semver, Order::Maven] {
            prop_assert!(order.compare(&a, &a).is_none_or(Ordering::is_eq));
            let (ab, ba) = (order.compare(&a, &b), order.compare(&b, &a));
            prop_assert_eq!(ab.map(Ordering::reverse), ba, "{:?} {} {}", order, a, b);
            // Releases that are left out are equal to several that differ, and Maven's order is known to have circles.
            if order != Order::Rpm && order != Order::Maven
                && let (Some(ab), Some(bc), Some(ac)) = (ab, order.compare(&b, &c), order.compare(&a, &c))
                && ab == bc
            {
                prop_assert_eq!(ac, ab, "{:?} {} {} {}", order, a, b, c);
            }
        }
    }

    #[test]
    fn any_text_is_survived(a in ".{0,30}", b in ".{0,30}") {
        for order in [Order::Dpkg, Order::Apk, Order::Rpm, Order::Pep440, Order::Semver, Order::Maven] {
            let _any = order.compare(&a, &b);
        }
    }
}

/// Debian's own program is asked about pairs that it accepts.
#[test]
#[expect(clippy::disallowed_methods, reason = "the oracle is a program")]
fn debian_versions_are_as_dpkg_compares_them() {
    let Ok(_there) = Command::new("dpkg").arg("--version").output() else {
        eprintln!("skipped: there is no dpkg");
        return;
    };
    let letters = [
        "",
        "~",
        "~rc1",
        "+b1",
        "a",
        ".1",
        "+dfsg",
        "-1",
        "-1~bpo",
        "-0ubuntu1",
        ".10",
        "~~",
    ];
    for (number, first) in letters.iter().enumerate() {
        for second in &letters[number..] {
            let (a, b) = (format!("1.0{first}"), format!("1.0{second}"));
            let word = match Order::Dpkg.compare(&a, &b) {
                Some(Ordering::Less) => "lt",
                Some(Ordering::Greater) => "gt",
                _ => "eq",
            };
            let status = Command::new("dpkg")
                .args(["--compare-versions", &a, word, &b])
                .status();
            assert!(status.unwrap().success(), "{a} {word} {b}");
        }
    }
}
