//! What is refused, with line and column.

use super::{super::*, *};

#[test]
fn every_error_names_line_and_column() {
    for (text, expected) in [
        ("", "Dockerfile:1:1: the file is empty"),
        (
            "# only a comment",
            "Dockerfile:1:1: no FROM: the file has no stage to build",
        ),
        (
            "RUN x",
            "Dockerfile:1:1: no build stage in current context: only ARG may stand before the first FROM",
        ),
        (
            "FROM a\nRNU x",
            "Dockerfile:2:1: unknown instruction: RNU, did you mean RUN?",
        ),
        (
            "FROM a\nXYZZY",
            "Dockerfile:2:1: unknown instruction: XYZZY",
        ),
        (
            "FROM",
            "Dockerfile:1:1: FROM requires either one or three arguments",
        ),
        (
            "FROM a b",
            "Dockerfile:1:1: FROM requires either one or three arguments",
        ),
        (
            "FROM a AS 1x",
            "Dockerfile:1:11: invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
        ),
        (
            "FROM --platfrom=x a",
            "Dockerfile:1:6: unknown flag: --platfrom of FROM, did you mean --platform?",
        ),
        (
            "FROM a\nCOPY \\\n  --form=b x /",
            "Dockerfile:3:3: unknown flag: --form of COPY, did you mean --from?",
        ),
        (
            "FROM a\nCOPY --from=$b x /",
            "Dockerfile:2:13: variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround",
        ),
        (
            "FROM a\nCOPY --from=a --from=b x /",
            "Dockerfile:2:15: duplicate flag specified: --from",
        ),
        (
            "FROM a\nCOPY --chown x /",
            "Dockerfile:2:6: missing a value on flag: --chown",
        ),
        (
            "FROM a\nCOPY --link=maybe x /",
            "Dockerfile:2:6: expecting boolean value for flag --link, not: maybe",
        ),
        (
            "FROM a\nCOPY x",
            "Dockerfile:2:1: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "FROM a\nCOPY x <<EOF\nEOF",
            "Dockerfile:2:8: COPY cannot accept a heredoc as a destination",
        ),
        (
            "FROM a\nADD --from=b x /",
            "Dockerfile:2:5: unknown flag: --from of ADD",
        ),
        (
            "FROM a\nRUN",
            "Dockerfile:2:1: RUN requires at least one argument",
        ),
        (
            "FROM a\nRUN []",
            "Dockerfile:2:1: RUN requires at least one argument",
        ),
        (
            "FROM a\nRUN [\"a\", 1]",
            "Dockerfile:2:5: when using JSON array syntax, arrays must be comprised of strings only",
        ),
        (
            "FROM a\nRUN --network=hots x",
            "Dockerfile:2:15: invalid value for flag --network: hots, it is one of default, none, host, did you mean host?",
        ),
        (
            "FROM a\nRUN <<EOF\nx",
            "Dockerfile:2:1: unterminated heredoc EOF",
        ),
        (
            "FROM a\nENV",
            "Dockerfile:2:1: ENV requires at least one argument",
        ),
        (
            "FROM a\nENV x",
            "Dockerfile:2:1: ENV must have two arguments",
        ),
        (
            "FROM a\nENV a=b c",
            "Dockerfile:2:9: can't find = in \"c\": it must be of the form name=value",
        ),
        (
            "FROM a\nLABEL =b",
            "Dockerfile:2:7: LABEL names can not be blank",
        ),
        (
            "FROM a\nARG =b",
            "Dockerfile:2:5: ARG names can not be blank",
        ),
        (
            "FROM a\nVOLUME [\" \"]",
            "Dockerfile:2:8: VOLUME specified can not be an empty string",
        ),
        (
            "FROM a\nWORKDIR",
            "Dockerfile:2:1: WORKDIR requires exactly one argument",
        ),
        (
            "FROM a\nSHELL sh -c",
            "Dockerfile:2:1: SHELL requires the arguments to be in JSON form",
        ),
        (
            "FROM a\nONBUILD FROM b",
            "Dockerfile:2:9: FROM isn't allowed as an ONBUILD trigger",
        ),
        (
            "FROM a\nONBUILD ONBUILD RUN x",
            "Dockerfile:2:9: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
        ),
        (
            "FROM a\nONBUILD COPY x",
            "Dockerfile:2:9: COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        (
            "FROM a\nHEALTHCHECK NONE x",
            "Dockerfile:2:18: HEALTHCHECK NONE takes no arguments",
        ),
        (
            "FROM a\nHEALTHCHECK CMD",
            "Dockerfile:2:13: Missing command after HEALTHCHECK CMD",
        ),
        (
            "FROM a\nHEALTHCHECK CMDX y",
            "Dockerfile:2:13: Unknown type \"CMDX\" in HEALTHCHECK (try CMD), did you mean CMD?",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=5 CMD x",
            "Dockerfile:2:24: invalid duration `5`",
        ),
        (
            "FROM a\nHEALTHCHECK --interval=5us CMD x",
            "Dockerfile:2:24: interval `5us` cannot be less than 1ms",
        ),
        (
            "FROM a\nHEALTHCHECK --retries=-1 CMD x",
            "Dockerfile:2:23: --retries cannot be negative (-1)",
        ),
        (
            "# escape=x\nFROM a",
            "Dockerfile:1:1: invalid escape token 'x' does not match ` or \\",
        ),
        (
            "# escape=`\n# escape=`\nFROM a",
            "Dockerfile:2:1: only one escape parser directive can be used",
        ),
        (
            "# syntax=other/frontend\nFROM a",
            "Dockerfile:1:1: unknown frontend `other/frontend`: only docker/dockerfile is built in",
        ),
    ] {
        assert_eq!(errors(text), expected, "{text:?}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    insta::assert_snapshot!(errors("FROM a\nRNU x\nCOPY y\nENV\n"), @r"
    Dockerfile:2:1: unknown instruction: RNU, did you mean RUN?
    Dockerfile:3:1: COPY requires at least two arguments, but only one was provided. Destination could not be determined
    Dockerfile:4:1: ENV requires at least one argument
    ");
    let not_text = parse("Dockerfile", b"FROM a\nRUN \xff").unwrap_err();
    assert_eq!(
        not_text.to_string(),
        "Dockerfile:2:5: the file is not UTF-8"
    );
}

#[test]
fn mounts_are_checked() {
    for (mount, expected) in [
        (
            "type=chace,target=/x",
            "unsupported mount type \"chace\", did you mean cache?",
        ),
        (
            "tragte=/x",
            "unexpected key 'tragte' in 'tragte=/x', did you mean target?",
        ),
        ("target", "invalid field 'target' must be a key=value pair"),
        (
            "target=/x,mode=1",
            "mode not allowed for \"bind\" type mounts",
        ),
        ("target=/", "invalid mount target \"/\""),
        ("type=tmpfs", "invalid mount target \"\""),
        (
            "target=/x,required",
            "unexpected key 'required' for mount type 'bind'",
        ),
        (
            "target=/x,size=1",
            "unexpected key 'size' for mount type 'bind'",
        ),
        (
            "target=/x,from=$a",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            "type=cache,target=/x,sharing=lock",
            "unsupported sharing value \"lock\", did you mean locked?",
        ),
        (
            "target=/x,sharing=locked",
            "invalid cache sharing set for bind mount",
        ),
        ("target=/x,ro=maybe", "invalid value for ro: maybe"),
        (
            "type=secret",
            "invalid secret mount. one of source, target required",
        ),
        (
            "type=secret,id=a,source=b",
            "both source and id can't be set",
        ),
        (
            "type=secret,id=a,from=b",
            "secret mount should not have a from",
        ),
        ("type=ssh,source=x", "ssh does not support source"),
        ("type=cache,target=/x,mode=9", "invalid value for mode: 9"),
    ] {
        let text = format!("FROM a\nRUN --mount={mount} x");
        let expected = format!("Dockerfile:2:13: {expected}");
        assert_eq!(errors(&text), expected, "{mount}");
    }
    let InstructionKind::Run(run) = only(
        "RUN --mount=type=cache,target=/c,id=i,sharing=private,uid=1,mode=0700 --mount=type=tmpfs,dst=/t,size=1.5m --mount=type=bind,from=b,src=s,target=$d,rw --mount=type=secret,id=s,env=E,required --mount='type=secret,\"id=a,b\"' x",
    ) else {
        panic!("not a RUN");
    };
    let mounts: Vec<RunMount> = run
        .mounts
        .iter()
        .map(|flag| {
            let mut expand = |text: &str| Ok(text.replace("$d", "/dir"));
            flag.resolve(&mut expand).unwrap()
        })
        .collect();
    insta::assert_debug_snapshot!(mounts.iter().map(|m| (m.target.as_deref(), m.read_only)).collect::<Vec<_>>(), @r#"
    [
        (
            Some(
                "/c",
            ),
            false,
        ),
        (
            Some(
                "/t",
            ),
            false,
        ),
        (
            Some(
                "/dir",
            ),
            false,
        ),
        (
            None,
            true,
        ),
        (
            None,
            true,
        ),
    ]
    "#);
    let RunMountKind::Cache { sharing, owner, .. } = &mounts[0].kind else {
        panic!("not a cache");
    };
    assert_eq!(
        (*sharing, owner.uid, owner.mode),
        (Sharing::Private, Some(1), Some(0o700))
    );
    assert_eq!(
        mounts[1].kind,
        RunMountKind::Tmpfs {
            size_bytes: Some(1_572_864)
        }
    );
    assert_eq!(run.mounts[2].from(), Some("b"));
    let RunMountKind::Secret { id, .. } = &mounts[4].kind else {
        panic!("not a secret");
    };
    assert_eq!(id, "a,b");
}
