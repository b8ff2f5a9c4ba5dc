//! Why a command was not carried out: a code word and a sentence, in Redis' words where it has some.

use std::borrow::Cow;

use tidings_tokens::PREFIX;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(Cow<'static, str>);

/// How a command ended: its answer is in the output, or is this.
pub(crate) type Answer = Result<(), Refusal>;

/// The options of a command contradict each other or are none.
pub(crate) const SYNTAX: Refusal = Refusal::new("ERR syntax error");
/// An argument is no 64-bit number.
pub(crate) const NOT_AN_INTEGER: Refusal =
    Refusal::new("ERR value is not an integer or out of range");

impl Refusal {
    /// An answer that is always the same.
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// What goes over the wire.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// The errors of the library are sentences already, with the value, the bound and the way out. Of those
/// about counters, clients know what Redis says.
impl From<tidings::Error> for Refusal {
    fn from(error: tidings::Error) -> Self {
        match error {
            tidings::Error::NotACounter { why, .. } if why.contains("beyond the range") => {
                Self::new("ERR increment or decrement would overflow")
            }
            tidings::Error::NotACounter { .. } => NOT_AN_INTEGER,
            error => Self(Cow::Owned(format!("ERR {error}"))),
        }
    }
}

/// Bytes of a client in a sentence, shortened, and without a token that came in a wrong place: errors are
/// logged by many clients.
pub(crate) fn shown(bytes: &[u8]) -> String {
    /// As many as Redis shows.
    const SHOWN_MAX: usize = 128;
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_MAX)]).into_owned();
    if let Some(at) = text.find(PREFIX) {
        text.truncate(at + PREFIX.len());
        text.push('…');
    }
    text
}
