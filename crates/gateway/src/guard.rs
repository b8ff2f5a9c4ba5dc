//! Who may speak to the door: without tokens, programs on this machine and no web page; with tokens,
//! whoever has one.
//!
//! A browser on this machine can be made to send requests here. Rebinding a name to 127.0.0.1 gives
//! itself away in `Host`, and a page of another origin in `Origin`; both are refused before anything
//! else looks at the request. A page that rebinds a name has no token, so that a request with one may
//! name any host; a page of another origin is refused all the same.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use tidings::{Error, limits};

use crate::bounds::{REFUSED_BODY_MAX, REFUSED_BODY_TIMEOUT, URI_BYTES_MAX};
use crate::endpoint;
use crate::problem::{Code, Problem};
use crate::routes::Door;
use tidings_tokens::{Denied, Token, Tokens};

/// Who sends a request.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A door without tokens: a program on this machine. Or, of what is for everybody, anybody.
    Anybody,
    /// Who has this token.
    Token(Arc<Token>),
}

impl Caller {
    /// Whether it may see the database with this path in a listing.
    pub(crate) fn may_see(&self, path: &str) -> bool {
        match self {
            Self::Anybody => true,
            Self::Token(token) => token.is_for(path),
        }
    }

    /// Whether it is still what it was: no list of tokens without it has come since.
    pub(crate) fn is_current(&self, tokens: &Tokens) -> bool {
        match self {
            Self::Anybody => true,
            Self::Token(token) => tokens.still_has(token),
        }
    }
}

/// Lets a request pass that may speak to this door, and notes who sends it.
pub(crate) async fn check(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if length > URI_BYTES_MAX {
        let detail = format!(
            "the address has {length} bytes, at most {URI_BYTES_MAX} are taken; a path has at most {} bytes and a key {}, each percent-encoded once",
            limits::PATH_MAX,
            limits::KEY_MAX
        );
        return refuse(request, Problem::new(Code::UriTooLong, detail).into_response()).await;
    }
    if let Some(escape) = request.uri().path_and_query().and_then(|uri| bad_escape(uri.as_str())) {
        let detail = format!(
            "{escape:?} in the address is not a percent-encoded byte, which is % and two hexadecimal digits; the percent sign itself is %25"
        );
        return refuse(request, Problem::bad_argument(detail).into_response()).await;
    }
    let caller = match &door.tokens {
        None => check_place(request.headers()).map(|()| Caller::Anybody),
        Some(tokens) => check_token(&tokens.current(), &request),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(response) => refuse(request, *response).await,
    }
}

/// The first percent sign of an address without two hexadecimal digits behind it, with what is there.
fn bad_escape(address: &str) -> Option<String> {
    let mut signs = address.match_indices('%').map(|(at, _)| &address[at..]);
    let bad = signs.find(|rest| {
        let digits = rest.bytes().skip(1).take(2);
        digits.filter(u8::is_ascii_hexdigit).count() < 2
    });
    bad.map(|rest| rest.chars().take(3).collect())
}

/// Gives an answer to a request that is not served, once its sender is likely to listen.
pub(crate) async fn refuse(request: Request, response: Response) -> Response {
    // Whoever asks before sending the body is told before it.
    if request.headers().contains_key(header::EXPECT) {
        return response;
    }
    let mut body = request.into_body();
    let read = async {
        let mut total = 0;
        while let Some(Ok(frame)) = body.frame().await {
            total += frame.data_ref().map_or(0, Bytes::len);
            if total > REFUSED_BODY_MAX {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(REFUSED_BODY_TIMEOUT, read).await;
    response
}

/// The answer to a token that may not do what it asks for.
pub(crate) fn denied(denied: &Denied) -> Response {
    let mut response = Problem::new(Code::Denied, denied.to_string()).into_response();
    let challenge = format!(
        "Bearer realm=\"tidings\", error=\"insufficient_scope\", scope=\"{}\"",
        denied.needs()
    );
    if let Ok(challenge) = HeaderValue::try_from(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

type Refused = Box<Response>;

/// With tokens: who sends this.
fn check_token(tokens: &Tokens, request: &Request) -> Result<Caller, Refused> {
    let headers = request.headers();
    let host = host(headers)?;
    // Where the door is behind a proxy that speaks TLS, its pages are of that origin.
    check_origin(headers, &[format!("http://{host}"), format!("https://{host}")])?;
    if endpoint::is_for_everybody(request.uri().path()) {
        return Ok(Caller::Anybody);
    }
    let unauthenticated = |challenge, detail: &str| {
        let mut response = Problem::new(Code::Unauthenticated, detail).into_response();
        let challenge = HeaderValue::from_static(challenge);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        Err(Box::new(response))
    };
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = given.next() else {
        return unauthenticated(
            "Bearer realm=\"tidings\"",
            "this door asks for a token: send the header `Authorization: Bearer TOKEN`, or give the command line --token-file FILE",
        );
    };
    let token = Some(first).filter(|_| given.next().is_none()).and_then(bearer);
    match token.and_then(|token| tokens.find(token)) {
        Some(token) => Ok(Caller::Token(token)),
        None => unauthenticated(
            "Bearer realm=\"tidings\", error=\"invalid_token\"",
            "the token is not one of this door: it was revoked or mistyped, or the Authorization header is not `Bearer TOKEN`",
        ),
    }
}

/// The token of an `Authorization` header.
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Without tokens: `Host` is this machine and `Origin`, if any, is this door.
fn check_place(headers: &HeaderMap) -> Result<(), Refused> {
    let host = host(headers)?;
    if !names_this_machine(&host) {
        return Err(Box::new(elsewhere(format!(
            "the Host header is {host:?}: this door answers only to localhost and loopback addresses"
        ))));
    }
    check_origin(headers, &[format!("http://{host}")])
}

fn host(headers: &HeaderMap) -> Result<String, Refused> {
    match headers.get(header::HOST) {
        Some(host) => Ok(String::from_utf8_lossy(host.as_bytes()).into_owned()),
        None => {
            Err(Box::new(Problem::bad_argument("the request has no Host header").into_response()))
        }
    }
}

fn check_origin(headers: &HeaderMap, own: &[String]) -> Result<(), Refused> {
    match headers.get(header::ORIGIN) {
        Some(origin) if !own.iter().any(|own| origin.as_bytes() == own.as_bytes()) => {
            Err(Box::new(elsewhere(format!(
                "the Origin header is {:?}: pages of other origins may not use this door",
                String::from_utf8_lossy(origin.as_bytes())
            ))))
        }
        _ => Ok(()),
    }
}

fn elsewhere(detail: String) -> Response {
    Problem::new(Code::Denied, detail).into_response()
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

/// What a stream says when its token was revoked.
pub(crate) fn revoked() -> Problem {
    Problem::new(Code::Unauthenticated, "the token was revoked or changed meanwhile")
}

/// What everything says once the door closes.
pub(crate) fn closing() -> Problem {
    Problem::from(Error::Closed("the peer".into()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use tidings_tokens::Scope;

    fn verdict(host: &str, origin: Option<&str>) -> Option<u16> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        check_place(&headers).err().map(|response| response.status().as_u16())
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
        let none = check_place(&HeaderMap::new()).unwrap_err();
        assert_eq!(none.status(), 400);
    }

    /// What each way to hand over a token, or none, ends in, from whatever place.
    #[test]
    fn a_token_passes_from_any_host_and_from_no_page() {
        let mut tokens = Tokens::default();
        let token = tokens.add("a", Scope::Read, &[""; 0]).unwrap();
        let verdict = |address: &str, headers: &[(header::HeaderName, String)]| {
            let mut request = Request::builder().uri(address);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let checked = check_token(&tokens, &request.body(Body::empty()).unwrap());
            checked.map_or_else(|refused| refused.status().as_u16(), |_| 200)
        };
        let host = (header::HOST, "store.example:7380".to_owned());
        let with =
            |value: String| verdict("/v1/peers", &[host.clone(), (header::AUTHORIZATION, value)]);
        assert_eq!(with(format!("Bearer {token}")), 200);
        assert_eq!(with(format!("bearer  {token} ")), 200);
        for wrong in [String::new(), token.clone(), format!("Basic {token}"), "Bearer ".into()] {
            assert_eq!(with(wrong.clone()), 401, "{wrong}");
        }
        assert_eq!(with(format!("Bearer {token}x")), 401);
        let right = (header::AUTHORIZATION, format!("Bearer {token}"));
        let twice = [host.clone(), right.clone(), right.clone()];
        assert_eq!(verdict("/v1/peers", &twice), 401);
        assert_eq!(verdict("/v1/peers", std::slice::from_ref(&host)), 401);
        assert_eq!(verdict("/no/such", std::slice::from_ref(&host)), 401);
        assert_eq!(verdict("/health/live", std::slice::from_ref(&host)), 200);
        assert_eq!(verdict("/v1/peers", std::slice::from_ref(&right)), 400);
        for (origin, status) in
            [("https://store.example:7380", 200), ("http://evil.example", 403), ("null", 403)]
        {
            let origin = (header::ORIGIN, origin.to_owned());
            let headers = [host.clone(), right.clone(), origin.clone()];
            assert_eq!(verdict("/v1/peers", &headers), status, "{origin:?}");
        }
    }
}
