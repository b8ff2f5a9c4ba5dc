//! Means over seeds and how sure they are.

/// The mean of some values, and half of its 95 % interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    /// How many values.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// The true mean is this close to it in 95 of 100 campaigns; 0 with a single value.
    pub interval: f64,
}

/// Quantiles of Student's t distribution, two-sided 95 %, for 1 to 30 degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

impl Mean {
    /// The mean of some values; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Self { count, mean, interval: 0.0 });
        }
        let squares = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
        let deviation = (squares / (count - 1) as f64).sqrt();
        let quantile = STUDENT.get(count - 2).copied().unwrap_or(1.96);
        Some(Self { count, mean, interval: quantile * deviation / (count as f64).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_says_how_sure_it_is() {
        assert_eq!(Mean::of(&[]), None);
        assert_eq!(Mean::of(&[3.0]), Some(Mean { count: 1, mean: 3.0, interval: 0.0 }));
        // Two values: 12.706 times the standard error, which is half of their distance.
        let two = Mean::of(&[1.0, 3.0]).expect("there are values");
        assert!((two.mean - 2.0).abs() < 1e-12 && (two.interval - 12.706).abs() < 1e-9, "{two:?}");
        let same = Mean::of(&[5.0; 40]).expect("there are values");
        assert!(same.interval.abs() < 1e-12);
    }
}
