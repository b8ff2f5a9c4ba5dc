//! The report of a campaign: one page that needs nothing from elsewhere, with figures drawn here.
//!
//! Lines are means over the seeds, and the bands around them hold the true mean in 95 of 100
//! campaigns. Colours follow the reader's preference for light or dark.

mod axis;
mod figure;
mod series;

use std::fmt::Write as _;

use crate::campaign::statistics::Mean;
use crate::campaign::{Campaign, Point, Run, Source};
use crate::measure::KINDS;
use crate::run::Verdict;
use crate::scenario::SECOND;
use axis::{Unit, escape};
use figure::{Bar, Bars, Chart, Line, Stack};
use series::{over_time, settled};

/// Most points that share a figure over time; more are told apart by bars only.
const LINES_MAX: usize = 6;
/// Most points whose bars are drawn.
const BARS_MAX: usize = 24;
/// Most failed runs that are listed.
const FAILED_MAX: usize = 50;

const STYLE: &str = include_str!("report/style.css");

/// Everything that the page tells of a point.
struct Told<'a> {
    point: &'a Point,
    runs: Vec<&'a Run>,
}

impl Told<'_> {
    fn mean(&self, value: impl Fn(&Run) -> Option<f64>) -> Option<Mean> {
        let values: Vec<f64> = self.runs.iter().filter_map(|run| value(run)).collect();
        Mean::of(&values)
    }

    /// When users and faults end, where that is the same for all seeds.
    fn end(&self) -> Option<f64> {
        match &self.point.source {
            Source::Scenario(scenario) => Some(scenario.duration as f64 / SECOND as f64),
            Source::Swarm(_) => None,
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / SECOND as f64
}

/// The page.
pub fn page(campaign: &Campaign, runs: &[Run]) -> String {
    let told: Vec<Told<'_>> = campaign
        .points
        .iter()
        .enumerate()
        .map(|(number, point)| Told {
            point,
            runs: runs.iter().filter(|run| run.point == number).collect(),
        })
        .collect();
    let mut names: Vec<&str> = campaign.points.iter().map(|p| p.name.as_str()).collect();
    names.dedup();
    let title = names.join(", ");
    let mut body = String::new();
    // Writing to a text does not fail.
    let _ = head(&mut body, &title, campaign, runs);
    let _ = summary(&mut body, &told);
    let _ = failures(&mut body, campaign, runs);
    body.push_str("<div class=\"figures\">");
    if told.len() > 1 {
        across(&mut body, &told);
    }
    if told.len() <= LINES_MAX {
        for told in &told {
            if campaign.points.len() > 1 {
                let label = escape(&told.point.label());
                let _ = write!(body, "<h2>{label}</h2>");
            }
            one(&mut body, told);
        }
    }
    body.push_str("</div>");
    let title = escape(&title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}: simulation</title><style>{STYLE}</style></head>\
         <body><main>{body}</main></body></html>\n"
    )
}

fn head(out: &mut String, title: &str, campaign: &Campaign, runs: &[Run]) -> std::fmt::Result {
    write!(out, "<header><h1>{}</h1>", escape(title))?;
    for point in &campaign.points {
        if let Source::Scenario(scenario) = &point.source
            && !scenario.description.is_empty()
        {
            write!(out, "<p class=\"description\">{}</p>", escape(&scenario.description))?;
            break;
        }
    }
    let (from, upto) = (campaign.seeds.start(), campaign.seeds.end());
    let simulated = axis::show_time(runs.iter().map(|run| seconds(run.time)).sum());
    let peers = campaign.points.first().and_then(|point| match &point.source {
        Source::Scenario(scenario) => Some(format!("{} peers · ", scenario.count())),
        Source::Swarm(_) => None,
    });
    let version = env!("CARGO_PKG_VERSION");
    write!(
        out,
        "<p class=\"facts\">{}{} runs · seeds {from} to {upto} · {simulated} simulated · tidings \
         {version}</p><p class=\"verdicts\">",
        peers.filter(|_| campaign.points.len() == 1).unwrap_or_default(),
        runs.len()
    )?;
    for verdict in [Verdict::Ok, Verdict::Missed, Verdict::Broken, Verdict::Panicked] {
        let count = runs.iter().filter(|run| run.verdict == verdict).count();
        if count > 0 {
            let word = verdict.word();
            write!(out, "<span class=\"verdict {word}\">{count} {word}</span> ")?;
        }
    }
    write!(out, "</p></header>")
}

/// A mean in words, with its interval.
fn cell(mean: Option<Mean>, unit: Unit) -> String {
    match mean {
        None => "–".into(),
        Some(Mean { count: 1, mean, .. }) => unit.show(mean),
        Some(Mean { mean, interval, .. }) => {
            format!("{} <small>± {}</small>", unit.show(mean), unit.show(interval))
        }
    }
}

fn summary(out: &mut String, told: &[Told<'_>]) -> std::fmt::Result {
    write!(
        out,
        "<section><table><thead><tr><th>scenario</th><th>runs</th><th>ok</th>\
         <th>converged after</th><th>write to holder, p50</th><th>p99</th><th>sent per peer</th>\
         <th>writes acknowledged</th><th>lost</th></tr></thead><tbody>"
    )?;
    for told in told {
        let ok = told.runs.iter().filter(|run| run.verdict == Verdict::Ok).count();
        let class = if ok == told.runs.len() { "" } else { " class=\"bad\"" };
        let share = |run: &Run| {
            let all = run.writes.all();
            (all > 0).then(|| run.writes.acknowledged as f64 / all as f64)
        };
        write!(
            out,
            "<tr><th>{}</th><td>{}</td><td{class}>{ok}</td>",
            escape(&told.point.label()),
            told.runs.len()
        )?;
        let cells = [
            cell(told.mean(|run| run.convergence.map(seconds)), Unit::Seconds),
            cell(told.mean(|run| run.propagation[0].map(seconds)), Unit::Seconds),
            cell(told.mean(|run| run.propagation[2].map(seconds)), Unit::Seconds),
            cell(told.mean(|run| Some(run.traffic as f64)), Unit::BytesPerSecond),
            cell(told.mean(share), Unit::Share),
            cell(told.mean(|run| Some(run.writes.lost as f64)), Unit::Count),
        ];
        cells.iter().try_for_each(|cell| write!(out, "<td>{cell}</td>"))?;
        write!(out, "</tr>")?;
    }
    write!(
        out,
        "</tbody></table><p class=\"note\">Mean over the seeds ± half of its 95 % interval. \
         <b>Converged after</b>: from the end of faults and writes until all copies were equal and \
         complete. <b>Write to holder</b>: from the call until another complete copy has it. \
         <b>Lost</b>: acknowledged, then destroyed by faults that their durability does not \
         cover.</p></section>"
    )
}

fn failures(out: &mut String, campaign: &Campaign, runs: &[Run]) -> std::fmt::Result {
    let failed: Vec<&Run> = runs.iter().filter(|run| run.verdict != Verdict::Ok).collect();
    if failed.is_empty() {
        return Ok(());
    }
    write!(out, "<section><h2>Runs that failed</h2><ul class=\"failed\">")?;
    for run in failed.iter().take(FAILED_MAX) {
        let label = escape(&campaign.points[run.point].label());
        let (word, seed, why) = (run.verdict.word(), run.seed, escape(&run.why));
        write!(
            out,
            "<li><span class=\"verdict {word}\">{word}</span> {label}, seed {seed}: {why}</li>"
        )?;
    }
    if failed.len() > FAILED_MAX {
        write!(out, "<li>and {} more, in summary.csv</li>", failed.len() - FAILED_MAX)?;
    }
    write!(out, "</ul></section>")
}

/// Figures that set the points side by side.
fn across(out: &mut String, told: &[Told<'_>]) {
    type Value = fn(&Run) -> Option<f64>;
    let figures: [(&str, &str, Unit, Value); 4] = [
        ("Convergence", "after faults and writes end", Unit::Seconds, |run| {
            run.convergence.map(seconds)
        }),
        (
            "Write to holder, 99 of 100",
            "propagation of acknowledged writes",
            Unit::Seconds,
            |run| run.propagation[2].map(seconds),
        ),
        ("Traffic", "sent per peer", Unit::BytesPerSecond, |run| Some(run.traffic as f64)),
        ("Writes lost", "beyond what their durability covers", Unit::Count, |run| {
            Some(run.writes.lost as f64)
        }),
    ];
    for (title, subtitle, unit, value) in figures {
        let bars = told.iter().take(BARS_MAX).filter_map(|told| {
            let mean = told.mean(value)?;
            let values = told.runs.iter().filter_map(|run| value(run)).collect();
            Some(Bar { label: told.point.label(), mean, values })
        });
        let bars: Vec<Bar> = bars.collect();
        if bars.iter().any(|bar| bar.mean.mean > 0.0) {
            out.push_str(&Bars { title, subtitle, unit, rows: bars }.draw());
        }
    }
    if told.len() <= LINES_MAX {
        let lines = told.iter().enumerate().map(|(color, told)| Line {
            name: told.point.label(),
            color,
            points: settled(&told.runs, "equal_share"),
            dashed: false,
        });
        let chart = Chart {
            title: "Convergence over time",
            subtitle: "share of databases whose complete copies are all equal",
            unit: Unit::Share,
            lines: lines.collect(),
            end: told.first().and_then(Told::end),
            top: Some(1.0),
        };
        out.push_str(&chart.draw());
    }
}

/// Figures of one point.
fn one(out: &mut String, told: &Told<'_>) {
    let runs = &told.runs;
    let end = told.end();
    let line = |name: &str, color, series: &str| Line {
        name: name.into(),
        color,
        points: settled(runs, series),
        dashed: false,
    };
    let mut draw = |title, subtitle, unit, lines: Vec<Line>, top| {
        if lines.iter().any(|line| !line.points.is_empty()) {
            out.push_str(&Chart { title, subtitle, unit, lines, end, top }.draw());
        }
    };
    draw(
        "Convergence over time",
        "share of databases whose complete copies are all equal",
        Unit::Share,
        vec![line("equal", 0, "equal_share")],
        Some(1.0),
    );
    let mut copies = vec![
        line("most", 1, "copies_most"),
        line("least", 2, "copies_least"),
        line("mean", 0, "copies_mean"),
    ];
    copies.extend(bounds(told, runs));
    draw("Copies per database", "complete copies on running peers", Unit::Count, copies, None);
    let outside = vec![line("below min", 3, "below_min"), line("above max", 1, "above_max")];
    if outside.iter().flat_map(|line| &line.points).any(|(_, mean)| mean.mean > 0.0) {
        draw(
            "Databases outside of their bounds",
            "with fewer complete copies than min, or more than max",
            Unit::Count,
            outside,
            None,
        );
    }
    draw(
        "Write to holder",
        "time of an acknowledged write to each other complete copy",
        Unit::Millis,
        [("50 of 100", 0, "propagation_p50"), ("99 of 100", 3, "propagation_p99")]
            .map(|(name, color, series)| Line {
                name: name.into(),
                color,
                points: over_time(runs, series),
                dashed: false,
            })
            .into(),
        None,
    );
    let kinds = KINDS.iter().enumerate().map(|(color, kind)| Line {
        name: (*kind).into(),
        color,
        points: over_time(runs, &format!("bytes_{kind}")),
        dashed: false,
    });
    let stack = Stack {
        title: "Bytes by kind",
        subtitle: "sent by all peers together",
        unit: Unit::BytesPerSecond,
        layers: kinds.collect(),
        end,
    };
    out.push_str(&stack.draw());
    let mut draw = |title, subtitle, unit, lines: Vec<Line>| {
        if lines.iter().any(|line| !line.points.is_empty()) {
            out.push_str(&Chart { title, subtitle, unit, lines, end, top: None }.draw());
        }
    };
    draw("Peers", "that run", Unit::Count, vec![line("running", 0, "running_peers")]);
    draw(
        "Stored",
        "keys and values of all copies together",
        Unit::Bytes,
        vec![line("stored", 0, "stored_bytes")],
    );
    let values: Vec<f64> = runs.iter().filter_map(|run| run.convergence.map(seconds)).collect();
    if let Some(mean) = Mean::of(&values).filter(|_| values.len() > 2) {
        let bars = vec![Bar { label: String::new(), mean, values }];
        let (title, subtitle) = ("Convergence by seed", "each dot is a run");
        out.push_str(&Bars { title, subtitle, unit: Unit::Seconds, rows: bars }.draw());
    }
}

/// What the definitions ask for, where all ask for the same.
fn bounds(told: &Told<'_>, runs: &[&Run]) -> Vec<Line> {
    let Source::Scenario(scenario) = &told.point.source else { return Vec::new() };
    let [definition] = scenario.definitions.as_slice() else { return Vec::new() };
    let last = runs.iter().filter_map(|run| run.samples.last()).map(|(at, _)| *at).max();
    let level = |name: &str, copies: u32| {
        let mean = Mean { count: 1, mean: f64::from(copies), interval: 0.0 };
        let points = vec![(0.0, mean), (seconds(last.unwrap_or(0)), mean)];
        Line { name: format!("{name} {copies}"), color: 7, points, dashed: true }
    };
    let copies = definition.replication;
    vec![level("min", copies.min), level("max", copies.max)]
}
