//! `--change` of `commit` and `import`: instructions of a Dockerfile that only change an image's config. Pure.

use serde_json::Value;

use super::{
    dockerfile::{Instruction, InstructionKind, SyntaxError, SyntaxErrors, parse_trigger},
    document::Document,
    error::StepFailure,
    path,
    scope::{Globals, Scope},
    steps::Edit,
};

/// A `--change` that cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Not an instruction.
    #[error("--change `{text}`: {reason}")]
    Syntax {
        /// As given.
        text: String,
        /// Why.
        reason: String,
    },
    /// An instruction that makes a layer, or means nothing outside of a build.
    #[error(
        "--change `{0}`: only CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR change an image's config"
    )]
    NotAChange(String),
    /// A value that it does not take.
    #[error("--change `{text}`")]
    Value {
        /// As given.
        text: String,
        /// Why.
        #[source]
        source: Box<StepFailure>,
    },
}

/// Applies instructions to the `config` of an image's document; variables are those of its environment.
///
/// Nothing else of the document changes: history is the caller's.
pub fn change_config(image: &mut Value, changes: &[String]) -> Result<(), ChangeError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut document = Document::of_base(image);
    let globals = Globals::new(&indexmap::IndexMap::new(), "", "", "", '\\');
    let mut scope = Scope::new(&globals, document.env());
    for text in changes {
        let syntax = |errors: SyntaxErrors| {
            let reasons: Vec<String> = errors.0.iter().map(SyntaxError::reason).collect();
            ChangeError::Syntax {
                text: text.clone(),
                reason: reasons.join("; "),
            }
        };
        let instructions = parse_trigger(text, '\\').map_err(syntax)?;
        if instructions.is_empty() {
            return Err(ChangeError::NotAChange(text.clone()));
        }
        for instruction in &instructions {
            apply(&mut document, &mut scope, instruction, text)?;
        }
    }
    let mut finished = document.finish(&[], None);
    if let (Some(image), Some(finished)) = (image.as_object_mut(), finished.as_object_mut()) {
        image.insert(
            "config".to_owned(),
            finished.remove("config").unwrap_or_default(),
        );
    }
    Ok(())
}

fn apply(
    document: &mut Document,
    scope: &mut Scope,
    instruction: &Instruction,
    text: &str,
) -> Result<(), ChangeError> {
    let value = |source: StepFailure| ChangeError::Value {
        text: text.to_owned(),
        source: Box::new(source),
    };
    match &instruction.kind {
        InstructionKind::Workdir(word) => {
            let written = scope
                .expand(&word.text)
                .map_err(|error| value(error.into()))?;
            let directory = path::absolute(document.working_dir(), &written);
            document.set_text("WorkingDir", &directory);
            Ok(())
        }
        InstructionKind::Cmd(_)
        | InstructionKind::Entrypoint(_)
        | InstructionKind::Env(_)
        | InstructionKind::Expose(_)
        | InstructionKind::Healthcheck(_)
        | InstructionKind::Label(_)
        | InstructionKind::Onbuild(_)
        | InstructionKind::StopSignal(_)
        | InstructionKind::User(_)
        | InstructionKind::Volume(_) => Edit { document, scope }.apply(instruction).map_err(value),
        _ => Err(ChangeError::NotAChange(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(changes: &[&str]) -> Result<Value, ChangeError> {
        let mut image = json!({"os": "linux", "config": {"Env": ["PATH=/bin", "A=1"], "Cmd": ["old"]}, "history": [{"created_by": "x"}]});
        let changes: Vec<String> = changes.iter().map(|text| (*text).to_owned()).collect();
        change_config(&mut image, &changes).map(|()| image)
    }

    #[test]
    fn instructions_change_the_config_and_nothing_else() {
        let image = changed(&[
            "CMD [\"new\", \"x\"]",
            "ENV B=${A}2 C=\"two words\"",
            "EXPOSE 80 53/udp",
            "LABEL k=v",
            "USER 1000:1000",
            "WORKDIR srv",
            "VOLUME /data",
            "STOPSIGNAL SIGINT",
            "HEALTHCHECK --interval=5s CMD true",
            "ONBUILD RUN x",
        ])
        .unwrap();
        assert_eq!(image["history"], json!([{"created_by": "x"}]));
        assert_eq!(image["os"], "linux");
        let config = &image["config"];
        assert_eq!(config["Cmd"], json!(["new", "x"]));
        assert_eq!(
            config["Env"],
            json!(["PATH=/bin", "A=1", "B=12", "C=two words"])
        );
        assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "53/udp": {}}));
        assert_eq!(config["Labels"]["k"], "v");
        assert_eq!(config["User"], "1000:1000");
        assert_eq!(config["WorkingDir"], "/srv");
        assert_eq!(config["Volumes"], json!({"/data": {}}));
        assert_eq!(config["StopSignal"], "SIGINT");
        assert_eq!(config["Healthcheck"]["Interval"], 5_000_000_000_u64);
        assert_eq!(config["OnBuild"], json!(["RUN x"]));
    }

    #[test]
    fn what_is_no_change_is_refused_by_name() {
        for text in [
            "RUN x",
            "COPY a b",
            "ADD a b",
            "ARG X",
            "MAINTAINER me",
            "FROM x",
            "NOPE x",
            "",
        ] {
            let error = changed(&[text]).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert!(matches!(
            changed(&["STOPSIGNAL SIGNOPE"]),
            Err(ChangeError::Value { .. })
        ));
    }
}
