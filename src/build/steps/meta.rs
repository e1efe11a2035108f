//! Instructions that only change the config: no layer, no key.

use serde_json::json;

use crate::build::{
    dockerfile::{CommandLine, Healthcheck, Instruction, InstructionKind, Pair, Word},
    document::Document,
    error::StepFailure,
    scope::Scope,
    stage::StageRun,
};

/// A config and the variables that its next instruction sees.
pub(crate) struct Edit<'a> {
    pub(crate) document: &'a mut Document,
    pub(crate) scope: &'a mut Scope,
}

impl StageRun<'_> {
    pub(crate) fn meta(&mut self, instruction: &Instruction) -> Result<(), StepFailure> {
        let document = &mut self.state.document;
        let scope = &mut self.scope;
        Edit { document, scope }.apply(instruction)
    }

    /// Returns the arguments of a command, with the shell in front of a line.
    pub(super) fn arguments(&self, command: &CommandLine) -> Vec<String> {
        arguments(&self.state.document, command)
    }
}

impl Edit<'_> {
    /// Applies an instruction that makes no layer.
    pub(crate) fn apply(&mut self, instruction: &Instruction) -> Result<(), StepFailure> {
        let history = match &instruction.kind {
            InstructionKind::Env(pairs) => self.env(pairs)?,
            InstructionKind::Label(pairs) => self.label(pairs)?,
            InstructionKind::Arg(definitions) => {
                let shown: Vec<String> = definitions
                    .iter()
                    .map(|definition| self.scope.declare(definition))
                    .collect::<Result<_, _>>()?;
                format!("ARG {}", shown.join(" "))
            }
            InstructionKind::Cmd(command) => {
                let arguments = arguments(self.document, command);
                self.document.set_cmd(&arguments);
                format!("CMD {}", quoted(&arguments))
            }
            InstructionKind::Entrypoint(command) => {
                let arguments = arguments(self.document, command);
                self.document.set_entrypoint(&arguments);
                format!("ENTRYPOINT {}", quoted(&arguments))
            }
            InstructionKind::Expose(words) => self.expose(words)?,
            InstructionKind::Volume(words) => self.volume(words)?,
            InstructionKind::User(word) => {
                let user = self.scope.expand(&word.text)?;
                self.document.set_text("User", &user);
                format!("USER {user}")
            }
            InstructionKind::StopSignal(word) => self.stop_signal(word)?,
            InstructionKind::Shell(shell) => {
                self.document.set_shell(shell);
                format!("SHELL [{}]", shell.join(" "))
            }
            InstructionKind::Healthcheck(check) => self.healthcheck(check),
            InstructionKind::Maintainer(author) => {
                self.document.set_author(author);
                format!("MAINTAINER {author}")
            }
            InstructionKind::Onbuild(trigger) => {
                // The reference builder keeps no history of it either.
                self.document.add_trigger(trigger);
                return Ok(());
            }
            // These make layers and never come here.
            InstructionKind::Run(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Add(_)
            | InstructionKind::Workdir(_) => return Ok(()),
        };
        self.document.add_history(&history, None);
        Ok(())
    }

    /// Every value sees the environment from before the instruction.
    fn env(&mut self, pairs: &[Pair]) -> Result<String, StepFailure> {
        let (expanded, history) = self.pairs("ENV", pairs)?;
        for (name, value) in &expanded {
            self.document.set_env(name, value);
        }
        let names = expanded.iter().map(|(name, _)| name);
        self.scope.set_env(self.document.env(), names);
        Ok(history)
    }

    fn label(&mut self, pairs: &[Pair]) -> Result<String, StepFailure> {
        let (expanded, history) = self.pairs("LABEL", pairs)?;
        for (name, value) in &expanded {
            self.document.set_label(name, value);
        }
        Ok(history)
    }

    fn pairs(
        &self,
        instruction: &str,
        pairs: &[Pair],
    ) -> Result<(Vec<(String, String)>, String), StepFailure> {
        let mut history = instruction.to_owned();
        let mut expanded = Vec::new();
        for pair in pairs {
            let name = self.scope.expand(&pair.name.text)?;
            let value = self.scope.expand(&pair.value.text)?;
            history.extend([" ", &name, "=", &value]);
            expanded.push((name, value));
        }
        Ok((expanded, history))
    }

    fn expose(&mut self, words: &[Word]) -> Result<String, StepFailure> {
        let mut ports = Vec::new();
        for word in words {
            for text in self.scope.expand_words(&word.text)? {
                ports.extend(exposed(&text).ok_or_else(|| StepFailure::Value {
                    what: "port",
                    value: text.clone(),
                    rule: "must be a port or a range from 1 to 65535, with /tcp, /udp or /sctp",
                })?);
            }
        }
        for port in &ports {
            self.document.add_to_set("ExposedPorts", port);
        }
        Ok(format!("EXPOSE [{}]", ports.join(" ")))
    }

    fn volume(&mut self, words: &[Word]) -> Result<String, StepFailure> {
        let mut volumes = Vec::new();
        for word in words {
            let volume = self.scope.expand(word.text.trim())?;
            if volume.is_empty() {
                return Err(StepFailure::Value {
                    what: "volume",
                    value: word.text.clone(),
                    rule: "can not be an empty string",
                });
            }
            self.document.add_to_set("Volumes", &volume);
            volumes.push(volume);
        }
        Ok(format!("VOLUME [{}]", volumes.join(" ")))
    }

    fn stop_signal(&mut self, word: &Word) -> Result<String, StepFailure> {
        let signal = self.scope.expand(&word.text)?;
        if !is_signal(&signal) {
            return Err(StepFailure::Value {
                what: "signal",
                value: signal,
                rule: "must be a signal name or a number from 1 to 64",
            });
        }
        self.document.set_text("StopSignal", &signal);
        Ok(format!("STOPSIGNAL {signal}"))
    }

    fn healthcheck(&mut self, check: &Healthcheck) -> String {
        let Healthcheck::Check {
            command,
            interval,
            timeout,
            start_period,
            start_interval,
            retries,
        } = check
        else {
            self.document.set_health(json!({ "Test": ["NONE"] }));
            return health_history(&["NONE".to_owned()], [0; 4], 0);
        };
        let test: Vec<String> = match command {
            CommandLine::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
            CommandLine::Exec(arguments) => {
                let mut test = vec!["CMD".to_owned()];
                test.extend(arguments.iter().cloned());
                test
            }
        };
        let mut health = json!({ "Test": test });
        for (key, duration) in [
            ("Interval", interval),
            ("Timeout", timeout),
            ("StartPeriod", start_period),
            ("StartInterval", start_interval),
        ] {
            // Zero means "inherit" and is left out, as Go's omitempty does.
            if !duration.is_zero() {
                health[key] = u64::try_from(duration.as_nanos())
                    .unwrap_or(u64::MAX)
                    .into();
            }
        }
        if *retries > 0 {
            health["Retries"] = (*retries).into();
        }
        self.document.set_health(health);
        let durations = [interval, timeout, start_period, start_interval];
        let nanos = durations.map(|one| u64::try_from(one.as_nanos()).unwrap_or(u64::MAX));
        health_history(&test, nanos, *retries)
    }
}

/// Writes a check as the reference builder does, which prints its structure: `HEALTHCHECK {Test:[CMD x] Interval:5s …}`.
fn health_history(test: &[String], nanos: [u64; 4], retries: u32) -> String {
    let [interval, timeout, start_period, start_interval] = nanos.map(duration);
    format!(
        "HEALTHCHECK {{Test:[{}] Interval:{interval} Timeout:{timeout} StartPeriod:{start_period} StartInterval:{start_interval} Retries:{retries}}}",
        test.join(" ")
    )
}

/// Writes a duration as Go does: `1h2m3.5s`, `1.5ms`, `0s`.
fn duration(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let decimal = |unit: u64| {
        let text = format!(
            "{}.{:0width$}",
            nanos % (60 * SECOND) / unit,
            nanos % unit,
            width = unit.ilog10() as usize
        );
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(1_000)),
        1_000_000..SECOND => format!("{}ms", decimal(1_000_000)),
        _ => {
            let (hours, minutes) = (nanos / (3600 * SECOND), nanos / (60 * SECOND) % 60);
            let seconds = decimal(SECOND);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn arguments(document: &Document, command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Exec(arguments) => arguments.clone(),
        CommandLine::Shell(line) if line.is_empty() => Vec::new(),
        CommandLine::Shell(line) => {
            let mut arguments = document.shell();
            arguments.push(line.clone());
            arguments
        }
    }
}

/// Writes arguments as history shows them, quoted as Go does: `["a" "b"]`.
fn quoted(arguments: &[String]) -> String {
    let quote = |argument: &String| {
        use std::fmt::Write;
        let mut text = String::from("\"");
        for c in argument.chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{b}' => text.push_str("\\v"),
                '\u{c}' => text.push_str("\\f"),
                c if c.is_ascii_control() => {
                    write!(text, "\\x{:02x}", u32::from(c))
                        .expect("writing to a String cannot fail");
                }
                c => text.push(c),
            }
        }
        text + "\""
    };
    let quoted: Vec<String> = arguments.iter().map(quote).collect();
    format!("[{}]", quoted.join(" "))
}

/// Parses `port[-port][/proto]`; a host part, which the reference builder tolerates, is dropped. `None` = not a port.
fn exposed(text: &str) -> Option<Vec<String>> {
    let text = text.rsplit(':').next()?;
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return None;
    }
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return None;
    }
    Some(
        (first..=last)
            .map(|port| format!("{port}/{protocol}"))
            .collect(),
    )
}

/// Whether a text names a signal: a number from 1 to 64, or a name with or without SIG.
fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=64).contains(&number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name
        .strip_prefix("RTMIN+")
        .or_else(|| name.strip_prefix("RTMAX-"))
    {
        return offset.parse::<u8>().is_ok_and(|offset| offset <= 30);
    }
    matches!(name, "RTMIN" | "RTMAX" | "CLD")
        || format!("SIG{name}")
            .parse::<nix::sys::signal::Signal>()
            .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_listed() {
        for (text, expected) in [
            ("80", Some(vec!["80/tcp"])),
            ("53/UDP", Some(vec!["53/udp"])),
            ("8000-8002", Some(vec!["8000/tcp", "8001/tcp", "8002/tcp"])),
            ("127.0.0.1:80:8080", Some(vec!["8080/tcp"])),
            ("0", None),
            ("65536", None),
            ("9-8", None),
            ("80/icmp", None),
            ("http", None),
        ] {
            let expected =
                expected.map(|ports| ports.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(exposed(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_and_quotes_are_those_of_go() {
        for (nanos, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (100_000_000, "100ms"),
            (5_000_000_000, "5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_723_250_000_000, "1h2m3.25s"),
        ] {
            assert_eq!(duration(nanos), expected);
        }
        let odd = ["a\"b".to_owned(), "é\u{1b}\n<".to_owned()];
        assert_eq!(quoted(&odd), r#"["a\"b" "é\x1b\n<"]"#);
    }

    #[test]
    fn signals_have_names_and_numbers() {
        for good in ["9", "SIGTERM", "term", "SIGRTMIN+3", "RTMAX-1", "64"] {
            assert!(is_signal(good), "{good}");
        }
        for bad in ["", "0", "65", "SIGNOPE", "RTMIN+99"] {
            assert!(!is_signal(bad), "{bad}");
        }
    }
}
