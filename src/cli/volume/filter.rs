//! `--filter` of volumes, with Docker's words.

use crate::model::ObservedVolume;

/// One `--filter`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Filter {
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
    /// Reads a filter of `volume ls`.
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

    /// Reads a filter of `volume prune`.
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

    fn takes(&self, volume: &ObservedVolume) -> bool {
        let has = |key: &str, value: &Option<String>| {
            let labels = volume.record.all_labels();
            let found = labels.get(key);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        match self {
            Self::Dangling(dangling) => volume.users.is_empty() == *dangling,
            Self::Driver(name) => name == "local",
            Self::Label(key, value) => has(key, value),
            Self::NoLabel(key, value) => !has(key, value),
            Self::Name(part) => volume.record.name.contains(part.as_str()),
        }
    }
}

/// Keeps what the filters take. As in Docker, one of several names or drivers is enough, labels count all.
pub(super) fn keep(volumes: &mut Vec<ObservedVolume>, filters: &[Filter]) {
    let any = |volume: &ObservedVolume, of_kind: fn(&Filter) -> bool| {
        let mut group = filters.iter().filter(|filter| of_kind(filter)).peekable();
        group.peek().is_none() || group.any(|filter| filter.takes(volume))
    };
    volumes.retain(|volume| {
        any(volume, |filter| matches!(filter, Filter::Name(_)))
            && any(volume, |filter| matches!(filter, Filter::Driver(_)))
            && filters
                .iter()
                .filter(|filter| !matches!(filter, Filter::Name(_) | Filter::Driver(_)))
                .all(|filter| filter.takes(volume))
    });
}
