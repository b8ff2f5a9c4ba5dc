//! Every endpoint of the door in one table: its address, who may use it, which query parameters it
//! takes, and who serves it. The router is built from it, requests are checked against it, and the
//! OpenAPI document is compared with it.

use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use tidings::Error;

use crate::bounds::{ANSWER_TIMEOUT, BODY_TIMEOUT, WAIT_MAX};
use crate::guard::{self, Caller};
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target;
use crate::{
    backup, batch, cluster, definitions, duration, edits, health, keys, keyspaces, metrics,
    openapi, scan, tarmac, watch,
};
use tidings_tokens::Scope::{self, Admin, Read, Write};
use tidings_tokens::Subject;

/// Who may use an endpoint, where the door asks for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody, also without a token: it tells nothing that a connection does not tell.
    Everybody,
    /// Every token. What it lists is only what the token is for.
    AnyToken,
    /// A token with this scope that is for the database of the address.
    Database(Scope),
    /// A token with this scope that is for all databases.
    Cluster(Scope),
}

/// One method of one address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The method. `GET` stands for `HEAD`, too.
    pub(crate) method: Method,
    /// The address, with what varies in braces.
    pub(crate) address: &'static str,
    /// Who may use it.
    pub(crate) access: Access,
    /// The query parameters that it takes.
    pub(crate) query: &'static [&'static str],
    serve: fn(MethodFilter) -> MethodRouter<Door>,
}

impl Endpoint {
    /// The method, as a word.
    pub(crate) fn method_name(&'static self) -> &'static str {
        self.method.as_str()
    }
}

/// What varies in how a write is done.
const WRITE: &[&str] = &["durability", "acks", "ttl", "expires", "timeout", "keyspace"];
const CHANGE: &[&str] = &["durability", "acks", "timeout", "keyspace"];
const INCR: &[&str] = &["by", "durability", "acks", "timeout", "keyspace"];
const DELETE_PREFIX: &[&str] = &["prefix", "durability", "acks", "timeout", "keyspace"];
const BATCH: &[&str] = &["durability", "acks", "ttl", "expires", "timeout", "versions", "keyspace"];
const READ: &[&str] = &["min_version", "timeout", "keyspace"];
const LIST: &[&str] =
    &["prefix", "glob", "regex", "limit", "budget", "cursor", "reverse", "values", "keyspace"];
const SCAN: &[&str] = &["start", "end", "glob", "regex", "keyspace"];
const PAGE: &[&str] = &["limit", "cursor"];
const WATCH: &[&str] = &["prefix", "after", "keyspace"];
const KEYSPACE: &[&str] = &["keyspace"];

/// One row of the table.
macro_rules! endpoint {
    ($method:ident $address:literal, $access:expr, $query:expr, $handler:path) => {
        Endpoint {
            method: Method::$method,
            address: $address,
            access: $access,
            query: $query,
            serve: |filter| on(filter, $handler),
        }
    };
}

/// All of them.
pub(crate) const ENDPOINTS: &[Endpoint] = &{
    use Access::{AnyToken, Cluster, Database, Everybody};
    [
        endpoint!(GET "/v1/databases", AnyToken, PAGE, cluster::databases),
        endpoint!(DELETE "/v1/databases/{path}", Database(Admin), &[], cluster::drop_database),
        endpoint!(GET "/v1/databases/{path}/keys", Database(Read), LIST, keys::list),
        endpoint!(DELETE "/v1/databases/{path}/keys", Database(Write), DELETE_PREFIX, edits::delete_prefix),
        endpoint!(GET "/v1/databases/{path}/keys/{key}", Database(Read), READ, keys::get),
        endpoint!(PUT "/v1/databases/{path}/keys/{key}", Database(Write), WRITE, keys::put),
        endpoint!(DELETE "/v1/databases/{path}/keys/{key}", Database(Write), CHANGE, keys::delete),
        endpoint!(POST "/v1/databases/{path}/keys/{key}/incr", Database(Write), INCR, edits::incr),
        endpoint!(POST "/v1/databases/{path}/keys/{key}/expire", Database(Write), WRITE, edits::expire),
        endpoint!(POST "/v1/databases/{path}/keys/{key}/persist", Database(Write), CHANGE, edits::persist),
        // Without these an empty key would be an unknown address, and not a key that is too short.
        endpoint!(GET "/v1/databases/{path}/keys/", Database(Read), READ, keys::get),
        endpoint!(PUT "/v1/databases/{path}/keys/", Database(Write), WRITE, keys::put),
        endpoint!(DELETE "/v1/databases/{path}/keys/", Database(Write), CHANGE, keys::delete),
        endpoint!(POST "/v1/databases/{path}/keys//incr", Database(Write), INCR, edits::incr),
        endpoint!(POST "/v1/databases/{path}/keys//expire", Database(Write), WRITE, edits::expire),
        endpoint!(POST "/v1/databases/{path}/keys//persist", Database(Write), CHANGE, edits::persist),
        endpoint!(GET "/v1/databases/{path}/scan", Database(Read), SCAN, scan::scan),
        endpoint!(GET "/v1/databases/{path}/keyspaces", Database(Read), PAGE, keyspaces::list),
        endpoint!(POST "/v1/databases/{path}/batch", Database(Write), BATCH, batch::batch),
        endpoint!(GET "/v1/databases/{path}/watch", Database(Read), WATCH, watch::watch),
        endpoint!(GET "/v1/databases/{path}/status", Database(Read), &[], cluster::database_status),
        endpoint!(POST "/v1/databases/{path}/sync", Database(Read), &["timeout"], cluster::sync),
        endpoint!(POST "/v1/databases/{path}/tarmac/get", Database(Read), KEYSPACE, tarmac::get),
        endpoint!(POST "/v1/databases/{path}/tarmac/set", Database(Write), WRITE, tarmac::set),
        endpoint!(POST "/v1/databases/{path}/tarmac/delete", Database(Write), CHANGE, tarmac::delete),
        endpoint!(POST "/v1/databases/{path}/tarmac/keys", Database(Read), KEYSPACE, tarmac::keys),
        endpoint!(GET "/v1/definitions", Cluster(Read), &[], definitions::list),
        endpoint!(POST "/v1/definitions", Cluster(Admin), &[], definitions::apply),
        endpoint!(GET "/v1/definitions/{name}", Cluster(Read), &[], definitions::get),
        endpoint!(PUT "/v1/definitions/{name}", Cluster(Admin), &[], definitions::put),
        endpoint!(DELETE "/v1/definitions/{name}", Cluster(Admin), &[], definitions::delete),
        endpoint!(GET "/v1/peers", Cluster(Read), &[], cluster::peers),
        endpoint!(GET "/v1/status", Cluster(Read), &[], cluster::status),
        endpoint!(GET "/v1/drain", Cluster(Read), &[], cluster::drain_status),
        endpoint!(PUT "/v1/drain", Cluster(Admin), &[], cluster::drain),
        endpoint!(DELETE "/v1/drain", Cluster(Admin), &[], cluster::undrain),
        endpoint!(GET "/v1/backup", Cluster(Admin), &[], backup::backup),
        endpoint!(GET "/health/live", Everybody, &[], health::live),
        endpoint!(GET "/health/ready", Everybody, &[], health::ready),
        endpoint!(GET "/metrics", Cluster(Read), &[], metrics::metrics),
        endpoint!(GET "/openapi.json", AnyToken, &[], openapi::document),
    ]
};

/// A router of all endpoints, each behind its check.
pub(crate) fn router() -> Router<Door> {
    ENDPOINTS.iter().fold(Router::new(), |router, endpoint| {
        // The methods of the table are those that a filter knows.
        let Ok(filter) = MethodFilter::try_from(endpoint.method.clone()) else { return router };
        let served = (endpoint.serve)(filter).route_layer(from_fn_with_state(endpoint, permit));
        router.route(endpoint.address, served)
    })
}

/// Whether everybody may ask for this, without a token. Such addresses have nothing that varies.
pub(crate) fn is_for_everybody(address: &str) -> bool {
    let mut open = ENDPOINTS.iter().filter(|endpoint| endpoint.access == Access::Everybody);
    open.any(|endpoint| endpoint.address == address)
}

/// Serves a request whose token may use the endpoint, and notes in the answer which one it was.
async fn permit(
    State(endpoint): State<&'static Endpoint>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = answer(endpoint, request, next).await;
    response.extensions_mut().insert(endpoint);
    response
}

async fn answer(endpoint: &'static Endpoint, mut request: Request, next: Next) -> Response {
    if let Some(Caller::Token(token)) = request.extensions().get::<Caller>() {
        let checked = match endpoint.access {
            Access::Everybody | Access::AnyToken => Ok(()),
            Access::Cluster(scope) => token.check(scope, Subject::Cluster),
            // A path that is not UTF-8 is no database's, so that only a token for all gets to hear that.
            Access::Database(scope) => {
                let path = target::name(request.uri().path()).unwrap_or_default();
                token.check(scope, Subject::Database(&path))
            }
        };
        if let Err(denied) = checked {
            return guard::refuse(request, guard::denied(&denied).into_response()).await;
        }
    }
    let query =
        Query::parse(request.uri(), endpoint.query).and_then(|query| Ok((waits(&query)?, query)));
    match query {
        Ok((waits, query)) => {
            request.extensions_mut().insert(query);
            let about = About::of(endpoint, &request);
            let most = BODY_TIMEOUT + waits + ANSWER_TIMEOUT;
            let served = tokio::time::timeout(most, next.run(request)).await;
            served.unwrap_or_else(|_| about.hangs().into_response())
        }
        // Whoever looks after the health of many services may add what it likes.
        Err(_) if endpoint.access == Access::Everybody => next.run(request).await,
        Err(problem) => guard::refuse(request, problem.into_response()).await,
    }
}

/// How long a request asks to wait, within bounds.
fn waits(query: &Query) -> Result<Duration, Problem> {
    match query.duration("timeout")? {
        Some(asked) if asked > WAIT_MAX => Err(Problem::bad_argument(format!(
            "timeout={} is more than {}, the longest that a request waits; ask again after that",
            duration::format(asked),
            duration::format(WAIT_MAX)
        ))),
        asked => Ok(asked.unwrap_or_default()),
    }
}

/// What is known of a request that is given up.
struct About {
    endpoint: &'static Endpoint,
    address: String,
}

impl About {
    fn of(endpoint: &'static Endpoint, request: &Request) -> Self {
        Self { endpoint, address: request.uri().path().to_owned() }
    }

    /// The answer when nothing came of it in any time that it could take.
    fn hangs(self) -> Problem {
        tracing::error!(method = %self.endpoint.method, path = self.address, "a request hung and is given up");
        let taken = ANSWER_TIMEOUT.as_millis();
        let changes = match self.endpoint.access {
            Access::Everybody | Access::AnyToken => false,
            Access::Database(scope) | Access::Cluster(scope) => scope > Read,
        };
        if !changes {
            return Error::TimedOut(u64::try_from(taken).unwrap_or(u64::MAX)).into();
        }
        let path = target::name(&self.address).unwrap_or_default();
        Error::OutcomeUnknown { path, why: "nothing came of it in time".into() }.into()
    }
}
