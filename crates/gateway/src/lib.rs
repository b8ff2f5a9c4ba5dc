//! The HTTP door of a tidings peer, and the client that speaks to it.
//!
//! A [`Gateway`] binds an address and serves `/v1` over a [`tidings::Peer`]; a [`Client`] is the other
//! end, which the command line uses. Both share the JSON forms in [`json`].
//!
//! # The interface
//!
//! | request | answer |
//! |---|---|
//! | `PUT /v1/databases/{path}/keys/{key}?durability=&acks=&ttl=&expires=&timeout=` | `{"version"}`, and an `ETag`; the body is the value |
//! | `GET`, `HEAD` of the same, `?min_version=&timeout=` | the value; the `ETag` is the version, `Tidings-Expires` the expiry if there is one; honours `If-None-Match` |
//! | `DELETE` of the same, `?durability=&acks=&timeout=` | `{"version"}`, also for what is absent |
//! | `POST …/{path}/keys/{key}/incr?by=&durability=&acks=&timeout=` | [`Counted`](json::Counted): `{"value", "version"}`, and an `ETag`; adds 1 unless `by` says otherwise, which may be below zero |
//! | `POST …/{path}/keys/{key}/expire?ttl=&expires=&durability=&acks=&timeout=` | `{"version"}`; the entry is hidden from then on |
//! | `POST …/{path}/keys/{key}/persist?durability=&acks=&timeout=` | `{"version"}`; the entry stays |
//! | `GET …/{path}/keys?prefix=&glob=&regex=&limit=&budget=&cursor=&reverse=&values=` | [`RowPage`](json::RowPage): `{"entries", "truncated", "cursor"}` |
//! | `DELETE …/{path}/keys?prefix=&durability=&acks=&timeout=` | `{"deleted"}`, how many; `prefix` has to be given, and an empty one means every key of the keyspace |
//! | `GET …/{path}/scan?start=&end=&glob=&regex=` | a [`Row`](json::Row) per line (NDJSON), from `start` to before `end`, of one moment |
//! | `GET …/{path}/keyspaces?limit=&cursor=` | [`KeyspacePage`](json::KeyspacePage): `{"keyspaces", "truncated", "cursor"}`, those that have a key |
//! | `POST …/{path}/batch?durability=&acks=&ttl=&expires=&timeout=&versions=` | [`BatchWritten`](json::BatchWritten); the body is a JSON list of [`Operation`](json::Operation)s or one per line |
//! | `GET …/{path}/watch?prefix=` | server-sent events: `ready`, then `change` with an `Operation`, at last `error` with a problem |
//! | `POST …/{path}/tarmac/get`, `set`, `delete`, `keys` | the key-value capability of Tarmac, in JSON or protobuf; `set` and `delete` take the parameters of `PUT` and `DELETE` |
//! | `GET …/{path}/status` | [`DatabaseStatus`](tidings::status::DatabaseStatus) |
//! | `POST …/{path}/sync?timeout=` | `{"synced": true}` once this peer has what its reachable holders have |
//! | `DELETE /v1/databases/{path}` | `{"dropped": true}`: the database is gone for good, from every peer |
//! | `GET /v1/databases?limit=&cursor=` | [`DatabasePage`](json::DatabasePage) |
//! | `GET /v1/definitions`, `POST` of the same form | [`DefinitionList`](json::DefinitionList); [`Applied`](json::Applied), all or none |
//! | `GET`, `PUT`, `DELETE /v1/definitions/{name}` | the definition; `Applied`; `{"removed"}` |
//! | `PUT /v1/drain`, `GET` and `DELETE` of the same | [`DrainStatus`](tidings::status::DrainStatus): begins to hand over every copy, tells how far that is, ends it |
//! | `GET /v1/backup` | a [backup](tidings::backup) of everything that this peer stores, as of one moment |
//! | `GET /v1/peers`, `GET /v1/status` | [`PeerList`](json::PeerList), [`NodeStatus`](tidings::status::NodeStatus) |
//! | `GET /openapi.json` | all of this as an OpenAPI 3.1 document |
//! | `GET /health/live`, `/health/ready`, `/metrics` | text |
//!
//! Every request about keys takes `keyspace=NAME`, too: a namespace of its own in the database, which begins
//! with its first key. The default one has no name.
//!
//! `glob` or `regex` is a [filter](tidings::filter), which the whole key has to match, its prefix included. A page
//! with one looks at no more than `budget` keys, or 10,000, deleted and expired ones among them: so it may be
//! truncated although it has few entries or none. Go on until there is no `cursor`. A scan goes on by itself.
//!
//! `min_version` is a version that any write to the database returned: the answer waits until the copy that
//! is read reflects that write, `timeout` at most, or 5 s.
//!
//! A single `PUT`, `DELETE`, `incr`, `expire` or `persist` honours `If-None-Match: *` (the key is absent), `If-Match: *` (it is there) and
//! `If-Match` with one entity tag (it has that version): at the holder that accepts the write. Where that
//! does not hold the answer is 412, and nothing is written.
//!
//! `acks` is a number of holders, this one included, or `min`, that of the definition. Durations are a
//! whole number and a unit, such as `250ms`, `30s`, `7d`; moments are RFC 3339, such as
//! `2026-11-21T16:00:00.000Z`. A parameter that is unknown or given twice is an error. What the interface
//! will have and this version has not answers 501.
//!
//! # How bytes travel
//!
//! In a URL, `{path}` and `{key}` are percent-encoded whole, so `/` inside them is `%2F` and any
//! byte can be named. Bodies of single values are raw bytes.
//!
//! In JSON, a key or a value that is UTF-8 is a string under its own name, and anything else is
//! standard base64 with padding under the name with `_base64` appended: `{"key": "a", "value_base64":
//! "/wA="}`. That holds for listings, scans, batches, changes, imports and exports alike.
//!
//! # When entries expire
//!
//! A row of an entry that expires says so after its value: `{"key": "a", "value": "1", "expires":
//! "2026-11-21T16:00:00.000Z"}`. It is written in UTC with milliseconds, and read in any zone, for the
//! years 1970 to 9999; an entry whose moment has passed is written and hidden at once. Of the ways to
//! give one, the first counts: `"expires"` of a put in a batch, then the parameter `expires`, then `ttl`,
//! then the definition's `ttl`.
//!
//! # Errors
//!
//! Every error is a problem body after RFC 9457 (`application/problem+json`) with a stable `code`; the
//! table from error to status is in one place, [`problem`]. Where something is asked for by name, 404
//! means that it is absent (`not-found`), and nothing else; an address that does not exist at all has
//! the code `no-endpoint`.
//!
//! # Who may speak
//!
//! Without [tokens](tidings_tokens), programs on this machine: the door binds to loopback only and answers only to a
//! `Host` that is this machine. With them, every request but `/health` needs one that may do it: `GET`s
//! need the scope `read`, what changes keys `write`, and what changes definitions, drops a
//! database, drains the peer or backs it up `admin`. Requests of web pages of any other origin are refused always.

mod backup;
mod batch;
mod bounds;
mod cluster;
mod definitions;
mod edits;
mod endpoint;
mod guard;
mod health;
mod keys;
mod keyspaces;
mod metrics;
mod openapi;
mod query;
mod routes;
mod scan;
mod server;
mod stream;
mod target;
mod tarmac;
mod watch;

pub mod acknowledge;
pub mod client;
pub mod duration;
pub mod json;
pub mod moment;
pub mod problem;
pub mod size;
pub mod yaml;

pub use client::{Client, ClientError};
pub use problem::Problem;
pub use server::Gateway;
pub use tidings_tokens::listen::BindError;
