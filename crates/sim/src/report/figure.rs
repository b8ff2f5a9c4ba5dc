//! Figures as SVG: lines with bands, stacked areas, and bars with the runs behind them.

use std::fmt::Write as _;

use super::axis::{Unit, escape, show_time, ticks, time_ticks};
use crate::campaign::statistics::Mean;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 34.0;
/// A bar and the space below it.
const ROW: f64 = 34.0;

/// A line: seconds, and means.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) color: usize,
    pub(super) points: Vec<(f64, Mean)>,
    pub(super) dashed: bool,
}

/// Lines over time.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) unit: Unit,
    pub(super) lines: Vec<Line>,
    /// When faults and users end.
    pub(super) end: Option<f64>,
    /// The upper end of the axis, where it is known.
    pub(super) top: Option<f64>,
}

/// Areas on top of each other, over time.
pub(super) struct Stack<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) unit: Unit,
    pub(super) layers: Vec<Line>,
    pub(super) end: Option<f64>,
}

/// One of several things that are compared.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) mean: Mean,
    /// One value per run.
    pub(super) values: Vec<f64>,
}

/// Bars side by side.
pub(super) struct Bars<'a> {
    pub(super) title: &'a str,
    pub(super) subtitle: &'a str,
    pub(super) unit: Unit,
    pub(super) rows: Vec<Bar>,
}

/// Where values stand in the figure.
struct Plane {
    last: f64,
    top: f64,
}

impl Plane {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.last.max(1e-9)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - (value / self.top).min(1.0))
    }

    fn frame(&self, out: &mut String, unit: Unit, end: Option<f64>) -> std::fmt::Result {
        for value in
            ticks(self.top, unit == Unit::Count).into_iter().filter(|v| *v <= self.top * 1.001)
        {
            let (y, label) = (self.y(value), unit.show(value));
            write!(
                out,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0
            )?;
        }
        for time in time_ticks(self.last) {
            let (x, label) = (self.x(time), show_time(time));
            let anchor = if x > WIDTH - RIGHT - 20.0 { "end" } else { "middle" };
            let x = if anchor == "end" { WIDTH - 2.0 } else { x };
            write!(
                out,
                "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{label}</text>",
                HEIGHT - BOTTOM + 18.0
            )?;
        }
        if let Some(end) = end.filter(|end| *end < self.last * 0.999) {
            let x = self.x(end);
            write!(
                out,
                "<rect class=\"after\" x=\"{x:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\
                 <line class=\"end\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>",
                self.x(self.last) - x,
                HEIGHT - TOP - BOTTOM,
                HEIGHT - BOTTOM
            )?;
        }
        Ok(())
    }

    /// The path along some points.
    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (at, value) in points {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(at), self.y(value));
        }
        path
    }
}

fn last_of(lines: &[Line]) -> f64 {
    lines.iter().filter_map(|line| line.points.last()).map(|(at, _)| *at).fold(0.0, f64::max)
}

/// The figure around a drawing: title, drawing, legend.
fn framed(
    title: &str,
    subtitle: &str,
    height: f64,
    drawing: &str,
    legend: &str,
    note: Option<&str>,
) -> String {
    let (title, subtitle) = (escape(title), escape(subtitle));
    let note = note.map_or_else(String::new, |note| format!("<p class=\"note\">{note}</p>"));
    format!(
        "<figure><figcaption><b>{title}</b><span>{subtitle}</span></figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\">{drawing}</svg>\
         <p class=\"legend\">{legend}</p>{note}</figure>"
    )
}

fn legend_of(lines: &[Line]) -> String {
    let mut legend = String::new();
    if lines.len() > 1 {
        for Line { name, color, dashed, .. } in lines {
            let dashed = if *dashed { " dashed" } else { "" };
            let name = escape(name);
            let _ = write!(legend, "<span><i class=\"key c{color}{dashed}\"></i>{name}</span>");
        }
    }
    legend
}

const AFTER: &str = "Shaded: faults and writes have ended.";

impl Chart<'_> {
    /// The figure.
    pub(super) fn draw(&self) -> String {
        let last = last_of(&self.lines);
        let highest = self
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|(_, mean)| mean.mean + mean.interval))
            .fold(0.0, f64::max);
        let top = self.top.unwrap_or_else(|| {
            // Some room above, so that a line does not run along the edge.
            ticks(highest * 1.02, self.unit == Unit::Count).last().copied().unwrap_or(1.0)
        });
        let plane = Plane { last, top };
        let mut out = String::new();
        // Writing to a text does not fail.
        let _ = plane.frame(&mut out, self.unit, self.end);
        for Line { color, points, dashed, .. } in &self.lines {
            if points.iter().any(|(_, mean)| mean.interval > 0.0) {
                let above = points.iter().map(|(at, m)| (*at, (m.mean + m.interval).min(top)));
                let below =
                    points.iter().rev().map(|(at, m)| (*at, (m.mean - m.interval).max(0.0)));
                let band = plane.path(above.chain(below));
                let _ = write!(out, "<path class=\"band c{color}\" d=\"{band}Z\"/>");
            }
            let path = plane.path(points.iter().map(|(at, mean)| (*at, mean.mean)));
            let dashed = if *dashed { " dashed" } else { "" };
            let _ = write!(out, "<path class=\"line c{color}{dashed}\" d=\"{path}\"/>");
        }
        let note = self.end.is_some_and(|end| end < last * 0.999).then_some(AFTER);
        framed(self.title, self.subtitle, HEIGHT, &out, &legend_of(&self.lines), note)
    }
}

impl Stack<'_> {
    /// The figure; nothing where there is nothing to show.
    pub(super) fn draw(mut self) -> String {
        self.layers.retain(|layer| layer.points.iter().any(|(_, mean)| mean.mean > 0.0));
        let Some(first) = self.layers.first() else { return String::new() };
        let times: Vec<f64> = first.points.iter().map(|(at, _)| *at).collect();
        let mut sums = vec![0.0; times.len()];
        let mut edges = vec![sums.clone()];
        for layer in &self.layers {
            for (sum, (_, mean)) in sums.iter_mut().zip(&layer.points) {
                *sum += mean.mean;
            }
            edges.push(sums.clone());
        }
        let highest = sums.iter().copied().fold(0.0, f64::max);
        let top = ticks(highest, false).last().copied().unwrap_or(1.0);
        let last = last_of(&self.layers);
        let plane = Plane { last, top };
        let mut out = String::new();
        let _ = plane.frame(&mut out, self.unit, self.end);
        for (layer, pair) in self.layers.iter().zip(edges.windows(2)) {
            let above = times.iter().copied().zip(pair[1].iter().copied());
            let below = times.iter().copied().zip(pair[0].iter().copied()).rev();
            let path = plane.path(above.chain(below));
            let _ = write!(out, "<path class=\"area c{}\" d=\"{path}Z\"/>", layer.color);
        }
        let note = self.end.is_some_and(|end| end < last * 0.999).then_some(AFTER);
        framed(self.title, self.subtitle, HEIGHT, &out, &legend_of(&self.layers), note)
    }
}

impl Bars<'_> {
    /// The figure.
    pub(super) fn draw(&self) -> String {
        let labels = self.rows.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let left = (labels as f64 * 6.6 + 12.0).clamp(20.0, 240.0);
        let highest = self
            .rows
            .iter()
            .flat_map(|bar| bar.values.iter().copied().chain([bar.mean.mean + bar.mean.interval]));
        let steps = ticks(highest.fold(0.0, f64::max), self.unit == Unit::Count);
        let top = steps.last().copied().unwrap_or(1.0);
        let height = TOP + ROW * self.rows.len() as f64 + BOTTOM;
        let x = |value: f64| left + (WIDTH - left - RIGHT - 20.0) * value / top;
        let mut out = String::new();
        for step in steps {
            let (at, label) = (x(step), self.unit.show(step));
            let _ = write!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                 <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
                height - BOTTOM,
                height - BOTTOM + 18.0
            );
        }
        for (row, bar) in self.rows.iter().enumerate() {
            let middle = TOP + ROW * (row as f64 + 0.5);
            let _ = draw_row(&mut out, bar, middle, left, &x);
        }
        let legend = "<span><i class=\"dot\"></i>a run</span><span><i class=\"mark\"></i>mean and \
                      its 95 % interval</span>";
        framed(self.title, self.subtitle, height, &out, legend, None)
    }
}

fn draw_row(
    out: &mut String,
    bar: &Bar,
    middle: f64,
    left: f64,
    x: &impl Fn(f64) -> f64,
) -> std::fmt::Result {
    let Bar { label, mean, values } = bar;
    let shown: String = if label.chars().count() > 36 {
        label.chars().take(35).chain(['…']).collect()
    } else {
        label.clone()
    };
    write!(
        out,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        left - 8.0,
        middle + 4.0,
        escape(&shown)
    )?;
    for (number, value) in values.iter().enumerate() {
        // Spread up and down by a fixed pattern, so that equal values are seen.
        let lift = (number % 5) as f64 * 3.4 - 6.8;
        write!(
            out,
            "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.4\"/>",
            x(*value),
            middle + lift
        )?;
    }
    let (low, high) = ((mean.mean - mean.interval).max(0.0), mean.mean + mean.interval);
    write!(
        out,
        "<line class=\"interval\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
        x(low),
        x(high)
    )?;
    let at = x(mean.mean);
    write!(
        out,
        "<line class=\"mean\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
        middle - 10.0,
        middle + 10.0
    )
}
