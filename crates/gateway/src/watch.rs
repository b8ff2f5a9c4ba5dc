//! Watches: winning changes as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use tidings::{Watch, WatchToken};
use tokio::sync::watch as signal;
use tokio::time::Instant;

use crate::guard::{self, Caller};
use crate::json::Operation;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::Named;
use tidings_tokens::Tokens;

/// A comment this often keeps an idle watch alive through whatever drops silent connections, and finds
/// out that a client went away.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What a client that comes back says it has seen: browsers do so by themselves.
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET …/watch?prefix=&after=`: an event `ready` when the watch has begun, then `change` for each winning
/// change, its data an [`Operation`], and at last `error` with a problem. The id of an event is the token
/// after it: where a batch has several changes, its last one has it.
pub(crate) async fn watch(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(path): Named,
    headers: HeaderMap,
    query: Query,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let prefix = query.bytes("prefix").unwrap_or_default().to_vec();
    let last = headers.get(LAST_EVENT_ID).map(|last| String::from_utf8_lossy(last.as_bytes()));
    // What was seen since is newer than what the address says.
    let after = last.as_deref().filter(|last| !last.is_empty()).or(query.text("after")?);
    let after: Option<WatchToken> = after.map(str::parse).transpose()?;
    let database = door.database(&path, &query).await?;
    let watch = match after {
        Some(after) => database.watch_after(prefix, &after).await?,
        None => database.watch(prefix).await?,
    };
    let follow = Follow {
        closing: door.closing.clone(),
        tokens: door.tokens.as_ref().map(|tokens| tokens.changes()),
        caller,
    };
    let events = futures::stream::unfold(Progress::Begun { follow, watch }, next_event);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

/// What ends a watch from outside.
struct Follow {
    closing: signal::Receiver<bool>,
    tokens: Option<signal::Receiver<Arc<Tokens>>>,
    caller: Caller,
}

impl Follow {
    /// Resolves once the door closes or is gone.
    async fn closes(closing: &mut signal::Receiver<bool>) {
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Resolves once the caller's token is not what it was.
    async fn revoked(tokens: &mut Option<signal::Receiver<Arc<Tokens>>>, caller: &Caller) {
        if let Some(tokens) = tokens
            && tokens.wait_for(|tokens| !caller.is_current(tokens)).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

enum Progress {
    Begun { follow: Follow, watch: Watch },
    Reading { follow: Follow, watch: Watch, told: WatchToken },
    Done,
}

async fn next_event(progress: Progress) -> Option<(Result<Event, Infallible>, Progress)> {
    let (mut follow, mut watch, told) = match progress {
        Progress::Begun { follow, watch } => {
            let told = watch.token();
            let ready = Event::default().event("ready").data("{}").id(told.to_string());
            return Some((Ok(ready), Progress::Reading { follow, watch, told }));
        }
        Progress::Reading { follow, watch, told } => (follow, watch, told),
        Progress::Done => return None,
    };
    let heartbeat = tokio::time::sleep(HEARTBEAT);
    tokio::pin!(heartbeat);
    let change = loop {
        tokio::select! {
            change = watch.next() => break change?,
            () = &mut heartbeat => {
                let told_now = watch.token();
                heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
                if told_now != told {
                    // Nothing for this client, which need not be told of it again.
                    let event = Event::default().id(told_now.to_string());
                    let progress = Progress::Reading { follow, watch, told: told_now };
                    return Some((Ok(event), progress));
                }
            }
            () = Follow::closes(&mut follow.closing) => return None,
            () = Follow::revoked(&mut follow.tokens, &follow.caller) => {
                let event = Event::default().event("error").data(json(&guard::revoked()));
                return Some((Ok(event), Progress::Done));
            }
        }
    };
    match change {
        Ok(change) => {
            let mut event = Event::default().event("change").data(json(&Operation::from(change)));
            let told_now = watch.token();
            if told_now != told {
                event = event.id(told_now.to_string());
            }
            Some((Ok(event), Progress::Reading { follow, watch, told: told_now }))
        }
        Err(error) => {
            let event = Event::default().event("error").data(json(&Problem::from(error)));
            Some((Ok(event), Progress::Done))
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    // Writing JSON of these types to memory cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}
