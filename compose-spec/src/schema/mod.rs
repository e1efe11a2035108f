//! The Compose file format as one declarative table.
//!
//! Each section lists its keys in the order of the canonical output; each key says which forms it takes. Everything that
//! depends on the format is driven by this table: checking and short forms ([`crate::canonical`]), merging
//! ([`crate::merge`]), completeness, what may be left out of the output, and "did you mean". To add an attribute, add a
//! line here.

mod attachments;
mod build;
mod container;
mod deploy;
mod resources;
mod service;
mod shared;

use crate::{canonical::Reader, yaml::Node};

pub(crate) use attachments::{CONSISTENCY, SELINUX};
pub(crate) use container::INIT_HOOK;
pub(crate) use resources::TOP;
pub(crate) use service::SERVICE;

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Section {
    /// What it is called in messages: "a service".
    pub(crate) title: &'static str,
    /// Its keys, in the order of the canonical output.
    pub(crate) fields: &'static [Field],
    /// Whether `x-*` keys are allowed.
    pub(crate) extensions: bool,
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// The key.
    pub(crate) name: &'static str,
    /// The forms of its value.
    pub(crate) kind: Kind,
    /// What the canonical output does with an empty value.
    pub(crate) empty: Empty,
    /// Whether it must be there once everything is merged.
    pub(crate) required: bool,
    /// What the value does.
    pub(crate) effect: Effect,
}

/// What the canonical output does with `false`, `0`, an empty text, list or mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// It is left out: it equals the default.
    Drop,
    /// It is written when the user wrote it: it differs from leaving it out.
    Keep,
    /// Null is written when there is no value.
    Null,
    /// An empty section is written when there is no value.
    Section,
    /// It is written only when it is false, since true is the default.
    DropTrue,
}

/// What a key does in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// What the specification says.
    Full,
    /// Nothing; the reason is told in one warning.
    Nothing(&'static str),
    /// Nothing, which is right for one word; else the reason is told.
    Only(&'static str, &'static str),
}

/// The forms of a value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Anything (`x-*`).
    Any,
    /// A text; a number is refused, as the specification says.
    Text,
    /// A text or a number, kept as text.
    TextOrNumber,
    /// A text or a boolean, kept as text.
    TextOrFlag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A text that a rule judges.
    Checked(&'static Rule),
    /// A boolean, or a text that is one.
    Flag,
    /// A boolean and nothing else.
    StrictFlag,
    /// An integer within bounds, or a text that is one.
    Int(i64, i64),
    /// A number, or a text that is one, truncated to an integer.
    Number,
    /// A number with a fraction, or a text that is one.
    Float,
    /// A size in bytes with an optional unit.
    Size,
    /// A length of time (`1m30s`).
    Duration,
    /// A size in bytes, in quotes even without a unit.
    SizeText,
    /// Permission bits in octal.
    Mode,
    /// Permission bits in octal, printed as a number.
    ModeNumber,
    /// Null, a line split as a shell would, or a list of words.
    Command,
    /// A path, made absolute.
    Path,
    /// A path, made absolute, whose spelling tells it apart until all documents are one: `./a` is not `a`.
    SpelledPath,
    /// A build context: a path, or a URL as it is.
    Context,
    /// A list.
    List(&'static List),
    /// A mapping of texts, or a list of `key=value`.
    Pairs(Pairs),
    /// The value of one key of [`Kind::Pairs`]: a text or nothing.
    Pair,
    /// A mapping from any key to texts or numbers.
    Options,
    /// A scalar of any type, or a list of such; the canonical output has always a list.
    Values,
    /// A mapping from names to values of one kind.
    Map(&'static Map),
    /// A mapping with known keys.
    Section(&'static Section),
    /// A mapping with known keys, or nothing.
    OptionalSection(&'static Section),
    /// A scalar of one kind, or a section.
    Either(&'static Kind, &'static Section),
    /// Short forms that a function turns into the long one.
    Short(&'static Short),
    /// A list whose items have short forms.
    Items(&'static Items),
}

/// What a text must look like.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Judges a text.
    pub(crate) holds: fn(&str) -> bool,
    /// Completes the sentence "`VALUE` is not …".
    pub(crate) wanted: &'static str,
    /// Words that are valid, for "did you mean".
    pub(crate) words: &'static [&'static str],
}

/// A list of values of one kind.
#[derive(Debug)]
pub(crate) struct List {
    /// The kind of an item.
    pub(crate) item: Kind,
    /// Whether a single value may stand for a list of one.
    pub(crate) single: bool,
    /// What to do with an item that occurs twice.
    pub(crate) twice: Twice,
    /// Whether another file replaces the list instead of adding to it.
    pub(crate) replace: bool,
}

/// What to do with an item that occurs twice in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    /// It means something (arguments).
    Keep,
    /// The second is dropped.
    Drop,
    /// It is an error.
    Refuse,
}

/// What a key without a value means in a mapping of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairs {
    /// The value comes from the project's environment; if it has none, the key stays without a value.
    Environment,
    /// The value is empty.
    Labels,
    /// The values are build contexts.
    Contexts,
    /// The values are paths of keys or sockets; only `default` may lack one.
    Ssh,
}

/// A mapping from names to values of one kind.
#[derive(Debug)]
pub(crate) struct Map {
    /// What a key names: "service".
    pub(crate) what: &'static str,
    /// The kind of a value.
    pub(crate) value: Kind,
    /// Whether a name must consist of letters, digits, `.`, `-` and `_`.
    pub(crate) strict_names: bool,
    /// Whether another file replaces a value instead of merging into it.
    pub(crate) replace: bool,
}

/// Short forms of one value.
#[derive(Debug)]
pub(crate) struct Short {
    /// What the value may be, in words.
    pub(crate) expects: &'static str,
    /// Turns a short form into the long one; `None` when it was reported as wrong.
    pub(crate) expand: fn(&mut Reader<'_>, Node) -> Option<Node>,
    /// The long form.
    pub(crate) long: Kind,
}

/// A list whose items have short forms.
#[derive(Debug)]
pub(crate) struct Items {
    /// Whether a single item may stand for a list of one.
    pub(crate) single: bool,
    /// Turns a scalar into long items; empty when it was reported as wrong.
    pub(crate) expand: fn(&mut Reader<'_>, &Node) -> Vec<Node>,
    /// The long form.
    pub(crate) long: &'static Section,
    /// Completes and checks an item of the long form; `false` when it was reported as wrong.
    pub(crate) finish: fn(&mut Reader<'_>, &mut Node) -> bool,
    /// Tells items apart: of two with one key the later wins, in the place of the earlier.
    pub(crate) key: fn(&Node) -> String,
    /// Whether equal keys within one list of one file are different items (ports may be listed twice).
    pub(crate) keep_twice: bool,
}

/// Joins the keys of several tables; `N` is how many there are.
const fn concat<const N: usize>(parts: &[&[Field]]) -> [Field; N] {
    let mut all = [Field::new("", Kind::Any); N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    assert!(at == N, "every key has its place");
    all
}

impl Section {
    /// Returns the field of a key.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Field {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            empty: Empty::Drop,
            required: false,
            effect: Effect::Full,
        }
    }

    /// Written also when empty.
    const fn keep(mut self) -> Self {
        self.empty = Empty::Keep;
        self
    }

    const fn empty(mut self, empty: Empty) -> Self {
        self.empty = empty;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Only one word is obeyed.
    const fn only(mut self, word: &'static str, reason: &'static str) -> Self {
        self.effect = Effect::Only(word, reason);
        self
    }

    /// Accepted, and told to have no effect.
    const fn no_effect(mut self, reason: &'static str) -> Self {
        self.effect = Effect::Nothing(reason);
        self
    }
}

impl Kind {
    /// Returns what the value may be, in words.
    pub(crate) fn expects(&self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Pair => "a text or nothing",
            Self::Values => "a scalar or a list of scalars",
            Self::Text
            | Self::OneOf(_)
            | Self::Checked(_)
            | Self::Path
            | Self::SpelledPath
            | Self::Context => "a text",
            Self::TextOrNumber => "a text or a number",
            Self::TextOrFlag => "a text, true or false",
            Self::Flag | Self::StrictFlag => "true or false",
            Self::Int(..) => "an integer",
            Self::Number | Self::Float => "a number",
            Self::Size | Self::SizeText => "a size such as 512m",
            Self::Duration => "a duration such as 1m30s",
            Self::Mode | Self::ModeNumber => "an octal mode such as 0440",
            Self::Command => "a text or a list of texts",
            Self::List(List { single: true, .. }) => "a text or a list of texts",
            Self::List(_) => "a list",
            Self::Pairs(_) => "a mapping or a list of key=value",
            Self::Options | Self::Map(_) | Self::Section(_) => "a mapping",
            Self::OptionalSection(_) => "a mapping or nothing",
            Self::Either(scalar, _) => match scalar {
                Self::Flag => "true, false or a mapping",
                _ => "an integer or a mapping",
            },
            Self::Short(short) => short.expects,
            Self::Items(Items { single: true, .. }) => "a text or a list",
            Self::Items(_) => "a list",
        }
    }

    /// Returns whether null is a value of its own.
    pub(crate) fn takes_null(&self) -> bool {
        matches!(
            self,
            Self::Any | Self::Command | Self::Pair | Self::OptionalSection(_)
        )
    }
}
