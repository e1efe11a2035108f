//! Why a step is not cached: what the build was made of the last time is kept, as digests, and compared.
//!
//! ```text
//! <root>/build/last/<hex>.json   one for each context, Dockerfile and target
//! ```
//!
//! Only for people: a lost or wrong record changes what is said, never what is built.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    cache::Key,
    context::replace,
    input::{BuildInput, DockerfileSource},
};
use crate::{
    model::Digest,
    store::{Root, read_json},
};

const VERSION: u32 = 1;
/// Names that an explanation gives.
const NAMES_MAX: usize = 4;

/// What a build was made of the last time, and what it is made of now.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    last: OnceLock<Option<Record>>,
    steps: Mutex<Vec<Noted>>,
}

#[derive(Debug)]
struct Noted {
    stage: String,
    number: usize,
    text: String,
    key: Key,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// When the build ended, ms since 1970: what files held by then, it has seen.
    ended_ms: u64,
    /// Digest of the keys of all steps.
    keys: String,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Step {
    stage: String,
    number: usize,
    /// Digest of the instruction.
    text: String,
    parts: BTreeMap<String, String>,
}

/// Names the context, always alike: a fetched one lies elsewhere every time.
fn place(input: &BuildInput) -> String {
    match &input.remote {
        Some(address) => address.clone(),
        None if input.is_fetched(&input.context) => "an archive".to_owned(),
        None => input.context.display().to_string(),
    }
}

impl History {
    pub(crate) fn open(root: &Root, input: &BuildInput) -> Self {
        let dockerfile = match &input.dockerfile {
            DockerfileSource::Path(path) => path.display().to_string(),
            // The text itself is what may have changed.
            DockerfileSource::Inline { .. } => "inline".to_owned(),
        };
        let name = format!(
            "{}\n{dockerfile}\n{}",
            place(input),
            input.target.as_deref().unwrap_or_default()
        );
        let directory = root.state().join("build").join("last");
        Self {
            path: directory.join(format!("{}.json", hash(&name))),
            last: OnceLock::new(),
            steps: Mutex::default(),
        }
    }

    /// Notes what a step is made of now.
    pub(crate) fn note(&self, stage: &str, number: usize, text: &str, key: &Key) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        steps.push(Noted {
            stage: stage.to_owned(),
            number,
            text: text.to_owned(),
            key: key.clone(),
        });
    }

    /// Names what is not as it was; `None` when the step was never made before. `files` names the files that changed since a time.
    pub(crate) fn explain(
        &self,
        (stage, number): (&str, usize),
        text: &str,
        key: &Key,
        files: impl Fn(u64) -> Option<String>,
    ) -> Option<String> {
        let last = self.last.get_or_init(|| self.read()).as_ref()?;
        let mut steps = last.steps.iter().filter(|step| step.stage == stage);
        let digest = hash(text);
        let same_text: Vec<&Step> = steps.clone().filter(|step| step.text == digest).collect();
        let nearest = same_text
            .into_iter()
            .min_by_key(|step| step.number.abs_diff(number));
        let Some(before) = nearest else {
            let is_other = steps.any(|step| step.number == number);
            let what = if is_other {
                "the instruction"
            } else {
                "the instruction is new"
            };
            return Some(what.to_owned());
        };
        let now = key.parts();
        let mut names = Vec::new();
        for (name, value) in &now {
            if before.parts.get(name) != Some(value) {
                names.push(name.as_str());
            }
        }
        names.extend(
            before
                .parts
                .keys()
                .filter(|name| !now.contains_key(*name))
                .map(String::as_str),
        );
        Some(words(&names, || files(last.ended_ms)))
    }

    /// Keeps what this build was made of, unless that is known.
    pub(crate) fn save(&self, ended_ms: u64) {
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<String> = steps.iter().map(|noted| noted.key.to_string()).collect();
        all.sort();
        let keys = hash(&all.join("\n"));
        let last = self.last.get_or_init(|| self.read());
        if last.as_ref().is_some_and(|last| last.keys == keys) {
            return;
        }
        let steps = steps
            .iter()
            .map(|noted| Step {
                stage: noted.stage.clone(),
                number: noted.number,
                text: hash(&noted.text),
                parts: noted.key.parts(),
            })
            .collect();
        let record = Record {
            version: VERSION,
            ended_ms,
            keys,
            steps,
        };
        let text = serde_json::to_vec(&record).unwrap_or_default();
        if let Err(error) = replace(&self.path, &text) {
            tracing::warn!(%error, "what the build was made of was not noted");
        }
    }

    fn read(&self) -> Option<Record> {
        let record: Record = read_json(&self.path).ok().flatten()?;
        (record.version == VERSION).then_some(record)
    }
}

/// Says which parts changed: what the user wrote before what follows from it.
fn words(names: &[&str], files: impl Fn() -> Option<String>) -> String {
    let mut said = Vec::new();
    for name in names {
        said.push(match *name {
            "content" => files().unwrap_or_else(|| "the files".to_owned()),
            "documents" | "script" => "the inline document".to_owned(),
            "argv" => "the command".to_owned(),
            "cwd" => "the working directory".to_owned(),
            "user" => "the user".to_owned(),
            "hosts" => "the extra hosts".to_owned(),
            "shm" => "the size of /dev/shm".to_owned(),
            "rlimits" => "the resource limits".to_owned(),
            "mounts" => files().unwrap_or_else(|| "a mount".to_owned()),
            "epoch" => "SOURCE_DATE_EPOCH".to_owned(),
            "on" => continue,
            name => match name.strip_prefix("env ") {
                Some(variable) => format!("variable {variable}"),
                None => format!("the {name}"),
            },
        });
    }
    said.dedup();
    let more = said.len().saturating_sub(NAMES_MAX);
    said.truncate(NAMES_MAX);
    if more > 0 {
        said.push(format!("{more} more"));
    }
    match (said.is_empty(), names.contains(&"on")) {
        (false, _) => said.join(", "),
        (true, true) => "what is below".to_owned(),
        (true, false) => "its cached layer was removed".to_owned(),
    }
}

fn hash(text: &str) -> String {
    let digest = Digest::from_sha256(&Sha256::digest(text).into());
    digest.hex()[..32].to_owned()
}
