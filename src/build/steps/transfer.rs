//! COPY and ADD with their variables expanded.

use std::path::Path;

use crate::build::{
    dockerfile::{Heredoc, Quotes, Syntax, Transfer, Word, expand_with},
    error::StepFailure,
    files::{Chmod, Destination},
    path,
    stage::StageRun,
};

/// COPY or ADD with its variables expanded.
pub(super) struct Request {
    pub(super) sources: Vec<String>,
    /// Name and contents of inline files.
    pub(super) documents: Vec<(String, String)>,
    pub(super) destination: Destination,
    pub(super) chown: Option<String>,
    pub(super) chmod: Option<(String, Chmod)>,
    pub(super) exclude: Vec<String>,
    pub(super) link: bool,
    pub(super) parents: bool,
}

impl StageRun<'_> {
    /// Expands the words of COPY or ADD.
    pub(super) fn request(
        &self,
        transfer: &Transfer,
        parents: bool,
    ) -> Result<Request, StepFailure> {
        let expand = |word: &Word| self.scope.expand(&word.text);
        let written = expand(&transfer.destination)?;
        let directory = written.ends_with('/')
            || written.ends_with("/.")
            || matches!(written.as_str(), "." | "");
        let path = path::absolute(self.state.document.working_dir(), &written);
        let chmod = match transfer.chmod.as_ref().map(expand).transpose()? {
            None => None,
            Some(text) if text.is_empty() => None,
            Some(text) => match Chmod::parse(&text) {
                Some(chmod) => Some((text, chmod)),
                None => {
                    return Err(StepFailure::Value {
                        what: "--chmod",
                        value: text,
                        rule: "must be octal between 0 and 07777, or symbolic",
                    });
                }
            },
        };
        Ok(Request {
            sources: transfer
                .sources
                .iter()
                .map(expand)
                .collect::<Result<_, _>>()?,
            documents: transfer
                .documents
                .iter()
                .map(|document| self.document(document))
                .collect::<Result<_, _>>()?,
            destination: Destination {
                path: path.into(),
                directory,
            },
            chown: transfer
                .chown
                .as_ref()
                .map(expand)
                .transpose()?
                .filter(|chown| !chown.is_empty()),
            chmod,
            exclude: transfer
                .exclude
                .iter()
                .map(expand)
                .collect::<Result<_, _>>()?,
            link: transfer.link,
            parents,
        })
    }

    fn document(&self, document: &Heredoc) -> Result<(String, String), StepFailure> {
        let text = document.text();
        if !document.expand {
            return Ok((document.name.clone(), text));
        }
        let syntax = Syntax {
            escape: '\\',
            quotes: Quotes::Plain,
            keep_unset: false,
        };
        let expanded = expand_with(&text, syntax, &self.scope)?;
        Ok((document.name.clone(), expanded.text))
    }
}

impl Request {
    /// Returns the line of history, as the reference builder writes it.
    pub(super) fn history(&self, name: &str) -> String {
        let mut text = name.to_owned();
        let mut add = |part: String| {
            text.push(' ');
            text.push_str(&part);
        };
        if self.parents {
            add("--parents".to_owned());
        }
        if let Some(chown) = &self.chown {
            add(format!("--chown={chown}"));
        }
        if let Some((chmod, _)) = &self.chmod {
            add(format!("--chmod={chmod}"));
        }
        for source in &self.sources {
            add(source.clone());
        }
        for (document, _) in &self.documents {
            add(format!("<<{document}"));
        }
        let slash = if self.destination.directory && self.destination.path != Path::new("/") {
            "/"
        } else {
            ""
        };
        add(format!("{}{slash}", self.destination.path.display()));
        text
    }
}
