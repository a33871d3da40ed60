//! Medians, ratios and how far they spread.

use serde_json::{Value, json};

/// Some measurements of one thing: the median, and the two ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The greatest.
    pub most: f64,
}

impl Spread {
    /// Of `values`; `None` where there is none, or one is no number.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Spread {
            median,
            least: values[0],
            most: values[values.len() - 1],
        })
    }

    /// Of the ratios of each pair: what was measured next to each other is compared, and nothing else.
    pub fn of_ratios(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Spread> {
        Spread::of(pairs.into_iter().map(|(ours, theirs)| ours / theirs))
    }

    /// `1.23 (1.10 to 1.31)`.
    pub fn text(&self) -> String {
        format!("{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }

    /// For documents.
    pub fn json(&self) -> Value {
        json!({ "median": rounded(self.median), "least": rounded(self.least), "most": rounded(self.most) })
    }
}

/// To three decimals, so that documents can be read.
pub fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

/// `12.3k`, `431k`, `87`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 99_950.0 => format!("{:.0}k", r / 1000.0),
        r if r >= 1000.0 => format!("{:.1}k", r / 1000.0),
        r => format!("{r:.0}"),
    }
}

/// Microseconds as milliseconds.
pub fn ms(us: f64) -> String {
    format!("{:.2}", us / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_the_sorted_values() {
        let s = Spread::of([9.0, 1.0, 5.0]).unwrap();
        assert_eq!((s.median, s.least, s.most), (5.0, 1.0, 9.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_pair() {
        // The machine was twice as fast in the second pair: the ratio does not see it.
        let s = Spread::of_ratios([(10.0, 20.0), (20.0, 40.0), (30.0, 20.0)]).unwrap();
        assert_eq!((s.median, s.least, s.most), (0.5, 0.5, 1.5));
        assert_eq!(s.text(), "0.50 (0.50 to 1.50)");
        assert_eq!(Spread::of_ratios([(1.0, 0.0)]), None);
    }

    #[test]
    fn rates_are_short() {
        let texts: Vec<String> = [0.4, 999.0, 36_512.0, 99_960.0, 426_000.0]
            .into_iter()
            .map(rate)
            .collect();
        assert_eq!(texts, ["0", "999", "36.5k", "100k", "426k"]);
    }
}
