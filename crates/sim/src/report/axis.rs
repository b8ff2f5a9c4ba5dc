//! Axes: round numbers, and values with their units in words.

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// A number of things.
    Count,
    /// A share of a whole.
    Share,
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
}

impl Unit {
    /// A value in words.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            // What is below 10,000 is as short without a prefix.
            Self::Count if value < 1e4 => digits(value),
            Self::Count => scaled(value, &[(1e9, " G"), (1e6, " M"), (1e3, " k")], ""),
            Self::Share => format!("{} %", digits(value * 100.0)),
            Self::Seconds => show_time(value),
            Self::Millis => show_time(value / 1e3),
            Self::Bytes => scaled(value, &[(1e9, " GB"), (1e6, " MB"), (1e3, " kB")], " B"),
            Self::BytesPerSecond => {
                scaled(value, &[(1e9, " GB/s"), (1e6, " MB/s"), (1e3, " kB/s")], " B/s")
            }
        }
    }
}

/// Seconds in words.
pub(super) fn show_time(seconds: f64) -> String {
    match seconds {
        s if s >= 3.0 * 86_400.0 => format!("{} d", digits(s / 86_400.0)),
        s if s >= 2.0 * 3_600.0 => format!("{} h", digits(s / 3_600.0)),
        s if s >= 300.0 => format!("{} min", digits(s / 60.0)),
        s if s >= 1.0 || s == 0.0 => format!("{} s", digits(s)),
        s if s >= 1e-3 => format!("{} ms", digits(s * 1e3)),
        s => format!("{} µs", digits(s * 1e6)),
    }
}

fn scaled(value: f64, units: &[(f64, &str)], plain: &str) -> String {
    match units.iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{}{name}", digits(value / unit)),
        None => format!("{}{plain}", digits(value)),
    }
}

/// About three digits that count.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Round numbers from 0 to at least `top`: about five of them.
pub(super) fn ticks(top: f64, whole: bool) -> Vec<f64> {
    let top = if top > 0.0 { top } else { 1.0 };
    let rough = top / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|m| m * power).find(|step| *step >= rough);
    let mut step = step.unwrap_or(rough);
    if whole {
        step = step.max(1.0).ceil();
    }
    let count = (top / step - 1e-9).ceil() as usize;
    (0..=count).map(|n| n as f64 * step).collect()
}

/// Round times from 0 up to `last` seconds.
pub(super) fn time_ticks(last: f64) -> Vec<f64> {
    const STEPS: [f64; 19] = [
        0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0,
        1_800.0, 3_600.0, 7_200.0, 21_600.0, 86_400.0,
    ];
    let step = STEPS.iter().copied().find(|step| last / step <= 8.0).unwrap_or(last / 8.0);
    (0..=(last / step) as usize).map(|n| n as f64 * step).collect()
}

/// Text as it may stand in the page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        for (unit, value, text) in [
            (Unit::Share, 0.5, "50 %"),
            (Unit::Seconds, 0.0123, "12.3 ms"),
            (Unit::Seconds, 600.0, "10 min"),
            (Unit::BytesPerSecond, 1_234_567.0, "1.23 MB/s"),
            (Unit::Count, 5_000.0, "5000"),
            (Unit::Count, 20_000.0, "20 k"),
        ] {
            assert_eq!(unit.show(value), text);
        }
        assert_eq!(ticks(0.9, false), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(3.0, true), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(escape("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
