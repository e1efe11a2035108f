//! The image config that a stage builds up: OCI's document with Docker's additions. Pure.
//!
//! It is edited in place and never retyped, so that fields of a base image that we do not know survive.

use serde_json::{Map, Value, json};

use crate::model::{Digest, Timestamp};

/// PATH of images that have none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An image config while it is built.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    root: Map<String, Value>,
    /// `CMD` was set in this stage: ENTRYPOINT then leaves it alone.
    cmd_is_own: bool,
    /// Time of the base, for lines of history before the first layer.
    base_created: Value,
}

impl Document {
    /// Returns the config of `FROM scratch`.
    pub(crate) fn scratch(platform: &str) -> Self {
        let mut parts = platform.split('/');
        let os = parts.next().unwrap_or("linux").to_owned();
        let mut root = Map::new();
        root.insert(
            "architecture".to_owned(),
            parts.next().unwrap_or_default().into(),
        );
        root.insert("os".to_owned(), os.into());
        if let Some(variant) = parts.next() {
            root.insert("variant".to_owned(), variant.into());
        }
        root.insert(
            "config".to_owned(),
            json!({ "Env": [format!("PATH={PATH_DEFAULT}")], "WorkingDir": "/" }),
        );
        Self {
            root,
            cmd_is_own: false,
            base_created: rfc3339(Timestamp(0)).into(),
        }
    }

    /// Takes over the config of a base image.
    pub(crate) fn of_base(config: &Value) -> Self {
        let mut document = Self {
            root: config.as_object().cloned().unwrap_or_default(),
            cmd_is_own: false,
            base_created: rfc3339(Timestamp(0)).into(),
        };
        if let Some(created) = document.root.remove("created") {
            document.base_created = created;
        }
        if !document.env().iter().any(|(name, _)| name == "PATH") {
            document.set_env("PATH", PATH_DEFAULT);
        }
        document
    }

    /// Returns the config of a stage that begins with this one's result.
    pub(crate) fn inherited(&self) -> Self {
        let mut document = self.clone();
        document.cmd_is_own = false;
        document
    }

    fn config(&mut self) -> &mut Map<String, Value> {
        let config = self.root.entry("config").or_insert_with(|| json!({}));
        if !config.is_object() {
            *config = json!({});
        }
        config.as_object_mut().expect("it was made an object above")
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.root.get("config")?.get(key)
    }

    fn strings(&self, key: &str) -> Vec<String> {
        let values = self.value(key).and_then(Value::as_array);
        values
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }

    fn text(&self, key: &str) -> &str {
        self.value(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the environment in order.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        self.strings("Env")
            .into_iter()
            .map(|line| match line.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => (line, String::new()),
            })
            .collect()
    }

    /// Returns USER; empty = root.
    pub(crate) fn user(&self) -> &str {
        self.text("User")
    }

    /// Returns WORKDIR, never empty.
    pub(crate) fn working_dir(&self) -> &str {
        match self.text("WorkingDir") {
            "" => "/",
            directory => directory,
        }
    }

    /// Returns SHELL.
    pub(crate) fn shell(&self) -> Vec<String> {
        let shell = self.strings("Shell");
        if shell.is_empty() {
            return vec!["/bin/sh".to_owned(), "-c".to_owned()];
        }
        shell
    }

    /// Takes the triggers that the image keeps for its users.
    pub(crate) fn take_triggers(&mut self) -> Vec<String> {
        let triggers = self.strings("OnBuild");
        self.config().remove("OnBuild");
        triggers
    }

    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        let mut env = self.env();
        match env.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => env.push((name.to_owned(), value.to_owned())),
        }
        let lines: Vec<String> = env
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.config().insert("Env".to_owned(), lines.into());
    }

    pub(crate) fn set_text(&mut self, key: &str, value: &str) {
        self.config().insert(key.to_owned(), value.into());
    }

    pub(crate) fn set_shell(&mut self, shell: &[String]) {
        self.config().insert("Shell".to_owned(), shell.into());
    }

    pub(crate) fn set_cmd(&mut self, arguments: &[String]) {
        self.cmd_is_own = true;
        self.set_command("Cmd", arguments);
    }

    /// Sets ENTRYPOINT. A CMD that the base set was meant for the base's entrypoint and goes.
    pub(crate) fn set_entrypoint(&mut self, arguments: &[String]) {
        self.set_command("Entrypoint", arguments);
        if !self.cmd_is_own {
            self.config().remove("Cmd");
        }
    }

    fn set_command(&mut self, key: &str, arguments: &[String]) {
        if arguments.is_empty() {
            self.config().remove(key);
        } else {
            self.config().insert(key.to_owned(), arguments.into());
        }
    }

    /// Adds to a set that is an object with empty values (`ExposedPorts`, `Volumes`).
    pub(crate) fn add_to_set(&mut self, key: &str, member: &str) {
        self.object(key).insert(member.to_owned(), json!({}));
    }

    pub(crate) fn set_label(&mut self, name: &str, value: &str) {
        self.object("Labels").insert(name.to_owned(), value.into());
    }

    fn object(&mut self, key: &str) -> &mut Map<String, Value> {
        let entry = self.config().entry(key).or_insert_with(|| json!({}));
        if !entry.is_object() {
            *entry = json!({});
        }
        entry.as_object_mut().expect("it was made an object above")
    }

    pub(crate) fn set_health(&mut self, health: Value) {
        self.config().insert("Healthcheck".to_owned(), health);
    }

    pub(crate) fn add_trigger(&mut self, trigger: &str) {
        let mut triggers = self.strings("OnBuild");
        triggers.push(trigger.to_owned());
        self.config().insert("OnBuild".to_owned(), triggers.into());
    }

    pub(crate) fn set_author(&mut self, author: &str) {
        self.root.insert("author".to_owned(), author.into());
    }

    /// Adds a line of history. One without a layer has the time of the layer below, so that it does not change the image.
    pub(crate) fn add_history(&mut self, created_by: &str, layer: Option<Timestamp>) {
        let base_created = self.base_created.clone();
        let history = self.root.entry("history").or_insert_with(|| json!([]));
        let Some(entries) = history.as_array_mut() else {
            return;
        };
        let created = match layer {
            Some(time) => Value::from(rfc3339(time)),
            None => entries
                .last()
                .and_then(|entry| entry.get("created"))
                .cloned()
                .unwrap_or(base_created),
        };
        let mut entry = json!({ "created": created, "created_by": created_by });
        if layer.is_none() {
            entry["empty_layer"] = true.into();
        }
        entries.push(entry);
    }

    /// Returns the finished document. Its time is that of its last line of history.
    pub(crate) fn finish(&self, diff_ids: &[Digest], epoch: Option<i64>) -> Value {
        let mut root = self.root.clone();
        let last = root
            .get("history")
            .and_then(Value::as_array)
            .and_then(|history| history.last()?.get("created").cloned());
        let created = match epoch {
            Some(seconds) => rfc3339(epoch_time(seconds)).into(),
            None => last.unwrap_or_else(|| self.base_created.clone()),
        };
        root.insert("created".to_owned(), created);
        let diff_ids: Vec<&str> = diff_ids.iter().map(Digest::as_str).collect();
        root.insert(
            "rootfs".to_owned(),
            json!({ "type": "layers", "diff_ids": diff_ids }),
        );
        Value::Object(root)
    }
}

/// Returns SOURCE_DATE_EPOCH as a time; before 1970 is 1970.
pub(crate) fn epoch_time(seconds: i64) -> Timestamp {
    Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

fn rfc3339(time: Timestamp) -> String {
    let millisecond = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millisecond)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_image_has_the_shape_that_docker_writes() {
        let mut document = Document::scratch("linux/arm64/v8");
        document.add_history("COPY a /a", Some(Timestamp(1_700_000_000_000)));
        document.set_cmd(&["/a".to_owned()]);
        document.add_history("CMD [\"/a\"]", None);
        let digest = Digest::from_sha256(&[1; 32]);
        insta::assert_snapshot!(
            serde_json::to_string_pretty(&document.finish(&[digest], None)).unwrap(),
            @r#"
        {
          "architecture": "arm64",
          "os": "linux",
          "variant": "v8",
          "config": {
            "Env": [
              "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
            ],
            "WorkingDir": "/",
            "Cmd": [
              "/a"
            ]
          },
          "history": [
            {
              "created": "2023-11-14T22:13:20Z",
              "created_by": "COPY a /a"
            },
            {
              "created": "2023-11-14T22:13:20Z",
              "created_by": "CMD [\"/a\"]",
              "empty_layer": true
            }
          ],
          "created": "2023-11-14T22:13:20Z",
          "rootfs": {
            "type": "layers",
            "diff_ids": [
              "sha256:0101010101010101010101010101010101010101010101010101010101010101"
            ]
          }
        }
        "#
        );
    }

    #[test]
    fn unknown_fields_of_a_base_survive_and_its_cmd_goes_with_a_new_entrypoint() {
        let base = json!({
            "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z", "x-vendor": [1],
            "config": { "Cmd": ["old"], "OnBuild": ["RUN x"], "Odd": 1 },
        });
        let mut document = Document::of_base(&base);
        assert_eq!(document.take_triggers(), ["RUN x"]);
        document.set_entrypoint(&["new".to_owned()]);
        let finished = document.finish(&[], Some(0));
        assert_eq!(finished["x-vendor"], json!([1]));
        assert_eq!(finished["config"]["Odd"], 1);
        assert_eq!(finished["config"]["Entrypoint"], json!(["new"]));
        assert_eq!(finished["config"]["Cmd"], Value::Null);
        assert_eq!(finished["config"]["OnBuild"], Value::Null);
        assert_eq!(finished["created"], "1970-01-01T00:00:00Z");
        let mut own = Document::of_base(&base);
        own.set_cmd(&["mine".to_owned()]);
        own.set_entrypoint(&["new".to_owned()]);
        assert_eq!(own.finish(&[], None)["config"]["Cmd"], json!(["mine"]));
    }
}
