//! What is accepted, and what it becomes.

use super::{super::*, *};

#[test]
fn lines_are_continued_and_comments_skipped() {
    for (text, expected) in [
        ("RUN a \\\n  b", "a   b"),
        ("RUN a \\  \n# comment\n   # another\n\n  b \\\n", "a   b "),
        ("RUN a \\\\\nRUN c", "a \\\\"),
        ("run \\\n a", "a"),
        ("\t RUN a", "a"),
        ("RUN a\r\n", "a"),
        ("RUN a # no comment", "a # no comment"),
        ("RUN echo \"a \\\nb\"", "echo \"a b\""),
    ] {
        let kinds = all(text);
        let InstructionKind::Run(run) = &kinds[0] else {
            panic!("{text}");
        };
        let expected = expected.trim_end().to_owned();
        assert_eq!(run.command, CommandLine::Shell(expected), "{text:?}");
    }
    let dockerfile = parse("D", b"FROM a\nRUN a \\\n\n b").unwrap();
    assert_eq!(dockerfile.empty_continuations.len(), 1);
    let backtick = parse(
        "D",
        b"\xef\xbb\xbf# syntax=docker/dockerfile:1\n# Escape = `\nFROM a\nRUN c:\\x `\n y",
    )
    .unwrap();
    assert_eq!(backtick.stages[0].instructions[0].text, "RUN c:\\x  y");
    let shebang = parse("D", b"#!/usr/bin/env x\n# escape=`\nFROM a").unwrap();
    assert_eq!(shebang.escape(), '\\');
}

#[test]
fn documents_follow_their_instruction() {
    let InstructionKind::Run(run) = only("RUN <<A cat <<-'B'\none\nA\n\ttwo\n\tB\n") else {
        panic!("not a RUN");
    };
    let [first, second] = &run.heredocs[..] else {
        panic!("{:?}", run.heredocs);
    };
    assert_eq!((first.name.as_str(), first.text().as_str()), ("A", "one\n"));
    assert_eq!(
        (second.name.as_str(), second.text().as_str()),
        ("B", "two\n")
    );
    assert!(first.expand && !second.expand && second.chomp);
    let InstructionKind::Copy(copy) = only("COPY <<a x <<\"b\" /d/\n1\na\n2\nb\n") else {
        panic!("not a COPY");
    };
    assert_eq!(texts(&copy.transfer.sources), ["x"]);
    assert_eq!(copy.transfer.documents.len(), 2);
    for (text, documents) in [
        ("RUN cat <<<word", 0),
        ("RUN echo '<<EOF'", 0),
        ("RUN echo $((1<<2))", 0),
        ("CMD cat <<EOF", 0),
        ("ONBUILD RUN <<EOF\nx\nEOF", 1),
        ("RUN 3<<EOF\nx\nEOF", 1),
    ] {
        match &all(text)[0] {
            InstructionKind::Run(run) => assert_eq!(run.heredocs.len(), documents, "{text}"),
            InstructionKind::Onbuild(trigger) => assert_eq!(trigger, "RUN <<EOF\nx\nEOF"),
            other => assert!(matches!(other, InstructionKind::Cmd(_)), "{text}"),
        }
    }
}

#[test]
fn instructions_have_their_types() {
    assert_eq!(shell_line("RUN [\"not json"), "[\"not json");
    let InstructionKind::Copy(copy) = only(
        "copy --from=b --chown=u:g --chmod=755 --link --parents --exclude=a --exclude=b [\"x y\", \"/z\"]",
    ) else {
        panic!("not a COPY");
    };
    assert_eq!(copy.from.unwrap().text, "b");
    assert!(copy.parents && copy.transfer.link);
    assert_eq!(texts(&copy.transfer.sources), ["x y"]);
    assert_eq!(texts(&copy.transfer.exclude), ["a", "b"]);
    let InstructionKind::Env(pairs) = only("ENV a=1 b=\"x y\" c=x\\ y d= \\\n e='$z'") else {
        panic!("not an ENV");
    };
    let values: Vec<&str> = pairs.iter().map(|pair| pair.value.text.as_str()).collect();
    assert_eq!(values, ["1", "\"x y\"", "x\\ y", "", "'$z'"]);
    let InstructionKind::Arg(definitions) = only("ARG a b=1 c=\"d e\"") else {
        panic!("not an ARG");
    };
    assert_eq!(definitions.len(), 3);
    assert!(definitions[0].default.is_none());
    let InstructionKind::Volume(volumes) = only("VOLUME [\"/a b\", \"/c\"]") else {
        panic!("not a VOLUME");
    };
    assert_eq!(texts(&volumes), ["/a b", "/c"]);
    assert_eq!(
        only("ENTRYPOINT [\"a\"]"),
        InstructionKind::Entrypoint(CommandLine::Exec(vec!["a".to_owned()]))
    );
    assert_eq!(
        only("CMD"),
        InstructionKind::Cmd(CommandLine::Shell(String::new()))
    );
    assert!(matches!(
        only("HEALTHCHECK none"),
        InstructionKind::Healthcheck(Healthcheck::None)
    ));
    let dockerfile = parse(
        "D",
        b"ARG v=1\nARG w\nfrom --platform=$P a as Build\nFROM scratch",
    )
    .unwrap();
    assert_eq!(dockerfile.global_args.len(), 2);
    assert_eq!(dockerfile.stages[0].name.as_deref(), Some("build"));
    assert_eq!(dockerfile.stages[0].platform.as_ref().unwrap().text, "$P");
}

#[test]
fn spans_are_the_bytes_they_claim() {
    let text = "FROM a\nCOPY \\\n  --chown=üser \\\n  one \\\n  two /dest\n";
    let dockerfile = parse("D", text.as_bytes()).unwrap();
    let InstructionKind::Copy(copy) = &dockerfile.stages[0].instructions[0].kind else {
        panic!("not a COPY");
    };
    let words = copy
        .transfer
        .sources
        .iter()
        .chain([&copy.transfer.destination]);
    for word in words.chain(&copy.transfer.chown) {
        assert_eq!(&text[word.span.start..word.span.end], word.text);
    }
}

proptest::proptest! {
    #[test]
    fn parsing_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        drop(parse("D", &bytes));
    }

    #[test]
    fn parsing_what_looks_like_a_dockerfile_never_panics(
        lines in proptest::collection::vec("(FROM|RUN|COPY|ADD|ENV|ARG|LABEL|HEALTHCHECK|ONBUILD|SHELL|#|EXPOSE) [-a-z=\"'\\[\\]{}$<\\\\ ,/]{0,24}(\\\\)?", 0..8)
    ) {
        let text = format!("FROM a\n{}\n", lines.join("\n"));
        if let Err(errors) = parse("D", text.as_bytes()) {
            for error in errors.0 {
                drop(error.place.excerpt());
            }
        }
    }
}
