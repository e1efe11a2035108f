//! The parser by tables, snapshots and properties.

mod errors;
mod forms;

use super::*;

fn errors(text: &str) -> String {
    match parse("Dockerfile", text.as_bytes()) {
        Ok(_) => "no error".to_owned(),
        Err(errors) => errors.to_string(),
    }
}

fn all(text: &str) -> Vec<InstructionKind> {
    let text = format!("FROM a\n{text}");
    let mut dockerfile = match parse("Dockerfile", text.as_bytes()) {
        Ok(dockerfile) => dockerfile,
        Err(errors) => panic!("{text}: {errors}"),
    };
    let instructions = dockerfile.stages.remove(0).instructions;
    instructions.into_iter().map(|one| one.kind).collect()
}

fn only(text: &str) -> InstructionKind {
    let mut kinds = all(text);
    assert_eq!(kinds.len(), 1, "{text}");
    kinds.remove(0)
}

fn shell_line(text: &str) -> String {
    match only(text) {
        InstructionKind::Run(Run {
            command: CommandLine::Shell(line),
            ..
        }) => line,
        other => panic!("{text}: {other:?}"),
    }
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}
