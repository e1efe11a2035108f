//! The variables that a project sees: those of the caller, then those of its environment files.

mod dotenv;
mod file;

use std::collections::BTreeMap;

pub(crate) use dotenv::{Assignment, Scope};
#[cfg(any(test, fuzzing))]
pub(crate) use dotenv::{parse, parse_raw};
pub(crate) use file::{EnvFile, Format, read};

/// Variables by name. The caller's win over those of files.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    values: BTreeMap<String, String>,
}

/// Only names: values may be secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values.keys()).finish()
    }
}

impl Environment {
    /// Starts with the variables of the caller.
    pub(crate) fn new(values: &BTreeMap<String, String>) -> Self {
        Self {
            values: values.clone(),
        }
    }

    /// Returns all variables by name.
    pub(crate) fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// Returns a variable; an empty one is set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Returns a variable that is set and not empty.
    pub(crate) fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Sets a variable in any case.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// Adds the variables of files below those that are there; of two with one name the later counts.
    pub(crate) fn add_below(&mut self, assignments: Vec<Assignment>) {
        for Assignment { name, value } in assignments.into_iter().rev() {
            if let Some(value) = value {
                self.values.entry(name).or_insert(value);
            }
        }
    }

    /// Returns whether a variable is set to a true word.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| {
            matches!(
                value.to_ascii_lowercase().as_str(),
                "1" | "t" | "true" | "y" | "yes" | "on"
            )
        })
    }
}
