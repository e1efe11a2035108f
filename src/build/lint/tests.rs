//! Each rule: a file that it finds, and one that it must leave alone.

use indexmap::IndexMap;

use super::*;
use crate::build::dockerfile::parse;

fn findings(text: &str, check_text: &str) -> Vec<String> {
    let dockerfile = parse("Dockerfile", text.as_bytes()).unwrap();
    let ignore = Ignore::parse(".dockerignore", b"hidden\nback\n!back/file").unwrap();
    let globals = |given: &[(&str, &str)]| {
        let given: IndexMap<String, String> = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut globals = Globals::new(&given, "linux/amd64", "linux/amd64", "default", '\\');
        for definition in &dockerfile.global_args {
            globals.declare(definition).unwrap();
        }
        globals
    };
    let (with, without) = (globals(&[("GIVEN", "1")]), globals(&[]));
    let subject = Subject {
        dockerfile: &dockerfile,
        ignore: &ignore,
        globals: &with,
        defaults: &without,
        is_image_name: &|name| name.parse::<crate::image::Reference>().is_ok(),
        base_env: &|name| match name {
            "unknown" => None,
            _ => Some(vec![("FROM_BASE".to_owned(), "1".to_owned())]),
        },
    };
    check(&subject, &Options::parse(check_text).unwrap())
        .iter()
        .map(|finding| {
            let position = finding.place.position;
            format!("{} {position}", finding.rule)
        })
        .collect()
}

#[test]
fn every_rule_finds_what_it_is_for_and_nothing_else() {
    for (rule, bad, good) in [
        ("StageNameCasing 1:1", "FROM a AS Build", "FROM a AS build"),
        ("FromAsCasing 1:1", "FROM a as b", "from a as b"),
        (
            "NoEmptyContinuation 2:1",
            "FROM a\nRUN x \\\n\n y",
            "FROM a\nRUN x \\\n# c\n y",
        ),
        (
            "ConsistentInstructionCasing 3:1",
            "FROM a\nRUN x\nrun y",
            "from a\nrun x\nrun y",
        ),
        (
            "ConsistentInstructionCasing 2:1",
            "from a\nRun x",
            "from a\nrun x",
        ),
        (
            "DuplicateStageName 2:1",
            "FROM a AS x\nFROM a AS x",
            "FROM a AS x\nFROM a AS y",
        ),
        (
            "ReservedStageName 1:1",
            "FROM a AS scratch",
            "FROM a AS scratch2",
        ),
        (
            "JSONArgsRecommended 2:1",
            "FROM a\nCMD x",
            "FROM a\nCMD [\"x\"]",
        ),
        (
            "JSONArgsRecommended 2:1",
            "FROM a\nENTRYPOINT x",
            "FROM a\nSHELL [\"s\"]\nENTRYPOINT x",
        ),
        (
            "MaintainerDeprecated 2:1",
            "FROM a\nMAINTAINER x",
            "FROM a\nLABEL a=b",
        ),
        (
            "UndefinedArgInFrom 1:6",
            "FROM a$TAGG",
            "ARG TAGG=x\nFROM a$TAGG",
        ),
        (
            "UndefinedVar 2:6",
            "FROM a\nCOPY $x /",
            "FROM a\nARG x\nCOPY $x /",
        ),
        (
            "UndefinedVar 2:7",
            "FROM a\nENV a=$b b=1",
            "FROM a\nENV a=$FROM_BASE$PATH${x:-y}",
        ),
        (
            "UndefinedVar 2:1",
            "FROM a\nCOPY <<E /x\n'$y'\nE",
            "FROM a\nCOPY <<'E' /x\n$y\nE",
        ),
        (
            "UndefinedVar 2:13",
            "FROM a\nRUN --mount=target=$t x",
            "FROM unknown\nUSER $x",
        ),
        (
            "WorkdirRelativePath 2:1",
            "FROM a\nWORKDIR x",
            "FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y",
        ),
        (
            "MultipleInstructionsDisallowed 2:1",
            "FROM a\nCMD [\"x\"]\nCMD [\"y\"]",
            "FROM a\nCMD [\"x\"]\nFROM a\nCMD [\"y\"]",
        ),
        (
            "LegacyKeyValueFormat 2:1",
            "FROM a\nENV x y",
            "FROM a\nENV x=y",
        ),
        (
            "LegacyKeyValueFormat 2:1",
            "FROM a\nLABEL x y",
            "FROM a\nLABEL x=\"y z\"",
        ),
        (
            "RedundantTargetPlatform 1:17",
            "FROM --platform=$TARGETPLATFORM a",
            "FROM --platform=$BUILDPLATFORM a",
        ),
        (
            "FromPlatformFlagConstDisallowed 1:17",
            "FROM --platform=linux/arm64 a",
            "FROM --platform=linux/arm64 a AS b-arm64",
        ),
        (
            "SecretsUsedInArgOrEnv 2:5",
            "FROM a\nARG MY_TOKEN",
            "FROM a\nARG TOKENS",
        ),
        (
            "SecretsUsedInArgOrEnv 2:5",
            "FROM a\nENV DB_PASSWORD=x",
            "FROM a\nENV DB_PASSWORD_FILE=/x PUBLIC_KEY=y",
        ),
        (
            "InvalidDefaultArgInFrom 2:6",
            "ARG GIVEN\nFROM a:$GIVEN",
            "ARG TAG=1\nFROM a:$TAG",
        ),
        (
            "CopyIgnoredFile 2:6",
            "FROM a\nCOPY hidden /",
            "FROM a\nCOPY back /\nCOPY --from=b hidden /",
        ),
        (
            "CopyIgnoredFile 2:5",
            "FROM a\nADD hidden/x /",
            "FROM a\nADD other /",
        ),
        (
            "ExposeProtoCasing 2:8",
            "FROM a\nEXPOSE 80/TCP",
            "FROM a\nEXPOSE 80/tcp",
        ),
        (
            "ExposeInvalidFormat 2:8",
            "FROM a\nEXPOSE 127.0.0.1:80:80",
            "FROM a\nEXPOSE 80-90",
        ),
    ] {
        assert_eq!(findings(bad, ""), [rule], "{bad:?}");
        assert_eq!(findings(good, ""), Vec::<String>::new(), "{good:?}");
        let skip = format!("skip={}", rule.split(' ').next().unwrap());
        assert_eq!(findings(bad, &skip), Vec::<String>::new(), "{skip}");
    }
    let on = "experimental=InvalidDefinitionDescription";
    let bad = "# about\nFROM a AS b\n# other\nARG x";
    let rule = "InvalidDefinitionDescription";
    assert_eq!(
        findings(bad, on),
        [format!("{rule} 2:1"), format!("{rule} 4:1")]
    );
    assert_eq!(findings(bad, ""), Vec::<String>::new());
    let good = "# b builds\nFROM a AS b\n# other\n\nARG x\n# no description\n\nFROM a";
    assert_eq!(findings(good, on), Vec::<String>::new());
}

#[test]
fn a_finding_shows_the_line_and_a_near_name() {
    let dockerfile = "FROM a\nARG version=1\nCOPY x-$versoin /\n";
    let parsed = parse("Dockerfile", dockerfile.as_bytes()).unwrap();
    let globals = Globals::default();
    let subject = Subject {
        dockerfile: &parsed,
        ignore: &Ignore::default(),
        globals: &globals,
        defaults: &globals,
        is_image_name: &|_| true,
        base_env: &|_| Some(Vec::new()),
    };
    let found = check(&subject, &Options::default());
    insta::assert_snapshot!(found[0].to_string(), @r"
    UndefinedVar: `$versoin` is not set here, did you mean $version?
    Dockerfile:3:6
    3 | COPY x-$versoin /
      |      ^^^^^^^^^^
    ");
}

proptest::proptest! {
    #[test]
    fn never_panics(
        lines in proptest::collection::vec("(FROM|ARG|COPY|ENV|EXPOSE|WORKDIR|LABEL|# x|cmd) [-a-zA-Z$={}:/. ]{0,16}", 0..8)
    ) {
        let text = format!("FROM a AS b\n{}\n", lines.join("\n"));
        if parse("Dockerfile", text.as_bytes()).is_ok() {
            findings_or_error(&text);
        }
    }
}

fn findings_or_error(text: &str) {
    let dockerfile = parse("Dockerfile", text.as_bytes()).unwrap();
    let globals = Globals::default();
    let subject = Subject {
        dockerfile: &dockerfile,
        ignore: &Ignore::default(),
        globals: &globals,
        defaults: &globals,
        is_image_name: &|_| false,
        base_env: &|_| Some(Vec::new()),
    };
    for finding in check(&subject, &Options::default()) {
        assert!(!finding.to_string().is_empty());
    }
}
