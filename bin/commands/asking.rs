//! Asking before something is done for good.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use crate::exit::Failure;

/// Whether the person at the terminal says yes to `question`. Where there is none, the command ends with
/// what would happen, and with what to say instead.
pub(super) fn agrees(question: &str, unasked: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(unasked));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().map_err(|error| Failure::usage(format!("cannot ask: {error}")))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::usage(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
