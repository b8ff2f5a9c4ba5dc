//! Who may speak to a door that asks for no token: programs on this machine, and no web page.
//!
//! A browser on this machine can be made to send requests here. Rebinding a name to 127.0.0.1 gives
//! itself away in `Host`, and a page of another origin in `Origin`; both are refused before anything
//! else looks at the request.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Lets a request pass whose `Host` is this machine and whose `Origin`, if any, is this door.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    match refuse(request.headers()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refuse(headers: &HeaderMap) -> Option<Problem> {
    let denied = |detail: String| Some(Problem::new(StatusCode::FORBIDDEN, "denied", detail));
    let host = headers.get(header::HOST).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let Some(host) = host else {
        return Some(Problem::bad_argument("the request has no Host header"));
    };
    if !names_this_machine(&host) {
        return denied(format!(
            "the Host header is {host:?}: this door answers only to localhost and loopback addresses"
        ));
    }
    let origin = headers.get(header::ORIGIN)?;
    if origin.as_bytes() == format!("http://{host}").as_bytes() {
        return None;
    }
    denied(format!(
        "the Origin header is {:?}: pages of other origins may not use this door",
        String::from_utf8_lossy(origin.as_bytes())
    ))
}

/// Whether a `Host` value is `localhost` or a loopback address, with or without a port.
fn names_this_machine(host: &str) -> bool {
    let name = if let Some(rest) = host.strip_prefix('[') {
        rest.split_once(']').map_or(rest, |(address, _)| address)
    } else {
        host.rsplit_once(':').map_or(host, |(name, _)| name)
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(host: &str, origin: Option<&str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        refuse(&headers).map(|problem| problem.status)
    }

    #[test]
    fn only_this_machine_and_this_origin_pass() {
        for host in ["localhost", "localhost:7380", "127.0.0.1:7380", "127.9.9.9", "[::1]:7380"] {
            assert_eq!(verdict(host, None), None, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:7380", "10.0.0.1:7380", "[::2]:1", ""]
        {
            assert_eq!(verdict(host, None), Some(403), "{host}");
        }
        assert_eq!(verdict("127.0.0.1:7380", Some("http://127.0.0.1:7380")), None);
        for origin in ["http://evil.example", "null", "http://127.0.0.1:3000"] {
            assert_eq!(verdict("127.0.0.1:7380", Some(origin)), Some(403), "{origin}");
        }
        assert_eq!(refuse(&HeaderMap::new()).map(|problem| problem.status), Some(400));
    }
}
