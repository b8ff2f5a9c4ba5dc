//! Watches: winning changes as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use tidings::Watch;
use tokio::sync::watch as signal;

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

/// `GET …/watch?prefix=`: an event `ready` when the watch has begun, then `change` for each winning
/// change (its data an [`Operation`], its id the version), and at last `error` with a problem.
pub(crate) async fn watch(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    Named(path): Named,
    query: Query,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let prefix = query.bytes("prefix").unwrap_or_default().to_vec();
    let database = door.database(&path, &query).await?;
    let watch = database.watch(prefix).await?;
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
    Reading { follow: Follow, watch: Watch },
    Done,
}

async fn next_event(progress: Progress) -> Option<(Result<Event, Infallible>, Progress)> {
    let (mut follow, mut watch) = match progress {
        Progress::Begun { follow, watch } => {
            let ready = Event::default().event("ready").data("{}");
            return Some((Ok(ready), Progress::Reading { follow, watch }));
        }
        Progress::Reading { follow, watch } => (follow, watch),
        Progress::Done => return None,
    };
    let change = tokio::select! {
        change = watch.next() => change?,
        () = Follow::closes(&mut follow.closing) => return None,
        () = Follow::revoked(&mut follow.tokens, &follow.caller) => {
            let event = Event::default().event("error").data(json(&guard::revoked()));
            return Some((Ok(event), Progress::Done));
        }
    };
    match change {
        Ok(change) => {
            let id = change.version.to_string();
            let data = json(&Operation::from(change));
            let event = Event::default().event("change").id(id).data(data);
            Some((Ok(event), Progress::Reading { follow, watch }))
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
