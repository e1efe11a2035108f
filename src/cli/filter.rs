//! `--filter` of volumes and networks, with Docker's words.

use indexmap::IndexMap;

use crate::model::{ObservedNetwork, ObservedVolume};

/// What filters look at.
pub(super) trait Filtered {
    fn name(&self) -> &str;
    fn driver(&self) -> &str;
    fn labels(&self) -> IndexMap<String, String>;
    /// Whether a container has it.
    fn is_used(&self) -> bool;

    /// Its labels in a cell of a table.
    fn labels_text(&self) -> String {
        let labels = self.labels();
        let texts: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        texts.join(",")
    }
}

impl Filtered for ObservedVolume {
    fn name(&self) -> &str {
        &self.record.name
    }

    fn driver(&self) -> &'static str {
        "local"
    }

    fn labels(&self) -> IndexMap<String, String> {
        self.record.all_labels()
    }

    fn is_used(&self) -> bool {
        !self.users.is_empty()
    }
}

impl Filtered for ObservedNetwork {
    fn name(&self) -> &str {
        &self.record.name
    }

    fn driver(&self) -> &'static str {
        "bridge"
    }

    fn labels(&self) -> IndexMap<String, String> {
        self.record.all_labels()
    }

    fn is_used(&self) -> bool {
        !self.users.is_empty()
    }
}

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// Whether no container has it.
    Dangling(bool),
    /// Its driver.
    Driver(String),
    /// It has a label, with this value where one is given.
    Label(String, Option<String>),
    /// It does not have it.
    NoLabel(String, Option<String>),
    /// This is part of its name.
    Name(String),
}

impl Filter {
    /// Reads a filter of `volume ls` and `network ls`.
    pub(super) fn of_list(text: &str) -> Result<Self, String> {
        let known = "it can be dangling=true|false, driver=NAME, label=KEY[=VALUE] or name=TEXT";
        let (name, value) = text.split_once('=').ok_or(known)?;
        match (name, value) {
            ("dangling", "true" | "1") => Ok(Self::Dangling(true)),
            ("dangling", "false" | "0") => Ok(Self::Dangling(false)),
            ("driver", driver) => Ok(Self::Driver(driver.to_owned())),
            ("name", part) => Ok(Self::Name(part.to_owned())),
            ("label", _) => Self::label(value).ok_or_else(|| known.to_owned()),
            _ => Err(known.to_owned()),
        }
    }

    /// Reads a filter of `volume prune` and `network prune`.
    pub(super) fn of_prune(text: &str) -> Result<Self, String> {
        let known = "it can be label=KEY[=VALUE] or label!=KEY[=VALUE]";
        if let Some(label) = text.strip_prefix("label!=") {
            return match Self::label(label).ok_or(known)? {
                Self::Label(key, value) => Ok(Self::NoLabel(key, value)),
                other => Ok(other),
            };
        }
        let label = text.strip_prefix("label=").and_then(Self::label);
        label.ok_or_else(|| known.to_owned())
    }

    fn label(text: &str) -> Option<Self> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        (!key.is_empty()).then(|| Self::Label(key.to_owned(), value))
    }

    fn takes(&self, item: &impl Filtered) -> bool {
        let has = |key: &str, value: &Option<String>| {
            let labels = item.labels();
            let found = labels.get(key);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        match self {
            Self::Dangling(dangling) => item.is_used() != *dangling,
            Self::Driver(name) => name == item.driver(),
            Self::Label(key, value) => has(key, value),
            Self::NoLabel(key, value) => !has(key, value),
            Self::Name(part) => item.name().contains(part.as_str()),
        }
    }
}

/// Keeps what the filters take. As in Docker, one of several names or drivers is enough, labels count all.
pub(super) fn keep<T: Filtered>(items: &mut Vec<T>, filters: &[Filter]) {
    let any = |item: &T, of_kind: fn(&Filter) -> bool| {
        let mut group = filters.iter().filter(|filter| of_kind(filter)).peekable();
        group.peek().is_none() || group.any(|filter| filter.takes(item))
    };
    items.retain(|item| {
        any(item, |filter| matches!(filter, Filter::Name(_)))
            && any(item, |filter| matches!(filter, Filter::Driver(_)))
            && filters
                .iter()
                .filter(|filter| !matches!(filter, Filter::Name(_) | Filter::Driver(_)))
                .all(|filter| filter.takes(item))
    });
}
