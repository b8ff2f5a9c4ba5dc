//! `tidings ttl PATH KEY`

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;
use tidings_gateway::{duration, moment};

use super::{Context, Keyspace, absent, bytes_of};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Prints for how long an entry is still there.
///
/// It is a duration as `expire` takes it, of whole seconds while there are some, by the clock of this
/// machine; or `stays`, for an entry that does not expire. `-o json` has milliseconds, and the moment.
/// Exits with 1 if there is no such key.
#[derive(Args, Debug)]
pub(crate) struct Ttl {
    /// The path of the database.
    path: String,
    /// The key.
    key: OsString,
    /// The key is given in base64.
    #[arg(long)]
    base64: bool,
    #[command(flatten)]
    keyspace: Keyspace,
}

/// What is left, for programs.
#[derive(Serialize)]
struct Left {
    /// In milliseconds; `None`: the entry stays.
    ttl: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl Ttl {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let key = bytes_of(&self.key, self.base64)?;
        let client = context.client_in(self.keyspace)?;
        let Some(row) = client.look(&self.path, &key).await? else {
            return Err(absent(&self.path, &key));
        };
        let now = SystemTime::now();
        let left = row.expires.map(|expires| expires.duration_since(now).unwrap_or_default());
        match context.format(Format::Table) {
            format @ (Format::Json | Format::Jsonl) => {
                let ttl = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
                let expires = row.expires.map(moment::format);
                output::document(format, &Left { ttl, expires })?;
            }
            Format::Table | Format::Raw => say!("{}", left.map_or_else(|| "stays".into(), text)),
        }
        Ok(())
    }
}

/// Rounded up to seconds, so that what has 30 s when it is written is not told to have 29.
fn text(left: Duration) -> String {
    let seconds = left.as_millis().div_ceil(1000);
    if left < Duration::from_secs(1) {
        return duration::format(left);
    }
    duration::format(Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_whole_seconds() {
        for (millis, told) in [
            (0, "0ms"),
            (7, "7ms"),
            (999, "999ms"),
            (29_001, "30s"),
            (59_999, "1m"),
            (61_000, "61s"),
        ] {
            assert_eq!(text(Duration::from_millis(millis)), told);
        }
    }
}
