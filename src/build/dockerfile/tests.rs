use super::*;

fn errors(text: &str) -> String {
    parse("Dockerfile", text.as_bytes()).unwrap_err().to_string()
}

fn only(text: &str) -> InstructionKind {
    let text = format!("FROM a\n{text}");
    let mut dockerfile = parse("Dockerfile", text.as_bytes()).unwrap();
    let mut instructions = dockerfile.stages.remove(0).instructions;
    assert_eq!(instructions.len(), 1);
    instructions.remove(0).kind
}
