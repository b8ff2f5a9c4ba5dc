//! For supervisors: liveness and readiness.

use axum::extract::State;

use crate::guard;
use crate::problem::Problem;
use crate::routes::Door;

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "live\n"
}

/// The peer serves: it started, and does not stop.
pub(crate) async fn ready(State(door): State<Door>) -> Result<&'static str, Problem> {
    if *door.closing.borrow() {
        return Err(guard::closing());
    }
    Ok("ready\n")
}
