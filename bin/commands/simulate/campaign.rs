//! `tidings simulate FILE…` and `tidings simulate swarm`

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidings_gateway::duration;
use tidings_sim::campaign::statistics::Mean;
use tidings_sim::campaign::store::Store;
use tidings_sim::campaign::{Campaign, Run, reached, seeds};
use tidings_sim::run::Verdict;

use super::{RunArguments, bar, failed, jobs, read_text};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, Table, count, say};

/// A swarm of so many seeds must have reached every kind of fault and every rare branch.
const SEEDS_THAT_REACH: usize = 100;
/// Seeds of the swarm unless told otherwise.
const SWARM: std::ops::RangeInclusive<u64> = 1..=200;
/// Longest virtual time of a run.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);
/// Most failed runs that are told of one by one.
const FAILED_MAX: usize = 20;

/// Runs scenario files.
pub(super) fn files(
    files: &[PathBuf],
    set: &[String],
    run: &RunArguments,
    format: Format,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let texts = files.iter().map(|file| Ok((file.display().to_string(), read_text(file)?)));
    let texts = texts.collect::<Result<Vec<_>, Failure>>()?;
    let campaign = Campaign::read(&texts, set, range(run)?)
        .map_err(|error| Failure::usage(error.to_string()))?;
    let mut words: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    words.extend(set.iter().map(|set| format!("--set '{set}'")));
    let again = format!("tidings simulate {}", words.join(" "));
    execute(&campaign, run, format, &again, stop).map(drop)
}

/// Runs seeds of the swarm.
pub(super) fn swarm(
    duration: Option<Duration>,
    run: &RunArguments,
    format: Format,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let mut again = "tidings simulate swarm".to_string();
    let mut micros = None;
    if let Some(duration) = duration {
        let text = duration::format(duration);
        if duration.is_zero() || duration > DURATION_MAX {
            return Err(Failure::usage(format!(
                "--duration {text}: a run takes more than nothing and at most {} days",
                DURATION_MAX.as_secs() / 86_400
            )));
        }
        again = format!("{again} --duration {text}");
        micros = u64::try_from(duration.as_micros()).ok();
    }
    let campaign = Campaign::swarm(range(run)?.unwrap_or(SWARM), micros);
    let runs = execute(&campaign, run, format, &again, stop)?;
    let reached = reached(&runs);
    if format == Format::Table {
        for (what, times) in reached.iter() {
            say!("{:>14}  {what}", count(times));
        }
    }
    let missing = reached.missing();
    if runs.len() < SEEDS_THAT_REACH || missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::Unreached,
        format!(
            "these were never reached, so nothing is proved about them: {}",
            missing.join(", ")
        ),
    ))
}

fn range(run: &RunArguments) -> Result<Option<std::ops::RangeInclusive<u64>>, Failure> {
    let parse = |text: &String| {
        seeds(text).ok_or_else(|| {
            Failure::usage(format!(
                "--seeds {text:?} is no range of seeds: write the first and the last, such as 1..200"
            ))
        })
    };
    run.seeds.as_ref().map(parse).transpose()
}

/// Runs a campaign, tells of it, and returns its runs; an error when any of them failed.
fn execute(
    campaign: &Campaign,
    arguments: &RunArguments,
    format: Format,
    again: &str,
    stop: &AtomicBool,
) -> Result<Vec<Run>, Failure> {
    let refused =
        |error: tidings_sim::campaign::store::StoreError| Failure::usage(error.to_string());
    let opened = arguments.out.as_ref().map(|folder| Store::open(folder, campaign));
    let (mut store, found) = opened.transpose().map_err(refused)?.unzip();
    let mut runs: Vec<Run> = found.unwrap_or_default();
    runs.retain(|run| campaign.seeds.contains(&run.seed) && run.point < campaign.points.len());
    let known: std::collections::BTreeSet<(usize, u64)> =
        runs.iter().map(|run| (run.point, run.seed)).collect();
    let wanted: Vec<(usize, u64)> = campaign.runs().filter(|run| !known.contains(run)).collect();
    let bar = bar(campaign.len() as u64, "{bar:40} {pos} of {len} runs, {msg}{eta} left");
    bar.set_position(runs.len() as u64);
    let (began, before) = (Instant::now(), runs.len());
    let (mut problem, mut told) = (None, 0);
    campaign.run(&wanted, jobs(arguments.jobs), |run, failure| {
        let written = store.as_mut().map_or(Ok(()), |store| store.add(&run));
        let mut at = None;
        if let (Some(store), Some(failure), Ok(())) = (&store, &failure, &written) {
            match store.fail(&run, failure) {
                Ok(folder) => at = Some(folder),
                Err(error) => problem = Some(error.to_string()),
            }
        }
        if let Err(error) = written {
            problem = Some(error.to_string());
        }
        if run.verdict != Verdict::Ok {
            told += 1;
            if told <= FAILED_MAX {
                let label = campaign.points[run.point].label();
                let replay = match at {
                    Some(folder) => format!("tidings simulate replay {}", folder.display()),
                    None => format!("{again} --seeds {}", run.seed),
                };
                let (seed, verdict, why) = (run.seed, run.verdict.word(), &run.why);
                bar.suspend(|| {
                    eprintln!("{label}, seed {seed}, {verdict}: {why}\n  replay: {replay}");
                });
            }
            bar.set_message(format!("{told} failed, "));
        }
        runs.push(run);
        bar.inc(1);
        problem.is_none() && !stop.load(Ordering::Relaxed)
    });
    bar.finish_and_clear();
    if let Some(problem) = problem {
        return Err(Failure::usage(problem));
    }
    if runs.len() < campaign.len() {
        let (done, all) = (runs.len(), campaign.len());
        let resume = if store.is_some() { "; the same command goes on from there" } else { "" };
        return Err(Failure::interrupted(&format!("a signal after {done} of {all} runs{resume}")));
    }
    runs.sort_by_key(|run| (run.point, run.seed));
    if let Some(store) = &store {
        store.finish(campaign, &runs).map_err(refused)?;
    }
    tell(campaign, &runs, format)?;
    if format == Format::Table {
        let simulated: f64 = runs[..].iter().map(|run| run.time as f64 / 1e6).sum();
        let (took, fresh) = (began.elapsed().as_secs_f64(), runs.len() - before);
        if fresh == runs.len() {
            let jobs = jobs(arguments.jobs).min(campaign.len());
            let pace = simulated / took;
            say!(
                "{fresh} runs on {jobs} threads: {simulated:.0} s simulated in {took:.1} s, {pace:.0} \
                 times as fast as real time"
            );
        } else {
            say!("{fresh} runs now, {before} were there already");
        }
        if let Some(folder) = &arguments.out {
            say!("report: {}", folder.join("report.html").display());
        }
    }
    let bad = runs.iter().filter(|run| run.verdict != Verdict::Ok).count();
    if bad > 0 {
        return Err(failed(format!("{bad} of {} runs failed", runs.len())));
    }
    Ok(runs)
}

/// One line per point, or the runs as documents.
fn tell(campaign: &Campaign, runs: &[Run], format: Format) -> Result<(), Failure> {
    if format != Format::Table {
        output::documents(format, runs)?;
        return Ok(());
    }
    let heading = ["scenario", "runs", "ok", "converged", "p50", "p99", "B/s per peer", "lost"];
    let mut table = Table::new(&heading);
    for (number, point) in campaign.points.iter().enumerate() {
        let of = || runs.iter().filter(|run| run.point == number);
        let mean = |value: &dyn Fn(&Run) -> Option<f64>| {
            Mean::of(&of().filter_map(value).collect::<Vec<f64>>())
        };
        let seconds = |mean: Option<Mean>| {
            let Some(Mean { mean, interval, .. }) = mean else { return "–".to_owned() };
            if mean < 1.0 {
                return format!("{:.1} ± {:.1} ms", mean * 1e3, interval * 1e3);
            }
            format!("{mean:.1} ± {interval:.1} s")
        };
        let at = |which: usize| {
            seconds(mean(&|run| run.propagation[which].map(|micros| micros as f64 / 1e6)))
        };
        table.row([
            point.label(),
            of().count().to_string(),
            of().filter(|run| run.verdict == Verdict::Ok).count().to_string(),
            seconds(mean(&|run| run.convergence.map(|micros| micros as f64 / 1e6))),
            at(0),
            at(2),
            count(mean(&|run| Some(run.traffic as f64)).map_or(0, |mean| mean.mean as u64)),
            count(of().map(|run| run.writes.lost).sum()),
        ]);
    }
    table.print()?;
    Ok(())
}
