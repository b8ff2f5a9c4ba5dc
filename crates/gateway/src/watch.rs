//! Watches: winning changes as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use tidings::Watch;

use crate::json::Operation;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::Named;

/// A comment this often keeps an idle watch alive through whatever drops silent connections, and finds
/// out that a client went away.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// `GET …/watch?prefix=`: an event `ready` when the watch has begun, then `change` for each winning
/// change (its data an [`Operation`], its id the version), and at last `error` with a problem.
pub(crate) async fn watch(
    State(door): State<Door>,
    Named(path): Named,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let query = Query::parse(&uri, &["prefix"])?;
    let prefix = query.bytes("prefix").unwrap_or_default().to_vec();
    let database = door.peer.database(&path).await?;
    let watch = database.watch(prefix).await?;
    let events = futures::stream::unfold(Progress::Begun { door, watch }, next_event);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)))
}

enum Progress {
    Begun { door: Door, watch: Watch },
    Reading { door: Door, watch: Watch },
    Done,
}

async fn next_event(progress: Progress) -> Option<(Result<Event, Infallible>, Progress)> {
    let (mut door, mut watch) = match progress {
        Progress::Begun { door, watch } => {
            let ready = Event::default().event("ready").data("{}");
            return Some((Ok(ready), Progress::Reading { door, watch }));
        }
        Progress::Reading { door, watch } => (door, watch),
        Progress::Done => return None,
    };
    let change = tokio::select! {
        change = watch.next() => change?,
        // Either the door closes or the server is gone; both end the stream.
        _ = door.closing.wait_for(|closing| *closing) => return None,
    };
    match change {
        Ok(change) => {
            let id = change.version.to_string();
            let data = json(&Operation::from(change));
            let event = Event::default().event("change").id(id).data(data);
            Some((Ok(event), Progress::Reading { door, watch }))
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
