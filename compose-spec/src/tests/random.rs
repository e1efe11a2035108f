//! Random files: every one is answered, and answered twice in the same way.

use proptest::prelude::*;

use super::{findings_of, load_files};
use crate::fuzzing;

/// Pieces that often mean something next to each other.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "services:\n", "  a:\n", "    image: i\n", "    <<: *x\n", "x-y: &x\n", "networks:\n",
            "    ports:\n", "      - '80:80'\n", "    volumes: [a:/b]\n", "    build: .\n",
            "    environment:\n", "      A: ${B:-c}\n", "---\n", "!reset ", "!override ", "&x ", "*x",
            "    extends: a\n", "include: [compose.yaml]\n", "    depends_on: [a]\n", "{", "}", "[", "]",
            ": ", ", ", "- ", "? ", "|\n", ">-\n", "'", "\"", "#", "\t", "\n", "  ", "${", "}", "$$",
            "    deploy: {resources: {limits: {memory: 1g}}}\n", "null", "~", "0x1F", "yes",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// `PROPTEST_CASES` raises the number of cases.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = asked.cases.max(400);
    ProptestConfig { cases, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_file_is_answered(text in soup(), dotenv in "[A-C=\\$\\{\\}'\" \n#:x-]{0,40}") {
        let files = [("compose.yaml", text.as_str()), (".env", dotenv.as_str())];
        let first = findings_of(load_files(&files));
        prop_assert_eq!(first, findings_of(load_files(&files)));
    }

    #[test]
    fn any_part_is_read(text in soup(), more in "[A-C=\\$\\{\\}:?+'\" \n#\\\\x-]{0,40}") {
        fuzzing::read_yaml(&text);
        for text in [&text, &more] {
            fuzzing::interpolate(text);
            fuzzing::read_dotenv(text);
        }
        fuzzing::load_project(format!("{text}\0{text}\0{more}\0{text}\0{more}").as_bytes());
    }

    #[test]
    fn any_characters_are_read(text in "\\PC{0,60}") {
        fuzzing::read_yaml(&text);
        fuzzing::interpolate(&text);
        fuzzing::read_dotenv(&text);
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let path = std::path::Path::new(super::HOME).join("compose.yaml");
        let files = super::Memory([(path, bytes)].into());
        drop(crate::load(&super::request(), &files));
    }

    #[test]
    fn every_attribute_takes_any_form(
        field in prop::sample::select(
            crate::schema::SERVICE.fields.iter().map(|field| field.name).collect::<Vec<_>>()
        ),
        value in prop::sample::select(vec![
            "x", "7", "-7", "1.5", "true", "null", "[]", "[x]", "[1]", "{}", "{k: v}", "[{k: v}]",
            "[x, x]", "99999999999999999999", "!reset x", "'a=b'", "[a=b]", "{k: {soft: 1, hard: 2}}",
            "[[x]]", "{x: [y]}", "'80:80'", "['80:80']", "[/a:/b]", "\"\"", "$X", "${X:-7}",
        ]),
    ) {
        let text = format!("services:\n  a:\n    {field}: {value}\n  b: {{image: i}}\n");
        let outcome = load_files(&[("compose.yaml", text.as_str())]);
        if let Err(error) = &outcome {
            for found in &error.diagnostics {
                prop_assert!(found.primary.is_some(), "{} has no place", found.message);
            }
        }
    }

    #[test]
    fn what_is_accepted_is_read_back(
        environment in prop::collection::btree_map("[A-Z]{1,4}", "\\PC{0,12}", 0..5),
        command in prop::collection::vec("\\PC{0,12}", 0..4),
        port in 1_u16..,
    ) {
        let project = serde_json::json!({"services": {"a": {
            "image": "i",
            "environment": environment.iter()
                .map(|(k, v)| (k.clone(), v.replace('$', "$$"))).collect::<std::collections::BTreeMap<_, _>>(),
            "command": command.iter().map(|word| word.replace('$', "$$")).collect::<Vec<_>>(),
            "ports": [format!("{port}:{port}")],
        }}});
        let text = crate::emit::yaml(&project);
        let first = load_files(&[("compose.yaml", text.as_str())]).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let service = &first.project.services["a"];
        prop_assert_eq!(service.command.as_ref(), Some(&command));
        for (name, value) in &environment {
            prop_assert_eq!(service.environment[name].as_ref(), Some(value));
        }
        let again = crate::emit::yaml(&first.canonical);
        let second = load_files(&[("compose.yaml", again.as_str())]).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(second.project, first.project);
    }
}
