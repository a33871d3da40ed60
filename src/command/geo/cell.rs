//! Geohash cells: positions as interleaved bits, and back.
//!
//! **Invariant**: every float is computed in the order in which Redis 7.2 does it, so that scores and
//! positions are equal bit for bit. A cell's even bits are its latitude, the odd ones its longitude.

/// Bits of each coordinate in a score.
pub const STEP_MAX: u32 = 26;

/// Longitudes that can be indexed, in degrees.
pub const LONGITUDE: Span = Span {
    min: -180.0,
    max: 180.0,
};
/// Latitudes that can be indexed, in degrees: those of the square web map.
pub const LATITUDE: Span = Span {
    min: -85.05112878,
    max: 85.05112878,
};

const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
const EVEN: u64 = 0x5555_5555_5555_5555;

/// Degrees from one to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub min: f64,
    pub max: f64,
}

impl Span {
    pub fn contains(&self, degrees: f64) -> bool {
        (self.min..=self.max).contains(&degrees)
    }

    /// Where a coordinate lies, as a number of `step` bits.
    fn index(&self, degrees: f64, step: u32) -> u32 {
        let offset = (degrees - self.min) / (self.max - self.min);
        (offset * (1u64 << step) as f64) as u32
    }

    /// The part of this span that has that number among those of `step` bits.
    fn part(&self, index: u32, step: u32) -> Span {
        let (scale, parts) = (self.max - self.min, (1u64 << step) as f64);
        let edge = |index: u32| self.min + (f64::from(index) / parts) * scale;
        Span {
            min: edge(index),
            max: edge(index.wrapping_add(1)),
        }
    }

    fn middle(&self, of: Span) -> f64 {
        ((of.min + of.max) / 2.0).clamp(self.min, self.max)
    }
}

/// A position in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    pub longitude: f64,
    pub latitude: f64,
}

impl Position {
    /// The position that a score stands for; any score stands for one.
    pub fn of_score(score: f64) -> Position {
        // As the conversion of C does it on x86-64: a negative score wraps, one too large is 0.
        let bits = if score < 0.0 {
            score as i64 as u64
        } else if score < 2f64.powi(64) {
            score as u64
        } else {
            0
        };
        let (longitude, latitude) = Cell {
            bits,
            step: STEP_MAX,
        }
        .area();
        Position {
            longitude: LONGITUDE.middle(longitude),
            latitude: LATITUDE.middle(latitude),
        }
    }

    /// The score under which a sorted set keeps this position.
    pub fn score(&self) -> f64 {
        Cell::around(*self, STEP_MAX).first_score()
    }

    /// The standard geohash, of 11 characters; a score has bits for 10, so the last is always 0.
    pub fn geohash(&self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        let whole = Span {
            min: -90.0,
            max: 90.0,
        };
        let bits = Cell::within(LONGITUDE, whole, *self, STEP_MAX).bits;
        let mut text = [b'0'; 11];
        for (at, character) in text.iter_mut().take(10).enumerate() {
            *character = ALPHABET[(bits >> (47 - 5 * at)) as usize & 31];
        }
        text
    }
}

/// A rectangle of the map: `step` bits of each coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    bits: u64,
    step: u32,
}

impl Cell {
    /// The cell that holds a position.
    pub fn around(position: Position, step: u32) -> Cell {
        Cell::within(LONGITUDE, LATITUDE, position, step)
    }

    fn within(longitude: Span, latitude: Span, position: Position, step: u32) -> Cell {
        let odd = spread(longitude.index(position.longitude, step)) << 1;
        let bits = spread(latitude.index(position.latitude, step)) | odd;
        Cell { bits, step }
    }

    /// The longitudes and latitudes of the cell.
    pub fn area(&self) -> (Span, Span) {
        (
            LONGITUDE.part(gather(self.bits >> 1), self.step),
            LATITUDE.part(gather(self.bits), self.step),
        )
    }

    /// The least score of a position in this cell.
    pub fn first_score(&self) -> f64 {
        (self.bits << (52 - 2 * self.step)) as f64
    }

    /// The least score above all those of this cell.
    pub fn end_score(&self) -> f64 {
        let next = Cell {
            bits: self.bits.wrapping_add(1),
            ..*self
        };
        next.first_score()
    }

    /// The cell so many steps (-1, 0 or 1) to the east and to the north; the map wraps around.
    pub fn neighbor(&self, east: i32, north: i32) -> Cell {
        let unused = 64 - 2 * self.step;
        Cell {
            bits: moved(self.bits, ODD, unused, east) | moved(self.bits, EVEN, unused, north),
            ..*self
        }
    }
}

/// One coordinate of `bits`, those under `mask`, moved by `by` within the bits that are in use.
fn moved(bits: u64, mask: u64, unused: u32, by: i32) -> u64 {
    let own = bits & mask;
    let others = !mask >> unused;
    let moved = match by {
        0 => return own,
        1.. => own.wrapping_add(others + 1),
        _ => (own | others).wrapping_sub(others + 1),
    };
    moved & (mask >> unused)
}

const HALVES: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, EVEN),
];

/// The bits of a number at the even places.
fn spread(number: u32) -> u64 {
    HALVES.iter().fold(u64::from(number), |bits, &(by, mask)| {
        (bits | (bits << by)) & mask
    })
}

/// The number whose bits are at the even places.
fn gather(bits: u64) -> u32 {
    let joined = HALVES.iter().rev().fold(bits, |bits, &(by, mask)| {
        let bits = bits & mask;
        bits | (bits >> by)
    });
    joined as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreading_and_gathering_are_inverse() {
        for number in [0, 1, 2, 3, 0x1234_5678, u32::MAX] {
            assert_eq!(gather(spread(number)), number);
            assert_eq!(gather(spread(number) | ODD), number);
        }
    }

    #[test]
    fn neighbors_wrap_around_and_lead_back() {
        for step in [1, 2, 13, 26] {
            let place = Position {
                longitude: 179.999,
                latitude: -85.0,
            };
            let cell = Cell::around(place, step);
            for (east, north) in [(1, 0), (0, 1), (-1, 1), (1, -1), (-1, -1)] {
                let there = cell.neighbor(east, north);
                assert_ne!(there, cell);
                assert_eq!(there.neighbor(-east, -north), cell);
            }
        }
    }
}
