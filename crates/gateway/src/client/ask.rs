//! One request, and the address that it is sent to.

use axum::body::Bytes;
use axum::http::{HeaderName, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use tidings::Durability;

use super::Write;
use crate::{duration, moment};

/// What stands for itself in a segment or a query. The dot does not: `.` and `..` are legal keys, and
/// anything between here and the peer might take them for directories.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// A request before it is sent.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: Bytes,
    pub(super) media_type: Option<&'static str>,
    pub(super) condition: Option<(HeaderName, String)>,
}

impl Ask {
    pub(super) fn new(method: Method, target: String) -> Self {
        Self { method, target, body: Bytes::new(), media_type: None, condition: None }
    }

    pub(super) fn get(target: String) -> Self {
        Self::new(Method::GET, target)
    }

    pub(super) fn on(mut self, write: &Write) -> Self {
        self.condition = write.condition();
        self
    }

    pub(super) fn with(mut self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.media_type = Some(media_type);
        self
    }
}

/// A request target under construction.
pub(super) struct Target(pub(super) String);

impl Target {
    pub(super) fn database(path: &str) -> Self {
        Self("/v1/databases".into()).segment(path.as_bytes())
    }

    pub(super) fn push(self, segment: &str) -> Self {
        self.segment(segment.as_bytes())
    }

    pub(super) fn segment(mut self, bytes: &[u8]) -> Self {
        self.0.push('/');
        self.0.extend(percent_encode(bytes, PLAIN));
        self
    }

    pub(super) fn query(mut self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        if let Some(value) = value {
            self.0.push(if self.0.contains('?') { '&' } else { '?' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.extend(percent_encode(value.as_ref(), PLAIN));
        }
        self
    }

    pub(super) fn write(self, write: &Write) -> Self {
        self.query("durability", write.durability.map(Durability::name))
            .query("acks", write.acks.map(|acks| acks.to_string()))
            .query("ttl", write.ttl.map(duration::format))
            .query("expires", write.expires.map(moment::format))
            .query("timeout", write.timeout.map(duration::format))
    }
}
