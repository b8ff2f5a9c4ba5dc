//! How the program ends: one sentence on standard error and a documented exit code.

use std::io;
use std::process::ExitCode;

use tidings_gateway::{ClientError, Problem};
use tidings_tokens::FileError;
use tidings_tokens::listen::BindError;

/// Shown below `--help`.
pub(crate) const HELP: &str = "Exit codes:
   0  done
   1  not found
   2  usage: something handed in is wrong, such as a flag, a key, a file or a definition
   3  unreachable: no peer answers, or no holder of the database does
   4  denied: a credential is missing, wrong, not kept private, or may not do this
   5  timed out, under-replicated, or fell behind: it may still happen
   6  refused: well formed, and not possible as things are, such as no matching definition,
      no space, a value that cannot be counted, a port in use or a data directory in use
   7  failed: a simulated run broke an invariant or missed an expectation, a comparison
      is past its threshold, or a check of `doctor` failed
   8  unreached: a swarm never met a fault or a rare branch that it must meet
  70  internal: a defect of tidings, or its storage failed
 130  interrupted";

/// The exit codes, by their meaning in [`HELP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    Done = 0,
    NotFound = 1,
    Usage = 2,
    Unreachable = 3,
    Denied = 4,
    TimedOut = 5,
    Refused = 6,
    Failed = 7,
    Unreached = 8,
    Internal = 70,
    Interrupted = 130,
}

impl Code {
    /// The exit code of a problem's stable code, the same for an answer of a peer and for an error of
    /// a peer that this process runs.
    pub(crate) fn of(code: &str) -> Self {
        match code {
            "not-found" => Self::NotFound,
            "bad-argument"
            | "key-length"
            | "value-length"
            | "batch-too-large"
            | "body-too-large"
            | "uri-too-long"
            | "unsupported-media-type"
            | "bad-path"
            | "bad-definition" => Self::Usage,
            "unavailable" | "closed" => Self::Unreachable,
            "denied" | "unauthenticated" => Self::Denied,
            "timed-out" | "request-timeout" | "under-replicated" | "outcome-unknown" | "lagged" => {
                Self::TimedOut
            }
            "no-match" | "no-space" | "condition-failed" | "not-a-counter" | "clock-skew"
            | "cloned" | "not-available" | "start" => Self::Refused,
            _ => Self::Internal,
        }
    }
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Code::Refused, message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    pub(crate) fn interrupted(why: &str) -> Self {
        Self::new(Code::Interrupted, format!("stopped by {why}"))
    }

    /// A file that cannot be used: a mistake of the user's until shown otherwise.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::usage(format!("the {what} {} cannot be used: {error}", path.display()))
    }

    /// The same failure with more to say.
    pub(crate) fn context(self, extend: impl FnOnce(&str) -> String) -> Self {
        Self { message: extend(&self.message), ..self }
    }

    /// What it says.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says why, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("tidings: {}", self.message);
        }
        ExitCode::from(self.code as u8)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::BadUrl { .. } | ClientError::BadToken => Code::Usage,
            ClientError::Unreachable { .. } | ClientError::Broken { .. } => Code::Unreachable,
            ClientError::Problem(Problem { code, .. }) => Code::of(code),
        };
        Self::new(code, error.to_string())
    }
}

impl From<tidings::Error> for Failure {
    fn from(error: tidings::Error) -> Self {
        Self::new(Code::of(error.code()), error.to_string())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        let code = match &error {
            FileError::Private { .. } => Code::Denied,
            _ => Code::Usage,
        };
        Self::new(code, error.to_string())
    }
}

impl From<BindError> for Failure {
    fn from(error: BindError) -> Self {
        let code = match &error {
            BindError::BadAddress { .. } => Code::Usage,
            _ => Code::Refused,
        };
        Self::new(code, error.to_string())
    }
}

/// Standard output that is gone is how a reader says that it has enough: the end, and no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Code::Done, "");
        }
        Self::refused(format!("the output cannot be written: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_codes_that_the_help_names() {
        let code = |error: tidings::Error| Failure::from(error).code;
        assert_eq!(code(tidings::Error::KeyLength { length: 0 }), Code::Usage);
        assert_eq!(code(tidings::Error::UnderReplicated { have: 1, want: 2 }), Code::TimedOut);
        assert_eq!(code(tidings::Error::Storage("x".into())), Code::Internal);
        let pipe = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.code, pipe.message()), (Code::Done, ""));
    }
}
