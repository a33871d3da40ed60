//! From registers to a count: the estimator of Otmar Ertl, "New cardinality estimation algorithms
//! for HyperLogLog sketches" (arXiv:1702.01284), in Redis's order of operations.

use super::hash::RUN_MAX;
use super::sketch::REGISTERS;

/// How many registers have each value. Values are of six bits.
pub struct Histogram([u32; 64]);

impl Histogram {
    pub fn new() -> Self {
        Histogram([0; 64])
    }

    /// Of registers one by one.
    pub fn of(registers: &[u8]) -> Self {
        let mut histogram = Histogram::new();
        registers.iter().for_each(|&value| histogram.add(value, 1));
        histogram
    }

    /// That many registers have this value.
    pub fn add(&mut self, value: u8, count: usize) {
        self.0[usize::from(value & 63)] += count as u32;
    }

    /// The estimated number of distinct elements.
    pub fn estimate(&self) -> u64 {
        // 1 / (2 ln 2)
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let m = REGISTERS as f64;
        let share = |value: u8| f64::from(self.0[usize::from(value)]);
        let mut z = m * tau((m - share(RUN_MAX)) / m);
        for value in (1..RUN_MAX).rev() {
            z += share(value);
            z *= 0.5;
        }
        z += m * sigma(share(0) / m);
        let estimate = (ALPHA * m * m / z).round();
        if estimate.is_finite() {
            estimate as u64
        } else {
            // Only a forged value counts as infinitely many; Redis on x86 replies this.
            1 << 63
        }
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
