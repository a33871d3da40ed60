//! Stands in for the crate of this name that openraft counts the sizes of its batches in: the same names, one bucket for each power
//! of two, and no tables. The original computes the tables of all its sixteen precisions at the first sample, of which
//! openraft uses one: 26 MB of every node's memory (docs/decisions, 2026-11-25). Nothing but openraft's statistics reads it.

use std::fmt;
use std::marker::PhantomData;

/// Buckets: one for nought and one for each number of bits.
const BUCKETS: usize = 65;

/// Counts samples by their number of bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    kind: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// One without samples.
    pub fn new() -> Self {
        Histogram {
            counts: [0; BUCKETS],
            kind: PhantomData,
        }
    }

    /// Counts a sample.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts a sample `n` times.
    pub fn record_n(&mut self, value: u64, n: u64) {
        self.counts[(u64::BITS - value.leading_zeros()) as usize] += n;
    }

    /// Samples counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The least value of the bucket in which the sample at `share` (0 to 1) of all lies; 0 without samples.
    pub fn percentile(&self, share: f64) -> u64 {
        let rank = (self.total() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bits, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return if bits == 0 { 0 } else { 1 << (bits - 1) };
            }
        }
        0
    }

    /// The usual percentiles.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Histogram::new()
    }
}

/// Percentiles of a histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PercentileStats {
    /// Samples counted.
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} samples, median {}, p99 {}, p99.9 {}",
            self.samples, self.p50, self.p99, self.p99_9
        )
    }
}

/// Histograms as text, a line each.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart(Vec<(String, Histogram)>);

impl AsciiChart {
    /// One without lines.
    pub fn new() -> Self {
        AsciiChart::default()
    }

    /// Adds a line.
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.0.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.0 {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_least_value_of_their_bucket() {
        let mut sizes = Histogram::<()>::new();
        assert_eq!(sizes.percentile(0.5), 0);
        for value in [0, 1, 5, 5, 7, 1000, u64::MAX] {
            sizes.record(value);
        }
        let stats = sizes.percentile_stats();
        assert_eq!((stats.samples, stats.p0_1, stats.p50), (7, 0, 4));
        assert_eq!((stats.p90, stats.p99), (1 << 63, 1 << 63));
    }
}
