//! The only printer. Data goes to standard output; progress, warnings, errors and questions go to standard error.
//!
//! A closed standard output (`stack ps | head -1`) is [`OutputError::Closed`]: commands stop quietly. A closed standard
//! error is nobody's loss: writing there never fails.

pub mod human;
pub mod logs;
pub mod progress;
pub mod report;
pub mod style;
pub mod table;
pub mod template;

use std::{
    cell::RefCell,
    io::{self, BufRead, Write},
};

use progress::{Progress, ProgressMode, ProgressOptions};
use style::{Palette, Signs};

/// Standard output cannot take more.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Its reader has gone: not an error of the command.
    #[error("standard output was closed")]
    Closed,
    /// The disk is full, or the like.
    #[error("write to standard output")]
    Io(#[source] io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Io(error)
        }
    }
}

/// How output looks. Decided once from flags, environment and terminals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UiOptions {
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Colours of standard output.
    pub out: Palette,
    /// Colours of standard error.
    pub err: Palette,
    /// Signs of progress rows.
    pub signs: Signs,
    /// Rows of the terminal.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
    /// Standard input and standard error are terminals: questions can be asked and answered.
    pub interactive: bool,
    /// Form of errors and warnings.
    pub messages: MessageFormat,
}

/// Form of errors and warnings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MessageFormat {
    /// With excerpts and hints.
    #[default]
    Human,
    /// One object a line; the fields are those of [`compose_spec::json`], for failures without a file also `log`.
    Json,
    /// One line each, `FILE:LINE:COLUMN: error[CODE]: …`, as editors read them.
    Short,
}

/// Prints.
pub struct Ui {
    options: UiOptions,
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
}

impl std::fmt::Debug for Ui {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ui")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Ui {
    /// Makes one that prints on the process's streams.
    pub fn new(options: UiOptions) -> Self {
        Self::with_streams(options, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Makes one that prints on other streams.
    pub fn with_streams(options: UiOptions, out: Box<dyn Write>, err: Box<dyn Write>) -> Self {
        Self {
            options,
            out: RefCell::new(out),
            err: RefCell::new(err),
        }
    }

    /// Returns how output looks.
    pub fn options(&self) -> &UiOptions {
        &self.options
    }

    /// Writes data to standard output, as it is.
    pub fn data(&self, data: impl AsRef<[u8]>) -> Result<(), OutputError> {
        let mut out = self.out.borrow_mut();
        out.write_all(data.as_ref())?;
        out.flush()?;
        Ok(())
    }

    /// Writes a line to standard error.
    pub fn say(&self, line: &str) {
        let mut err = self.err.borrow_mut();
        let text = format!("{line}\n");
        // Nobody reads it: then nobody misses it.
        let _closed = err.write_all(text.as_bytes()).and_then(|()| err.flush());
    }

    /// Writes what a container wrote to its standard error.
    pub fn foreign_error(&self, bytes: &[u8]) {
        let mut err = self.err.borrow_mut();
        // Nobody reads it: then nobody misses it.
        let _closed = err.write_all(bytes).and_then(|()| err.flush());
    }

    /// Writes `warning: …` to standard error.
    pub fn warn(&self, text: &str) {
        if self.options.messages == MessageFormat::Json {
            return self.say(&report::warning_object(text).to_string());
        }
        let label = self.options.err.paint(style::WARNING, "warning:");
        self.say(&format!("{label} {text}"));
    }

    /// Starts showing the progress of a call.
    pub fn progress(&self, options: ProgressOptions) -> Progress<'_> {
        Progress::new(self, options)
    }

    /// Asks a yes-or-no question; `default` is the answer to an empty line. Must not be called unless output is interactive.
    pub fn confirm(&self, question: &str, default: bool) -> io::Result<bool> {
        assert!(
            self.options.interactive,
            "questions are asked on a terminal only"
        );
        let choices = if default { "[Y/n]" } else { "[y/N]" };
        let mut err = self.err.borrow_mut();
        write!(err, "{question} {choices} ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(is_yes(&answer, default))
    }
}

/// Returns the items as lines.
pub fn lines<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    items.into_iter().fold(String::new(), |mut text, item| {
        text.push_str(item.as_ref());
        text.push('\n');
        text
    })
}

/// The end of input counts as no: nobody is there.
fn is_yes(answer: &str, default: bool) -> bool {
    match answer.trim().to_lowercase().as_str() {
        "" => default && answer.ends_with('\n'),
        answer => matches!(answer, "y" | "yes"),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A printer whose output a test can read.

    use std::{cell::RefCell, io, rc::Rc};

    use super::{Palette, ProgressMode, Signs, Ui, UiOptions};

    /// Options of a plain stream.
    pub(crate) const PLAIN: UiOptions = UiOptions {
        progress: ProgressMode::Plain,
        out: Palette::new(false),
        err: Palette::new(false),
        signs: Signs::ASCII,
        rows: 24,
        columns: 80,
        interactive: false,
        messages: super::MessageFormat::Human,
    };

    /// What was written so far.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Written(Rc<RefCell<Vec<u8>>>);

    impl Written {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Makes a printer and gives access to what it writes to standard output and standard error.
    pub(crate) fn captured(options: UiOptions) -> (Ui, Written, Written) {
        let (out, err) = (Written::default(), Written::default());
        let ui = Ui::with_streams(options, Box::new(out.clone()), Box::new(err.clone()));
        (ui, out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        for (answer, default, yes) in [
            ("y\n", false, true),
            ("YES\n", false, true),
            ("\n", false, false),
            ("\n", true, true),
            ("", true, false),
            ("no\n", true, false),
            ("yeah\n", false, false),
        ] {
            assert_eq!(is_yes(answer, default), yes, "{answer:?}");
        }
    }

    #[test]
    fn a_closed_output_is_told_from_a_broken_one() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let ui = Ui::with_streams(testing::PLAIN, Box::new(writer), Box::new(io::sink()));
        assert!(matches!(ui.data("x"), Err(OutputError::Closed)));
        let full = fs_err::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let ui = Ui::with_streams(testing::PLAIN, Box::new(full), Box::new(io::sink()));
        assert!(matches!(ui.data("x"), Err(OutputError::Io(_))));
    }
}
