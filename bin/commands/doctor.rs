//! `tidings doctor`: what usually goes wrong, looked at before or while a peer runs.

mod data;
mod files;
mod limits;
mod multicast;
mod running;

use clap::Args;
use serde::Serialize;

use super::Context;
use super::serve::{Serve, Settings};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, say};

/// Checks what usually goes wrong, and says how to mend it.
///
/// Takes the settings of `serve`, from the same places, and looks at what a peer with them would need:
/// its data directory and disk, its files, its ports, multicast. Where a peer answers at --http, it is
/// asked about its clock and the peers that it sees. Nothing is changed.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    settings: Serve,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Nothing to do.
    Ok,
    /// It works, or will, and a person should know.
    Warn,
    /// A peer would not start, or does not work.
    Fail,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    /// What was looked at, in a word.
    name: &'static str,
    /// How it ended.
    result: Level,
    /// What was found.
    found: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, result: Level::Ok, found: found.into(), mend: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, result: Level::Warn, found: found.into(), mend: Some(mend.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, result: Level::Fail, found: found.into(), mend: Some(mend.into()) }
    }

    /// A check that failed with an error that says itself what to do.
    fn error(name: &'static str, error: impl std::fmt::Display) -> Self {
        Self { name, result: Level::Fail, found: error.to_string(), mend: None }
    }
}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Report {
    /// The worst of the checks.
    result: Level,
    checks: Vec<Check>,
}

impl Doctor {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let checks = match self.settings.merge_any(context.http.clone()) {
            Ok(settings) => examine(&settings, context).await,
            Err(failure) => vec![Check::error("config", failure.message())],
        };
        print(format, checks)
    }
}

async fn examine(settings: &Settings, context: &Context) -> Vec<Check> {
    let mut checks = vec![data::directory(&settings.data), data::space(&settings.data)];
    checks.extend([limits::open_files(), files::secret(settings), files::definitions(settings)]);
    checks.extend(files::tokens(settings));
    let user = data::user(&settings.data);
    checks.extend(running::door(settings, context, user).await);
    checks.push(multicast::check(settings).await);
    checks
}

fn print(format: Format, checks: Vec<Check>) -> Result<(), Failure> {
    let result = checks.iter().map(|check| check.result).max().unwrap_or(Level::Ok);
    let failed: Vec<&str> =
        checks.iter().filter(|check| check.result == Level::Fail).map(|check| check.name).collect();
    let failure = (!failed.is_empty()).then(|| {
        let (count, names) = (failed.len(), failed.join(", "));
        let what = if count == 1 { "1 check" } else { &format!("{count} checks") };
        Failure::new(Code::Failed, format!("{what} failed: {names}"))
    });
    match format {
        Format::Json => output::document(format, &Report { result, checks })?,
        Format::Jsonl => output::documents(format, &checks)?,
        Format::Table | Format::Raw => {
            for Check { name, result, found, mend } in &checks {
                let mend = mend.as_ref().map_or_else(String::new, |mend| format!("; {mend}"));
                let text = output::shown(format!("{found}{mend}").as_bytes());
                say!("{:<4}  {name:<11}  {text}", result.word());
            }
        }
    }
    failure.map_or(Ok(()), Err)
}
