//! What a URL names: a database path, a key, a definition, each percent-encoded whole in one segment.
//!
//! The router's own captures are UTF-8 only, and keys are any bytes, so segments are decoded here.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// The `{path}` of `/v1/databases/{path}…`, or the `{name}` of `/v1/definitions/{name}`.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

/// The `{key}` of `/v1/databases/{path}/keys/{key}`: any bytes.
#[derive(Debug)]
pub(crate) struct KeyBytes(pub(crate) Vec<u8>);

/// Where the segments stand in `/v1/databases/{path}/keys/{key}` after splitting at `/`.
const NAME_SEGMENT: usize = 3;
const KEY_SEGMENT: usize = 5;

fn segment(path: &str, index: usize) -> Vec<u8> {
    percent_decode_str(path.split('/').nth(index).unwrap_or_default()).collect()
}

/// The `{path}` or `{name}` of an address; `None` when it is not UTF-8.
pub(crate) fn name(address: &str) -> Option<String> {
    String::from_utf8(segment(address, NAME_SEGMENT)).ok()
}

impl<S: Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match name(parts.uri.path()) {
            Some(name) => Ok(Self(name)),
            None => Err(Problem::from(tidings::Error::BadPath {
                path: segment_lossy(parts.uri.path()),
                why: "names and paths are UTF-8".into(),
            })),
        }
    }
}

fn segment_lossy(path: &str) -> String {
    String::from_utf8_lossy(&segment(path, NAME_SEGMENT)).chars().take(80).collect()
}

impl<S: Sync> FromRequestParts<S> for KeyBytes {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(segment(parts.uri.path(), KEY_SEGMENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_whole() {
        let path = "/v1/databases/profile%2Fhistory/keys/%00%2F%ff+";
        assert_eq!(segment(path, NAME_SEGMENT), b"profile/history");
        assert_eq!(segment(path, KEY_SEGMENT), b"\x00/\xff+");
        assert_eq!(segment("/v1/databases/a/keys/", KEY_SEGMENT), b"");
    }
}
