//! The messages of the capability in both forms.
//!
//! In JSON they are as the documentation of Tarmac has them, with data in standard base64. In protobuf
//! they are the messages of `kvstore.proto` in the package `tarmac.kvstore`, which has the same fields.

use axum::http::StatusCode;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;
use tidings::Error;

use super::proto::{self, Field};
use crate::json::Object;
use crate::problem::Problem;

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Json,
    Proto,
}

/// What came of a request: `tarmac.Status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) status: String,
}

impl Status {
    pub(super) fn ok() -> Self {
        Self { code: 200, status: "OK".into() }
    }

    /// A part of what there is.
    pub(super) fn partial(status: String) -> Self {
        Self { code: 206, status }
    }

    pub(super) fn bad(status: impl Into<String>) -> Self {
        Self { code: 400, status: status.into() }
    }

    /// The HTTP status that it comes with. What is partial here is whole for HTTP, where 206 is about ranges.
    pub(super) fn http(&self) -> StatusCode {
        match self.code {
            200 | 206 => StatusCode::OK,
            400 => StatusCode::BAD_REQUEST,
            404 => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn not_found(key: &str) -> Self {
        Self { code: 404, status: format!("Unable to fetch key {key}: it is not there") }
    }
}

impl From<Problem> for Status {
    /// Tarmac knows requests that are wrong, and everything else that fails.
    fn from(problem: Problem) -> Self {
        let code = if (400..500).contains(&problem.status) { 400 } else { 500 };
        Self { code, status: format!("{}: {}", problem.code, problem.detail) }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}

/// Any of the requests: which of its fields count depends on the verb.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) key: String,
    pub(super) data: Option<Vec<u8>>,
    pub(super) return_proto: bool,
}

impl Request {
    pub(super) fn key(self) -> Result<String, Status> {
        required_key(self.key)
    }
}

pub(super) fn required_key(key: String) -> Result<String, Status> {
    if key.is_empty() {
        Err(Status::bad("key cannot be nil: give it 1 byte or more"))
    } else {
        Ok(key)
    }
}

/// What is sent back beside the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Nothing,
    Data(Vec<u8>),
    Keys(Vec<String>),
}

#[derive(Deserialize)]
struct JsonRequest {
    #[serde(default)]
    key: String,
    data: Option<String>,
}

impl Codec {
    /// Reads a request. Fields that are not known are skipped, as both forms have it.
    pub(super) fn read(self, body: &[u8]) -> Result<Request, Status> {
        match self {
            Self::Json => {
                let Object(JsonRequest { key, data }) = serde_json::from_slice(body)
                    .map_err(|error| Status::bad(format!("Error Parsing Input: {error}")))?;
                let decode = |data: String| BASE64.decode(data.as_bytes());
                let data = data.map(decode).transpose().map_err(|error| {
                    let why = "it is not standard base64 with padding";
                    Status::bad(format!("Unable to decode data: {why}: {error}"))
                })?;
                Ok(Request { key, data, return_proto: false })
            }
            Self::Proto => read_proto(body).map_err(|why| {
                Status::bad(format!("Error Parsing Input: the protobuf message {why}"))
            }),
        }
    }

    pub(super) fn write(self, status: &Status, answer: &Answer) -> Vec<u8> {
        match self {
            Self::Json => {
                let status = json!({ "code": status.code, "status": status.status });
                let message = match answer {
                    Answer::Nothing => json!({ "status": status }),
                    Answer::Data(data) => json!({ "status": status, "data": BASE64.encode(data) }),
                    Answer::Keys(keys) => json!({ "keys": keys, "status": status }),
                };
                message.to_string().into_bytes()
            }
            Self::Proto => {
                let mut inner = Vec::new();
                proto::put_number(&mut inner, 1, status.code.into());
                proto::put_bytes(&mut inner, 2, status.status.as_bytes());
                let mut message = Vec::new();
                proto::put_bytes(&mut message, 1, &inner);
                match answer {
                    Answer::Nothing => {}
                    Answer::Data(data) if data.is_empty() => {}
                    Answer::Data(data) => proto::put_bytes(&mut message, 2, data),
                    Answer::Keys(keys) => {
                        for key in keys {
                            proto::put_bytes(&mut message, 2, key.as_bytes());
                        }
                    }
                }
                message
            }
        }
    }
}

/// The requests have no field number in common that means two things: 1 is the key as bytes, or
/// `return_proto` as a number; 2 is the data. Of a field that is there twice, the last counts.
fn read_proto(body: &[u8]) -> Result<Request, &'static str> {
    let mut request = Request::default();
    for field in proto::fields(body) {
        match field? {
            (1, Field::Bytes(key)) => {
                let key = std::str::from_utf8(key).map_err(|_| "has a key that is not UTF-8")?;
                key.clone_into(&mut request.key);
            }
            (1, Field::Number(number)) => request.return_proto = number != 0,
            (2, Field::Bytes(data)) => request.data = Some(data.to_vec()),
            (1 | 2, _) => return Err("has a field of another type than it should have"),
            _ => {}
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden bytes, as the reference implementation of protobuf writes these messages.
    #[test]
    fn messages_are_those_of_the_protocol_definition() {
        let read = |bytes: &[u8]| Codec::Proto.read(bytes).unwrap();
        let request =
            Request { key: "key".into(), data: Some(b"data".to_vec()), return_proto: false };
        assert_eq!(read(b"\x0a\x03key\x12\x04data"), request);
        assert_eq!(read(b"\x12\x04data\x0a\x03key"), request, "in any order");
        assert_eq!(read(b"\x0a\x03old\x0a\x03key\x12\x04data"), request, "the last counts");
        let unknown = b"\x18\x96\x01\x21........\x2d....\x32\x01x\x0a\x03key\x12\x04data";
        assert_eq!(read(unknown), request, "what is not known is skipped");
        assert_eq!(read(b"\x0a\x03key\x12\x00").data, Some(Vec::new()));
        assert_eq!(read(b"\x0a\x03key").data, None);
        assert!(read(b"\x08\x01").return_proto);
        assert_eq!(read(b""), Request::default());
        let write = |answer| Codec::Proto.write(&Status::ok(), &answer);
        let status = b"\x0a\x07\x08\xc8\x01\x12\x02OK";
        assert_eq!(write(Answer::Nothing), status);
        assert_eq!(write(Answer::Data(b"data".to_vec())), [status, &b"\x12\x04data"[..]].concat());
        assert_eq!(
            write(Answer::Keys(vec!["a".into(), "b".into()])),
            [status, &b"\x12\x01a\x12\x01b"[..]].concat()
        );
        let long = write(Answer::Data(vec![7; 300]));
        assert_eq!(long[status.len()..][..3], [0x12, 0xac, 0x02], "a length of two bytes");
    }

    #[test]
    fn json_is_as_it_is_documented() {
        let read = |text: &str| Codec::Json.read(text.as_bytes());
        let request =
            Request { key: "key".into(), data: Some(b"data".to_vec()), return_proto: false };
        assert_eq!(read(r#"{"key": "key", "data": "ZGF0YQ=="}"#).unwrap(), request);
        assert_eq!(read("{}").unwrap(), Request::default());
        for (text, why) in [
            ("", "Error Parsing Input"),
            ("[]x", "Error Parsing Input"),
            (r#"{"data": "?"}"#, "base64"),
        ] {
            let status = read(text).unwrap_err();
            assert_eq!(status.code, 400);
            assert!(status.status.contains(why), "{status:?}");
        }
        let write = |answer| String::from_utf8(Codec::Json.write(&Status::ok(), &answer)).unwrap();
        let status = r#"{"status":{"code":200,"status":"OK"}}"#;
        assert_eq!(write(Answer::Nothing), status);
        let data: serde_json::Value =
            serde_json::from_str(&write(Answer::Data(b"data".to_vec()))).unwrap();
        assert_eq!(data, json!({"status": {"code": 200, "status": "OK"}, "data": "ZGF0YQ=="}));
    }

    #[test]
    fn messages_that_are_wrong_are_told_why() {
        for (bytes, why) in [
            (&b"\x0a\x05key"[..], "ends in the middle"),
            (b"\x0a", "ends in the middle"),
            (b"\x12\x01\xff\x10\x01", "another type"),
            (b"\x0d....", "another type"),
            (b"\x0a\x01\xff", "not UTF-8"),
            (b"\x0b\x0c", "a wire type"),
            (b"\x02\x00", "the number 0"),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "more than 64 bits"),
            (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "ends in the middle"),
        ] {
            let status = Codec::Proto.read(bytes).unwrap_err();
            assert_eq!(status.code, 400);
            assert!(status.status.contains(why), "{why}: {status:?}");
        }
    }

    proptest::proptest! {
        /// Whatever bytes are sent, reading them ends, in a request or in a status of 400.
        #[test]
        fn hostile_bytes_are_a_request_or_a_mistake(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            for codec in [Codec::Json, Codec::Proto] {
                if let Err(status) = codec.read(&bytes) {
                    proptest::prop_assert_eq!(status.code, 400);
                }
            }
        }

        /// What is written as a message is read as it was.
        #[test]
        fn any_data_and_key_travel(key in ".{0,40}", data in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut message = Vec::new();
            proto::put_bytes(&mut message, 1, key.as_bytes());
            proto::put_bytes(&mut message, 2, &data);
            let request = Codec::Proto.read(&message).unwrap();
            proptest::prop_assert_eq!((request.key, request.data), (key, Some(data)));
        }
    }
}
