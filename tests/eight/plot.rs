//! The picture: for each definition, how many live copies its databases have over time.

use std::fmt::Write as _;

use super::user::Sample;

const LEFT: f64 = 130.0;
const WIDTH: f64 = 720.0;
const PANEL: f64 = 92.0;
const GAP: f64 = 26.0;
const TOP: f64 = 62.0;

/// Something that happens from one second to another.
pub(crate) struct Moment {
    name: &'static str,
    from: u64,
    to: u64,
}

impl Moment {
    pub(crate) fn new(name: &'static str, from: u64, to: u64) -> Self {
        Self { name, from, to }
    }
}

/// Draws it as SVG: the band is from the least to the most copies of any database of the definition, the line
/// is their mean, the dashes are `min` and `max`.
pub(crate) fn plot(
    definitions: &[(&str, u64, u64)],
    samples: &[Sample],
    moments: &[Moment],
    end: u64,
) -> String {
    let x = |second: f64| LEFT + second / end as f64 * WIDTH;
    let height = TOP + definitions.len() as f64 * (PANEL + GAP) + 30.0;
    let width = LEFT + WIDTH + 30.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"20\" y=\"24\" font-size=\"15\" font-weight=\"600\">Live copies, as the first peer sees them</text>\n"
    );
    let bottom = height - 30.0 - GAP;
    for moment in moments {
        let (from, to) = (x(moment.from as f64), x(moment.to as f64));
        let _ = writeln!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#f3e9d2\"/>\n\
             <text x=\"{from:.1}\" y=\"{:.1}\" fill=\"#7a5c12\">{}</text>",
            (to - from).max(1.5),
            bottom - TOP,
            TOP - 8.0,
            moment.name
        );
    }
    for (index, (name, min, max)) in definitions.iter().enumerate() {
        let top = TOP + index as f64 * (PANEL + GAP);
        let own: Vec<&Sample> = samples.iter().filter(|sample| sample.name == *name).collect();
        let highest = own.iter().map(|sample| sample.most).max().unwrap_or(0).max(*max) + 1;
        let y = |copies: f64| top + PANEL * (1.0 - copies / highest as f64);
        let _ = writeln!(
            svg,
            "<text x=\"20\" y=\"{:.1}\" font-weight=\"600\">{name}/*</text>\n\
             <text x=\"20\" y=\"{:.1}\" fill=\"#555\">{min} to {max}</text>",
            top + 18.0,
            top + 36.0
        );
        for copies in 0..=highest {
            if highest > 6 && copies % 2 == 1 {
                continue;
            }
            let at = y(copies as f64);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#777\">{copies}</text>",
                LEFT + WIDTH,
                LEFT - 8.0,
                at + 4.0
            );
        }
        let point = |sample: &Sample, copies: f64| {
            format!("{:.1},{:.1}", x(sample.at as f64 / 1e3), y(copies))
        };
        let upper = own.iter().map(|sample| point(sample, sample.most as f64));
        let lower = own.iter().rev().map(|sample| point(sample, sample.least as f64));
        let band: Vec<String> = upper.chain(lower).collect();
        let mean: Vec<String> = own.iter().map(|sample| point(sample, sample.mean)).collect();
        let _ = writeln!(
            svg,
            "<polygon points=\"{}\" fill=\"#4a7fb5\" fill-opacity=\"0.28\"/>\n\
             <polyline points=\"{}\" fill=\"none\" stroke=\"#1f4e7a\" stroke-width=\"1.6\"/>",
            band.join(" "),
            mean.join(" ")
        );
        for bound in [min, max] {
            let at = y(*bound as f64);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#b5504a\" stroke-dasharray=\"5 4\"/>",
                LEFT + WIDTH
            );
        }
    }
    for minute in 0..=end / 60 {
        let at = x((minute * 60) as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#777\">{minute} min</text>",
            bottom + 18.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
