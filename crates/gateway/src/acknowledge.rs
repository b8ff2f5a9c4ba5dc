//! When a write is acknowledged, as people and queries write it: `acks=min`, `durability=synced`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use tidings::Durability;

use crate::size::whole;

/// How many holders must have a write, the peer that accepts it included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// This many.
    Of(NonZeroU32),
    /// As many copies as the definition wants at least.
    Min,
}

/// A text said neither a number of holders nor a durability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAcknowledgement {
    /// This is no number of holders; the text, shortened.
    #[error(
        "{0:?} is not a number of holders: write 1 or more, as the peer itself is the first, or min"
    )]
    Acks(String),
    /// This is no durability; the text, shortened.
    #[error("{0:?} is neither buffered nor synced")]
    Durability(String),
}

/// How much of a wrong text is told.
fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

impl FromStr for Acks {
    type Err = BadAcknowledgement;

    fn from_str(text: &str) -> Result<Self, BadAcknowledgement> {
        if text == "min" {
            return Ok(Self::Min);
        }
        let number = whole(text).and_then(|number| u32::try_from(number).ok());
        let number = number.and_then(NonZeroU32::new);
        number.map(Self::Of).ok_or_else(|| BadAcknowledgement::Acks(shown(text)))
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(number) => number.fmt(f),
            Self::Min => f.write_str("min"),
        }
    }
}

/// Reads a durability.
///
/// # Errors
/// [`BadAcknowledgement`] when it is none.
pub fn durability(text: &str) -> Result<Durability, BadAcknowledgement> {
    Durability::named(text).ok_or_else(|| BadAcknowledgement::Durability(shown(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in ["min", "1", "3", "4294967295"] {
            assert_eq!(text.parse::<Acks>().unwrap().to_string(), text);
        }
        for text in ["buffered", "synced"] {
            assert_eq!(durability(text).unwrap().name(), text);
        }
    }

    #[test]
    fn what_is_neither_is_named_with_the_way_out() {
        for text in ["", "0", "-1", "1.5", "MIN", "4294967296", "all"] {
            let error = text.parse::<Acks>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")) && error.contains("or min"), "{error}");
        }
        let error = durability("disk").unwrap_err().to_string();
        assert_eq!(error, "\"disk\" is neither buffered nor synced");
    }
}
