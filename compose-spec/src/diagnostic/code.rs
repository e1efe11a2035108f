//! The table of diagnostic codes. A code, once released, keeps its meaning.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Stable number of a kind of finding.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the long form: what the code means, why it is one, an example of what is wrong and of what is
            /// right, in Markdown.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../explain/", $text, ".md")),)*
                }
            }

            /// Returns the code as printed, for example `S0201`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// A file that was asked for is missing.
    FileMissing = "S0001",
    /// A file cannot be read, or is not UTF-8.
    FileUnreadable = "S0002",
    /// No Compose file in the directory or its parents.
    NoComposeFile = "S0003",
    /// Several Compose files in one directory; the first was taken.
    SeveralComposeFiles = "S0004",
    /// The project's name breaks its grammar or is empty.
    ProjectName = "S0005",
    /// A service named on the command line does not exist.
    UnknownService = "S0006",

    /// The text is not YAML.
    YamlSyntax = "S0101",
    /// A key occurs twice in one mapping.
    DuplicateKey = "S0102",
    /// A key is not a string.
    KeyNotString = "S0103",
    /// An alias without an anchor, or inside of its own anchor.
    UnknownAlias = "S0104",
    /// `<<` with something that is not a mapping or a list of mappings.
    BadMergeKey = "S0105",
    /// Too many nodes, too deep, or too large.
    TooLarge = "S0106",
    /// The file has no content, or is not a mapping.
    NotAMapping = "S0107",
    /// A value contradicts its tag (`!!int x`).
    BadTag = "S0108",

    /// A `${…}` that is not well formed.
    BadInterpolation = "S0201",
    /// A variable that is required is not set.
    RequiredVariable = "S0202",
    /// A variable is not set and becomes the empty string.
    UnsetVariable = "S0203",
    /// A line of an environment file is not well formed.
    BadEnvFile = "S0204",

    /// A key that the section does not have.
    UnknownKey = "S0301",
    /// A value of the wrong form (a list where a text is wanted).
    WrongForm = "S0302",
    /// A value of the right form that its attribute does not allow.
    BadValue = "S0303",
    /// A key that must be there is missing.
    MissingKey = "S0304",
    /// A name with characters that it must not have.
    BadName = "S0305",
    /// A key that is accepted and has no effect.
    NoEffect = "S0306",
    /// A key or form that is deprecated.
    Deprecated = "S0307",
    /// An item occurs twice where items must differ.
    DuplicateItem = "S0308",
    /// A port, range of ports or protocol that does not exist.
    BadPort = "S0309",
    /// A mount whose source, target or options cannot work.
    BadMount = "S0310",
    /// An address or subnet that is none, or lies outside of the subnet that it belongs to.
    BadAddress = "S0311",
    /// A number, size or length of time that is malformed or out of its bounds.
    BadQuantity = "S0312",

    /// Two files give values that cannot be merged.
    CannotMerge = "S0401",
    /// `extends` names a service or file that does not exist.
    BadExtends = "S0402",
    /// `extends` runs in a circle.
    ExtendsCycle = "S0403",
    /// `include` cannot be followed.
    BadInclude = "S0404",
    /// `include` runs in a circle.
    IncludeCycle = "S0405",

    /// A service that does not exist, or is not in an active profile.
    UndefinedService = "S0501",
    /// A network that is not defined.
    UndefinedNetwork = "S0502",
    /// A volume that is not defined.
    UndefinedVolume = "S0503",
    /// A secret or config that is not defined.
    UndefinedFile = "S0504",
    /// Services depend on each other in a circle.
    DependencyCycle = "S0505",
    /// A service has neither `image` nor `build`.
    NoImage = "S0506",
    /// Two attributes exclude each other.
    Conflict = "S0507",
    /// Two mounts have one target.
    DuplicateMount = "S0508",
    /// Two objects would have one name on the host.
    DuplicateName = "S0509",
    /// A known feature that this version refuses to run.
    Unsupported = "S0510",
    /// Two services publish one port of the host.
    PortTaken = "S0511",
    /// Several replicas of something that can exist only once.
    OneReplicaOnly = "S0512",
    /// A service waits for something that never happens.
    NeverReady = "S0513",
    /// A model that is not defined.
    UndefinedModel = "S0514",
}

impl Code {
    /// Returns the first line of the explanation without the code: a few words.
    pub fn title(self) -> &'static str {
        let page = self.explanation();
        let first = page.lines().next().unwrap_or_default();
        first.split_once(": ").map_or(first, |(_, title)| title)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_ascending() {
        for pair in Code::ALL.windows(2) {
            assert!(
                pair[0].as_str() < pair[1].as_str(),
                "{} {}",
                pair[0],
                pair[1]
            );
        }
    }
}
