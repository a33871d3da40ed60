//! Distances, and the areas in which a search looks.
//!
//! **Invariant**: the earth is a ball, and every float is computed in the order in which Redis 7.2
//! does it. [`Shape::cells`] covers the shape; [`Shape::distance`] alone decides what is in it.

use super::cell::{Cell, Position, STEP_MAX};

/// Metres.
const EARTH_RADIUS: f64 = 6372797.560856;
/// Half the width of the web map, in metres.
const MERCATOR_MAX: f64 = 20037726.37;
const DEGREE: f64 = std::f64::consts::PI / 180.0;

/// Metres between two positions, by the haversine formula.
pub fn distance(a: Position, b: Position) -> f64 {
    let v = ((b.longitude * DEGREE - a.longitude * DEGREE) / 2.0).sin();
    if v == 0.0 {
        return along_meridian(a.latitude, b.latitude);
    }
    let (from, to) = (a.latitude * DEGREE, b.latitude * DEGREE);
    let u = ((to - from) / 2.0).sin();
    let square = u * u + from.cos() * to.cos() * v * v;
    2.0 * EARTH_RADIUS * square.sqrt().asin()
}

fn along_meridian(from: f64, to: f64) -> f64 {
    EARTH_RADIUS * (to * DEGREE - from * DEGREE).abs()
}

/// A size in some unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Size {
    Radius(f64),
    Box { width: f64, height: f64 },
}

/// What a search looks at.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub center: Position,
    pub size: Size,
    /// Metres in the unit of `size`.
    pub unit: f64,
}

impl Shape {
    /// Metres from the center to a position in the shape; `None` outside.
    pub fn distance(&self, to: Position) -> Option<f64> {
        let center = self.center;
        match self.size {
            Size::Radius(radius) => {
                let metres = distance(center, to);
                (metres <= radius * self.unit).then_some(metres)
            }
            Size::Box { width, height } => {
                if along_meridian(to.latitude, center.latitude) > height * self.unit / 2.0 {
                    return None;
                }
                let beside = Position {
                    longitude: center.longitude,
                    latitude: to.latitude,
                };
                if distance(to, beside) > width * self.unit / 2.0 {
                    return None;
                }
                Some(distance(center, to))
            }
        }
    }

    /// Cells that cover the shape, in the order in which they are searched. On a large shape some
    /// may be the same.
    pub fn cells(&self) -> Vec<Cell> {
        let Position {
            longitude,
            latitude,
        } = self.center;
        let (half_width, half_height, reach) = match self.size {
            Size::Radius(radius) => (radius, radius, radius),
            Size::Box { width, height } => {
                let (w, h) = (width / 2.0, height / 2.0);
                (w, h, (w * w + h * h).sqrt())
            }
        };
        let angle = self.unit * half_width / EARTH_RADIUS;
        let up = (self.unit * half_height / EARTH_RADIUS) / DEGREE;
        // Meridians are closest together at the edge nearer to a pole.
        let edge = if latitude < 0.0 {
            latitude - up
        } else {
            latitude + up
        };
        let aside = (angle / (edge * DEGREE).cos()) / DEGREE;
        let (west, east) = (longitude - aside, longitude + aside);
        let (south, north) = (latitude - up, latitude + up);

        let mut step = step_for(reach * self.unit, latitude);
        let mut center = Cell::around(self.center, step);
        let beside = |east, north| center.neighbor(east, north).area();
        let too_small = beside(0, 1).1.max < north
            || beside(0, -1).1.min > south
            || beside(1, 0).0.max < east
            || beside(-1, 0).0.min > west;
        if step > 1 && too_small {
            step -= 1;
            center = Cell::around(self.center, step);
        }

        let (longitudes, latitudes) = center.area();
        let useless = |x: i32, y: i32| {
            step >= 2
                && ((y < 0 && latitudes.min < south)
                    || (y > 0 && latitudes.max > north)
                    || (x < 0 && longitudes.min < west)
                    || (x > 0 && longitudes.max > east))
        };
        const ORDER: [(i32, i32); 8] = [
            (0, 1),
            (0, -1),
            (1, 0),
            (-1, 0),
            (1, 1),
            (-1, 1),
            (1, -1),
            (-1, -1),
        ];
        let mut cells = vec![center];
        for (x, y) in ORDER {
            let cell = center.neighbor(x, y);
            // Redis compares with the last one only, and never with the center.
            let repeated = cells.len() > 1 && cells.last() == Some(&cell);
            if !useless(x, y) && !repeated {
                cells.push(cell);
            }
        }
        cells
    }
}

/// The size of cells of which nine cover so many metres around a latitude.
fn step_for(mut metres: f64, latitude: f64) -> u32 {
    if metres == 0.0 {
        return STEP_MAX;
    }
    let mut step = -1;
    while metres < MERCATOR_MAX {
        metres *= 2.0;
        step += 1;
    }
    step -= i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    step.clamp(1, STEP_MAX as i32) as u32
}
