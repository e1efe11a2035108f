//! A project on the disk, and the command that is about it.

use std::fmt::Write as _;

/// A project on the disk, and how it is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    /// Files by path, besides [`FIXED`].
    pub files: Vec<(String, String)>,
    /// `-f`, in order.
    pub compose: Vec<String>,
    /// Variables of the caller besides `HOME`.
    pub environment: Vec<(&'static str, &'static str)>,
    /// `--env-file`
    pub env_files: Vec<&'static str>,
    /// `--profile`
    pub profiles: Vec<&'static str>,
    /// Services on the command line.
    pub services: Vec<&'static str>,
    /// A flag of `config` that leaves a pass out, or none.
    pub pass: &'static str,
    /// `--format`
    pub format: &'static str,
}

impl Case {
    /// Returns the Compose files as one text, for a report.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        for (name, file) in &self.files {
            writeln!(text, "---- {name}\n{file}").expect("a String takes all");
        }
        write!(
            text,
            "---- {:?} env {:?} {:?} profiles {:?} {} --format {} {:?}",
            self.compose,
            self.environment,
            self.env_files,
            self.profiles,
            self.pass,
            self.format,
            self.services
        )
        .expect("a String takes all");
        text
    }

    /// Returns the case without services on the command line.
    pub(crate) fn of_all_services(&self) -> Self {
        Self {
            services: Vec::new(),
            ..self.clone()
        }
    }

    /// Returns whether several documents become one.
    pub(crate) fn is_merged(&self) -> bool {
        self.compose.len() > 1
            || ["---\n", "extends:", "include:"]
                .iter()
                .any(|part| self.has(part))
    }

    /// Returns the attributes that come by the anchor of a file and that a service of the file resets beside `<<`.
    pub(crate) fn resets_anchored(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|(_, text)| {
            let (anchor, services) = match text.split_once("x-anchor: &base\n") {
                Some((_, rest)) => rest.split_once("services:\n").unwrap_or((rest, "")),
                None => ("", ""),
            };
            let anchored = anchor
                .lines()
                .filter_map(|line| line.trim_start().split_once(": "))
                .map(|(key, _)| key);
            anchored.filter(move |key| services.contains(&format!("\n    {key}: !reset")))
        })
    }

    /// Returns whether a file holds a text.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.files.iter().any(|(_, text)| text.contains(part))
    }
}

/// Files that every case can name.
pub(crate) const FIXED: &[(&str, &str)] = &[
    (
        "e.env",
        "A=from_e\nB=\"two words\"\n# comment\nexport D=d # tail\nE='$V'\nF=$V-${U:-u}\n",
    ),
    ("f.env", "A=from_f\nV\nG=${A}\nH=${E}-$B\n"),
    ("l.env", "a=file\nl=1\n"),
    ("o.env", "V=env_file\nO=${V}${N}\nX=\n"),
    ("sub/s.env", "A=from_sub\nS=${A:-none}\n"),
    ("sub/.env", "V=sub\nK=kept\n"),
    (
        "base.yaml",
        "services:\n  c:\n    image: base\n    environment: {FROM: base, A: base}\n    volumes: ['./rel:/rel']\n    \
         env_file: e.env\n    labels: {base: '1'}\n    ports: ['1:1']\n  b:\n    build: ./ctx\n    command: [base]\n",
    ),
];
