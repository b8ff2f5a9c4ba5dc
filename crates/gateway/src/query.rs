//! Query strings, decoded to bytes and checked against the parameters an endpoint knows.
//!
//! A parameter that is unknown, repeated or malformed is an error that names it: a misspelt `durabilty`
//! must not quietly weaken a write.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use percent_encoding::percent_decode;

use crate::problem::Problem;
use crate::{duration, moment};

/// The parameters of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, Vec<u8>)>,
}

impl Query {
    /// Decodes the query of a URI; only `known` parameters are allowed, each at most once.
    pub(crate) fn parse(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for part in uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = String::from_utf8_lossy(&decode(name)).into_owned();
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(Problem::bad_argument(format!(
                    "unknown query parameter {name:?}; this endpoint knows: {known}"
                )));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::bad_argument(format!(
                    "the query parameter {name:?} is given twice; keep one"
                )));
            }
            pairs.push((name, decode(value)));
        }
        Ok(Self { pairs })
    }

    /// The bytes of a parameter.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_slice())
    }

    /// A parameter as text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        let Some(bytes) = self.bytes(name) else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => {
                Err(Problem::bad_argument(format!("the query parameter {name:?} is not UTF-8")))
            }
        }
    }

    /// A parameter as a whole number, below zero only for a type that goes there.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(Problem::bad_argument(format!(
                "{name}={text:?} is not a whole number in range"
            ))),
        }
    }

    /// A parameter as yes or no; absent: `default`.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.text(name)? {
            None => Ok(default),
            Some("true" | "1" | "") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => {
                Err(Problem::bad_argument(format!("{name}={other:?} is neither true nor false")))
            }
        }
    }

    /// A parameter as a duration.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match duration::parse(text) {
            Ok(duration) => Ok(Some(duration)),
            Err(error) => Err(Problem::bad_argument(format!("{name}: {error}"))),
        }
    }

    /// A parameter as a moment.
    pub(crate) fn moment(&self, name: &str) -> Result<Option<SystemTime>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match moment::parse(text) {
            Ok(moment) => Ok(Some(moment)),
            Err(error) => Err(Problem::bad_argument(format!("{name}: {error}"))),
        }
    }
}

/// The query as it was read against the table of endpoints, before the handler was asked.
impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove().unwrap_or_default())
    }
}

/// Decodes `%41` to `A` and `+` to a space, as every form encoder writes them.
fn decode(text: &str) -> Vec<u8> {
    let spaced: Vec<u8> = text.bytes().map(|byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&spaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Result<Query, Problem> {
        let uri = format!("/x?{text}").parse().unwrap();
        Query::parse(&uri, &["prefix", "limit", "reverse", "timeout", "expires"])
    }

    #[test]
    fn parameters_are_bytes() {
        let query = query("prefix=%ff+a%2B&limit=7&reverse&timeout=2s").unwrap();
        assert_eq!(query.bytes("prefix"), Some(&b"\xff a+"[..]));
        assert_eq!(query.number::<usize>("limit").unwrap(), Some(7));
        assert_eq!(query.number::<i64>("limit").unwrap(), Some(7));
        assert!(query.flag("reverse", false).unwrap());
        assert_eq!(query.duration("timeout").unwrap(), Some(Duration::from_secs(2)));
        assert!(query.text("prefix").unwrap_err().detail.contains("not UTF-8"));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        assert!(query("durabilty=synced").unwrap_err().detail.contains("\"durabilty\""));
        assert!(query("limit=1&limit=2").unwrap_err().detail.contains("twice"));
        for wrong in ["-1", "%2B1", "1.0", "", "99999999999999999999"] {
            let query = query(&format!("limit={wrong}")).unwrap();
            assert!(query.number::<usize>("limit").is_err(), "{wrong}");
        }
        for wrong in ["--1", "%2B1", "1.0", "", "-", "9223372036854775808"] {
            let query = query(&format!("limit={wrong}")).unwrap();
            assert!(query.number::<i64>("limit").is_err(), "{wrong}");
        }
        assert!(query("reverse=maybe").unwrap().flag("reverse", false).is_err());
        assert!(query("timeout=5").unwrap().duration("timeout").is_err());
        let error = query("expires=7d").unwrap().moment("expires").unwrap_err().detail;
        assert!(error.starts_with("expires: \"7d\" is not a moment"), "{error}");
    }
}
