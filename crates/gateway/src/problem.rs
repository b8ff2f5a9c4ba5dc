//! Errors as the door tells them: problem bodies after RFC 9457, with stable codes.
//!
//! The codes of the library are those of [`Error::code`]. The door's own are `not-found`, `denied`,
//! `no-endpoint`, `method-not-allowed`, `body-too-large` and `not-available`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidings::Error;

/// The media type of a problem body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A problem body: what went wrong, for programs (`code`) and for people (`detail`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// `urn:tidings:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The stable code: that of [`Error::code`], or one of the door's own.
    pub code: String,
    /// A sentence with the value, the bound and what to do.
    pub detail: String,
}

impl Problem {
    /// A problem of the door itself.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let mut title = code.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: format!("urn:tidings:problem:{code}"),
            title,
            status: status.as_u16(),
            code: code.into(),
            detail: detail.into(),
        }
    }

    /// An argument of the request is wrong.
    pub fn bad_argument(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-argument", detail)
    }

    /// What was asked for is absent: the one meaning of 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// The body is too large.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!(
                "the body has more than {limit} bytes, which is all this endpoint takes; split it"
            ),
        )
    }

    /// Part of the interface, but not of this version.
    pub fn not_available(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-available",
            format!("{what} is not available in this version"),
        )
    }
}

/// The table from error to HTTP status, the only one.
fn status_of(error: &Error) -> StatusCode {
    match error {
        Error::KeyLength { .. } | Error::BadPath { .. } | Error::BadArgument(_) => {
            StatusCode::BAD_REQUEST
        }
        Error::ValueLength { .. } | Error::BatchTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::NoMatch { .. } | Error::BadDefinition { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unavailable { .. } | Error::ClockSkew { .. } | Error::Cloned | Error::Closed(_) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::OutcomeUnknown { .. } => StatusCode::BAD_GATEWAY,
        Error::UnderReplicated { .. } | Error::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        Error::NoSpace { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Error::ConditionFailed(_) => StatusCode::PRECONDITION_FAILED,
        Error::Lagged => StatusCode::GONE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::new(status_of(&error), error.code(), error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_the_code_and_the_sentence_of_the_error() {
        let error = Error::KeyLength { length: 0 };
        let problem = Problem::from(error.clone());
        assert_eq!((problem.status, problem.code.as_str()), (400, "key-length"));
        assert_eq!(problem.title, "Key length");
        assert_eq!(problem.detail, error.to_string());
        let text = serde_json::to_string(&problem).unwrap();
        assert!(text.starts_with(r#"{"type":"urn:tidings:problem:key-length""#), "{text}");
        assert_eq!(serde_json::from_str::<Problem>(&text).unwrap(), problem);
    }

    #[test]
    fn no_error_of_the_library_is_a_404() {
        let unmatched = Error::NoMatch { path: "a".into(), nearest: Vec::new() };
        for error in [unmatched, Error::Lagged, Error::Closed("the peer".into()), Error::Cloned] {
            assert_ne!(Problem::from(error).status, 404);
        }
    }
}
