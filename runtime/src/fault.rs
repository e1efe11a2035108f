//! How the child of a launch reports what was refused: numbers only, because it cannot format text.
//!
//! The parent registers every subject before the clone and keeps the texts; the child's report names a subject by its number.
//!
//! ```text
//! report, 8 bytes:   step (1) | 0 (1) | subject (2) | errno (4)       native byte order; one write(2), so it is never torn
//! ready,  8 bytes:   255      | 0 ...                                 the next call is execve(2)
//! ```

use crate::error::{Errno, Error, Step};

/// Bytes of a report.
pub(crate) const REPORT_BYTES: usize = 8;

/// Stands in place of a step in the report that everything was done.
const READY: u8 = u8::MAX;

/// Number of a registered subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject(u16);

/// Texts of the subjects of a launch.
#[derive(Debug, Default)]
pub(crate) struct Subjects(Vec<String>);

impl Subjects {
    /// Registers a text.
    pub(crate) fn add(&mut self, text: impl Into<String>) -> Subject {
        self.0.push(text.into());
        // A launch has some hundred subjects; more than the number can hold share the last.
        Subject(u16::try_from(self.0.len() - 1).unwrap_or(u16::MAX))
    }

    /// Makes the error of a fault.
    pub(crate) fn error(&self, fault: Fault) -> Error {
        let text = self
            .0
            .get(usize::from(fault.subject.0))
            .cloned()
            .unwrap_or_default();
        Error::new(fault.step, text, fault.errno)
    }
}

/// A step that was refused, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) step: Step,
    pub(crate) subject: Subject,
    pub(crate) errno: Errno,
}

/// What the child said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Everything before execve(2) was done.
    Ready,
    /// A step was refused.
    Fault(Fault),
}

impl Report {
    /// Writes it for the pipe.
    pub(crate) fn to_bytes(self) -> [u8; REPORT_BYTES] {
        let mut bytes = [0; REPORT_BYTES];
        match self {
            Self::Ready => bytes[0] = READY,
            Self::Fault(fault) => {
                bytes[0] = fault.step as u8;
                bytes[2..4].copy_from_slice(&fault.subject.0.to_ne_bytes());
                bytes[4..].copy_from_slice(&fault.errno.0.to_ne_bytes());
            }
        }
        bytes
    }

    /// Reads it from the pipe; `None` for what no child of this build writes.
    pub(crate) fn from_bytes(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        let [step, _, low, high, errno @ ..] = bytes;
        if step == READY {
            return Some(Self::Ready);
        }
        Some(Self::Fault(Fault {
            step: *Step::ALL.get(usize::from(step))?,
            subject: Subject(u16::from_ne_bytes([low, high])),
            errno: Errno(i32::from_ne_bytes(errno)),
        }))
    }
}

/// Names step and subject of a refused system call.
pub(crate) trait At<T> {
    /// Makes it a fault.
    fn at(self, step: Step, subject: Subject) -> Result<T, Fault>;
}

impl<T, E: Into<Errno>> At<T> for Result<T, E> {
    fn at(self, step: Step, subject: Subject) -> Result<T, Fault> {
        self.map_err(|errno| Fault {
            step,
            subject,
            errno: errno.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_pipe() {
        for step in Step::ALL {
            let fault = Fault {
                step: *step,
                subject: Subject(513),
                errno: Errno(libc::EPERM),
            };
            let report = Report::Fault(fault);
            assert_eq!(Report::from_bytes(report.to_bytes()), Some(report));
        }
        assert_eq!(
            Report::from_bytes(Report::Ready.to_bytes()),
            Some(Report::Ready)
        );
        assert_eq!(Report::from_bytes([200, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn faults_become_errors_with_their_subject() {
        let mut subjects = Subjects::default();
        subjects.add("first");
        let subject = subjects.add("proc on /proc");
        let fault = Fault {
            step: Step::Mount,
            subject,
            errno: Errno(libc::EPERM),
        };
        assert_eq!(
            subjects.error(fault).to_string(),
            "mount proc on /proc: operation not permitted"
        );
    }
}
