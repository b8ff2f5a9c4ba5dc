//! Errors as the door tells them: problem bodies after RFC 9457, with stable codes.
//!
//! The codes of the library are those of [`Error::code`]; the door's own are in [`Code`].

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tidings::Error;

/// The media type of a problem body.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The problems of the door itself, each with its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// What was asked for by name is absent.
    NotFound,
    /// There is nothing at the address.
    NoEndpoint,
    /// The address has other methods.
    MethodNotAllowed,
    /// A token is missing, or not one of this door.
    Unauthenticated,
    /// The token, or the place that the request comes from, does not permit it.
    Denied,
    /// The body is longer than the endpoint takes.
    BodyTooLarge,
    /// The address is longer than any that is served.
    UriTooLong,
    /// The body is of a type that the endpoint does not understand.
    UnsupportedMediaType,
    /// The request was not complete in time.
    RequestTimeout,
    /// Part of the interface, but not of this version.
    NotAvailable,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::NotFound,
        Self::NoEndpoint,
        Self::MethodNotAllowed,
        Self::Unauthenticated,
        Self::Denied,
        Self::BodyTooLarge,
        Self::UriTooLong,
        Self::UnsupportedMediaType,
        Self::RequestTimeout,
        Self::NotAvailable,
    ];

    /// The stable code.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// The status that it comes with.
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    const fn row(self) -> (&'static str, StatusCode) {
        match self {
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND),
            Self::NoEndpoint => ("no-endpoint", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Self::Denied => ("denied", StatusCode::FORBIDDEN),
            Self::BodyTooLarge => ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::UriTooLong => ("uri-too-long", StatusCode::URI_TOO_LONG),
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Self::RequestTimeout => ("request-timeout", StatusCode::REQUEST_TIMEOUT),
            Self::NotAvailable => ("not-available", StatusCode::NOT_IMPLEMENTED),
        }
    }
}

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
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self::with(code.status(), code.name(), detail.into())
    }

    fn with(status: StatusCode, code: &str, detail: String) -> Self {
        let mut title = code.replace('-', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: format!("urn:tidings:problem:{code}"),
            title,
            status: status.as_u16(),
            code: code.into(),
            detail,
        }
    }

    /// An argument of the request is wrong.
    pub fn bad_argument(detail: impl Into<String>) -> Self {
        Error::BadArgument(detail.into()).into()
    }

    /// What was asked for is absent: the one meaning of 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// The body is too large.
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(
            Code::BodyTooLarge,
            format!(
                "the body has more than {limit} bytes, which is all this endpoint takes; split it"
            ),
        )
    }

    /// Part of the interface, but not of this version.
    pub fn not_available(what: &str) -> Self {
        Self::new(Code::NotAvailable, format!("{what} is not available in this version"))
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
        Error::NotACounter { .. } => StatusCode::CONFLICT,
        Error::Lagged => StatusCode::GONE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::with(status_of(&error), error.code(), error.to_string())
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
    fn the_codes_of_the_door_are_no_codes_of_the_library() {
        let library = include_str!("../../core/src/error.rs");
        for (at, code) in Code::ALL.into_iter().enumerate() {
            assert!(!library.contains(&format!("\"{}\"", code.name())), "{code:?}");
            assert!(Code::ALL[..at].iter().all(|other| other.name() != code.name()), "{code:?}");
        }
    }

    #[test]
    fn no_error_of_the_library_is_a_404() {
        let unmatched = Error::NoMatch { path: "a".into(), nearest: Vec::new() };
        for error in [unmatched, Error::Lagged, Error::Closed("the peer".into()), Error::Cloned] {
            assert_ne!(Problem::from(error).status, 404);
        }
    }
}
