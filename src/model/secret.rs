//! Values that must not show.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value that prints as `***`, so that it gets into no log, error or snapshot by accident.
///
/// It is serialised as it is: it has to reach the process that uses it. Whoever writes it does so on purpose.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Wraps a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the value, for the one place that needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_serialised_but_not_printed() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "*** Some(\n    ***,\n)"
        );
        let text = serde_json::to_string(&secret).unwrap();
        assert_eq!(text, "\"hunter2\"");
        assert_eq!(
            serde_json::from_str::<Secret<String>>(&text).unwrap(),
            secret
        );
    }
}
