//! `tidings bench`: what three peers on this machine sustain, measured over their doors.
//!
//! Two questions: how fast can one peer be written to while both others keep up, and how long does a
//! single write take to arrive at the others when nothing else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tidings::Definition;
use tidings_gateway::client::{Changes, Write};
use tidings_gateway::json::{Operation, Row};
use tidings_gateway::{Client, duration};
use tokio::task::JoinSet;

use super::Context;
use crate::cluster::{Cluster, Process, agree, start_all, survey, wait_for};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, Table, count, say};
use crate::signals;

const NAMES: [&str; 3] = ["a", "b", "c"];
/// How long the others may take to have everything after the last write.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long peers may take to find each other by mDNS before they are given addresses.
const DISCOVERY: Duration = Duration::from_secs(4);
/// Batches on their way at once, and writes in each: what `tidings import` does.
const BATCHES: usize = 4;
const BATCH_WRITES: usize = 500;
/// A pause between measured single writes, so that each meets idle peers.
const IDLE: Duration = Duration::from_millis(5);

/// Starts three peers on this machine and measures them.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// How long each rate is measured.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse)]
    duration: Duration,
    /// Bytes of each value.
    #[arg(long, default_value_t = 100)]
    value: usize,
    /// Connections that write single keys at once.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Single writes whose way to the others is measured.
    #[arg(long, default_value_t = 500)]
    samples: usize,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
}

fn figure(what: impl Into<String>, value: f64, unit: &'static str) -> Figure {
    Figure { what: what.into(), value, unit }
}

impl Bench {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let format = context.format_of_documents()?;
        let stop = signals::stop(false)
            .map_err(|error| Failure::internal(format!("no signals can be heard: {error}")))?;
        let figures = tokio::select! {
            figures = self.measure(self.duration) => figures?,
            why = stop => return Err(Failure::interrupted(why)),
        };
        if format != Format::Table {
            output::documents(format, &figures)?;
            return Ok(());
        }
        if cfg!(debug_assertions) {
            say!("this is a debug build: the figures say little; use cargo run --release");
        }
        let mut table = Table::new(&["what", "value", "unit"]);
        for figure in figures {
            let value = if figure.value < 100.0 {
                format!("{:.2}", figure.value)
            } else {
                count(figure.value.round() as u64)
            };
            table.row([figure.what, value, figure.unit.to_owned()]);
        }
        table.print()?;
        Ok(())
    }

    async fn measure(&self, duration: Duration) -> Result<Vec<Figure>, Failure> {
        // Hidden off a terminal.
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner.set_message("starting three peers");
        let cluster = Cluster::new()?;
        let (processes, _, found) = start_all(&cluster, &NAMES, DISCOVERY).await?;
        let mut figures = vec![figure("peers found each other after", millis(found), "ms")];
        let definition = Definition::new("bench", "glob:bench/*", 3, 3);
        processes[0].client.apply(vec![definition]).await?;
        spinner.set_message("measuring single writes to idle peers");
        self.latency(&processes, &mut figures).await?;
        let singles =
            Load { path: "bench/singles", writers: self.connections, batch: 1, value: self.value };
        spinner.set_message("measuring many single writes");
        singles.run(&processes, duration, &mut figures).await?;
        let batches = Load {
            path: "bench/batches",
            writers: BATCHES,
            batch: BATCH_WRITES,
            value: self.value,
        };
        spinner.set_message("measuring batches");
        batches.run(&processes, duration, &mut figures).await?;
        spinner.finish_and_clear();
        Ok(figures)
    }

    /// Writes one key at a time at the first peer, and waits until both others' watches tell of it.
    async fn latency(
        &self,
        processes: &[Process],
        figures: &mut Vec<Figure>,
    ) -> Result<(), Failure> {
        let path = "bench/latency";
        let everyone: Vec<&Process> = processes.iter().collect();
        let client = &processes[0].client;
        client.put(path, b"first", "", &Write::default()).await?;
        let same =
            wait_for(PATIENCE, async || Ok(agree(&survey(&everyone, path).await?).then_some(())));
        if same.await?.is_none() {
            return Err(late(path));
        }
        let mut second = processes[1].client.watch(path, b"sample/", None).await?;
        let mut third = processes[2].client.watch(path, b"sample/", None).await?;
        let (mut writes, mut arrivals) = (Vec::new(), Vec::new());
        let value = vec![b'x'; self.value];
        for number in 0..self.samples {
            let key = format!("sample/{number:08}").into_bytes();
            let asked = Instant::now();
            let write = async {
                client.put(path, &key, value.clone(), &Write::default()).await?;
                Ok::<_, Failure>(asked.elapsed())
            };
            let (wrote, second, third) = tokio::join!(
                write,
                arrival(&mut second, &key, asked),
                arrival(&mut third, &key, asked)
            );
            writes.push(wrote?);
            arrivals.extend([second?, third?]);
            tokio::time::sleep(IDLE).await;
        }
        for (what, mut times) in
            [("write over HTTP", writes), ("write until the others' watch", arrivals)]
        {
            times.sort_unstable();
            for (name, share) in [("p50", 0.50), ("p99", 0.99)] {
                figures.push(figure(
                    format!("{what}, {name}"),
                    millis(percentile(&times, share)),
                    "ms",
                ));
            }
        }
        Ok(())
    }
}

/// When a watch told of a key, after the write was asked for.
async fn arrival(changes: &mut Changes, key: &[u8], asked: Instant) -> Result<Duration, Failure> {
    loop {
        let change =
            tokio::time::timeout(PATIENCE, changes.next()).await.map_err(|_| late("a watch"))?;
        match change? {
            Some(Operation::Put(row)) if row.key == key => return Ok(asked.elapsed()),
            Some(_) => {}
            None => return Err(Failure::internal("a watch ended")),
        }
    }
}

/// Writers at the first peer.
struct Load {
    path: &'static str,
    writers: usize,
    batch: usize,
    value: usize,
}

impl Load {
    async fn run(
        &self,
        processes: &[Process],
        duration: Duration,
        figures: &mut Vec<Figure>,
    ) -> Result<(), Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let started = Instant::now();
        let mut writers = JoinSet::new();
        for writer in 0..self.writers {
            let client = Client::new(&processes[0].ready.http)?;
            let (stop, written) = (Arc::clone(&stop), Arc::clone(&written));
            let (path, batch) = (self.path, self.batch);
            let value = vec![b'x'; self.value];
            writers.spawn(async move {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut rows = Vec::with_capacity(batch);
                    for _ in 0..batch {
                        rows.push((format!("{writer:03}/{number:010}"), value.clone()));
                        number += 1;
                    }
                    write(&client, path, rows).await?;
                    written.fetch_add(batch as u64, Ordering::Relaxed);
                }
                Ok::<_, Failure>(())
            });
        }
        let mut behind = 0;
        while started.elapsed() < duration {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let counted = written.load(Ordering::Relaxed);
            for status in survey(&[&processes[1], &processes[2]], self.path).await?.iter().flatten()
            {
                behind = behind.max(counted.saturating_sub(status.entries));
            }
        }
        stop.store(true, Ordering::Relaxed);
        while let Some(writer) = writers.join_next().await {
            writer.map_err(|error| Failure::internal(error.to_string()))??;
        }
        let took = started.elapsed();
        let ended = Instant::now();
        let everyone: Vec<&Process> = processes.iter().collect();
        let total = written.load(Ordering::Relaxed);
        let same = wait_for(PATIENCE, async || {
            let statuses = survey(&everyone, self.path).await?;
            let whole = statuses.iter().flatten().all(|status| status.entries == total);
            Ok((whole && agree(&statuses)).then_some(()))
        });
        if same.await?.is_none() {
            return Err(late(self.path));
        }
        let what = if self.batch == 1 {
            format!("single writes, {} connections", self.writers)
        } else {
            format!("batches of {}, {} at once", self.batch, self.writers)
        };
        let everywhere = took + ended.elapsed();
        figures.push(figure(format!("{what}: written at one"), rate(total, took), "writes/s"));
        figures.push(figure(format!("{what}: at all three"), rate(total, everywhere), "writes/s"));
        figures.push(figure(
            format!("{what}: equal after the last"),
            millis(ended.elapsed()),
            "ms",
        ));
        figures.push(figure(format!("{what}: furthest behind"), behind as f64, "writes"));
        Ok(())
    }
}

async fn write(client: &Client, path: &str, rows: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    let options = Write::default();
    match <[_; 1]>::try_from(rows) {
        Ok([(key, value)]) => {
            client.put(path, key.as_bytes(), value, &options).await?;
        }
        Err(rows) => {
            let mut lines = Vec::new();
            for (key, value) in rows {
                output::line(&mut lines, &Operation::Put(Row::new(key, value)))?;
            }
            client.batch_lines(path, lines, &options, false).await?;
        }
    }
    Ok(())
}

fn late(what: &str) -> Failure {
    Failure::new(
        Code::TimedOut,
        format!("{what}: the peers were not equal within {} s", PATIENCE.as_secs()),
    )
}

fn rate(number: u64, time: Duration) -> f64 {
    number as f64 / time.as_secs_f64()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The value that a share of sorted times does not exceed.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 0.99), Duration::from_millis(99));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
