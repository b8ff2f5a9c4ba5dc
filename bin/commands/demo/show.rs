//! What the demonstration looks like.

use std::time::Duration;

use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidings::status::DatabaseStatus;

use crate::cluster::{Cluster, Process};
use crate::output::{self, Table, count, short};

/// Prints the parts of the story and remembers what did not hold.
#[derive(Debug, Default)]
pub(super) struct Show {
    part: u32,
    failed: Vec<String>,
}

impl Show {
    pub(super) fn title() -> Self {
        output::say!("{}", style("tidings demo").bold());
        output::say!(
            "three peers on this machine, each a process of its own; every figure is measured"
        );
        Self::default()
    }

    pub(super) fn part(&mut self, text: &str) {
        self.part += 1;
        output::say!("\n{} {}", style(format!("{}.", self.part)).cyan().bold(), style(text).bold());
    }

    /// Something that was promised: whether it held.
    pub(super) fn check(&mut self, held: bool, promise: impl Into<String>) {
        let promise = promise.into();
        if held {
            output::say!("   {} {promise}", style("✓").green().bold());
        } else {
            output::say!("   {} {}", style("✗").red().bold(), style(&promise).red());
            self.failed.push(promise);
        }
    }

    pub(super) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// One line per peer: what it has of a database.
    pub(super) fn copies(processes: &[&Process], statuses: &[Option<DatabaseStatus>]) {
        let mut table = Table::new(&["peer", "entries", "bytes", "digest", "vector"]);
        for (process, status) in processes.iter().zip(statuses) {
            let Some(status) = status else {
                let none = || "-".to_owned();
                table.row([process.name.clone(), none(), none(), "no copy".into(), none()]);
                continue;
            };
            let vector: Vec<String> = status
                .vector
                .iter()
                .map(|(epoch, sequence)| format!("{}:{sequence}", epoch.get(..4).unwrap_or(epoch)))
                .collect();
            table.row([
                process.name.clone(),
                count(status.entries),
                count(status.bytes),
                status.digest.get(..12).unwrap_or(&status.digest).to_owned(),
                vector.join(" "),
            ]);
        }
        for line in table.lines(3) {
            output::say!("{line}");
        }
    }
}

/// Something that happened.
pub(super) fn say(text: impl AsRef<str>) {
    output::say!("   {}", text.as_ref());
}

/// Bars that show, on a terminal, how the copies of a database fill.
pub(super) struct Bars {
    bars: Vec<ProgressBar>,
}

impl Bars {
    pub(super) fn new(processes: &[&Process], entries: u64) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template(
            "   {prefix:8} {bar:36.green/dim} {pos:>7} of {len}  {msg:.dim}",
        );
        let bars = processes.iter().map(|process| {
            let bar = all.add(ProgressBar::new(entries));
            if let Ok(style) = &style {
                bar.set_style(style.clone());
            }
            bar.set_prefix(process.name.clone());
            bar
        });
        Self { bars: bars.collect() }
    }

    pub(super) fn update(&self, statuses: &[Option<DatabaseStatus>]) {
        for (bar, status) in self.bars.iter().zip(statuses) {
            if let Some(status) = status {
                bar.set_length(bar.length().unwrap_or(0).max(status.entries));
                bar.set_position(status.entries);
                bar.set_message(status.digest.get(..12).unwrap_or_default().to_owned());
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in &self.bars {
            bar.finish_and_clear();
        }
    }
}

/// A duration for people.
pub(super) fn took(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// Who a process is.
pub(super) fn introduce(process: &Process) -> String {
    format!(
        "{:8} pid {:<7} peer {}  http://{}  {}",
        style(&process.name).bold(),
        process.ready.pid,
        short(&process.ready.peer),
        process.ready.http,
        style(format!("serving after {}", took(process.took))).dim(),
    )
}

/// How to talk to peers that go on running.
pub(super) fn running(processes: &[Process], cluster: &Cluster) {
    output::say!("\n{}", style("The peers go on until you press Ctrl-C. Talk to them:").bold());
    let [first, .., last] = processes else { return };
    let (first, last) = (&first.ready.http, &last.ready.http);
    // As it was started: it need not be on the search path.
    let tidings = std::env::args().next().unwrap_or_else(|| "tidings".into());
    output::say!("   {tidings} --http {first} list library/elements element/026/");
    output::say!("   {tidings} --http {first} put profile/history/you hello world");
    output::say!("   {tidings} --http {last} get profile/history/you hello");
    output::say!("   {tidings} --http {last} watch profile/history/you");
    output::say!("   curl http://{first}/v1/databases/library%2Felements/status");
    output::say!("   their data and logs are in {}", cluster.path().display());
}

/// What to do next.
pub(super) fn farewell(processes: &[Process]) {
    output::say!(
        "\n{} the {} peers stop now; with --keep they go on, and say how to talk to them",
        style("Done:").bold(),
        processes.len()
    );
}
