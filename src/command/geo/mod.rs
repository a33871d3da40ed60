//! The geo commands: positions as scores of sorted sets.
//!
//! Reading order: [`cell`] (positions and scores), [`shape`] (distances and areas), [`search`], and
//! here what asks for single members.

mod cell;
mod search;
mod shape;
#[cfg(test)]
mod tests;

use super::args::{float, is};
use super::zset::add::{self, Options};
use super::{Args, Ctx, Cursor, Fail, Handler};
use crate::base::number::{self, LongDouble};
use crate::data::ZSet;
use crate::resp::Out;

use cell::{LATITUDE, LONGITUDE, Position};
use search::{Form, search};

/// Names and handlers.
pub const COMMANDS: &[(&str, Handler)] = &[
    ("geoadd", geoadd),
    ("geodist", geodist),
    ("geohash", geohash),
    ("geopos", geopos),
    ("georadius", |c, a, o| {
        search(c, a, o, Form::Radius { read_only: false })
    }),
    ("georadius_ro", |c, a, o| {
        search(c, a, o, Form::Radius { read_only: true })
    }),
    ("georadiusbymember", |c, a, o| {
        search(c, a, o, Form::RadiusByMember { read_only: false })
    }),
    ("georadiusbymember_ro", |c, a, o| {
        search(c, a, o, Form::RadiusByMember { read_only: true })
    }),
    ("geosearch", |c, a, o| search(c, a, o, Form::Search)),
    ("geosearchstore", |c, a, o| {
        search(c, a, o, Form::SearchStore)
    }),
];

const LOST_MEMBER: Fail = Fail::new("ERR could not decode requested zset member");

/// GEOADD key [NX|XX] [CH] longitude latitude member [longitude latitude member ...]
fn geoadd(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let mut options = Options::default();
    let mut cursor = Cursor::from(args, 2);
    while options.take(&mut cursor) {}
    let rest = cursor.rest();
    if rest.is_empty() || !rest.len().is_multiple_of(3) || (options.nx && options.xx) {
        return Err(Fail::SYNTAX);
    }
    let pairs = rest
        .chunks_exact(3)
        .map(|place| Ok((coordinates(place[0], place[1])?.score(), place[2])))
        .collect::<Result<Vec<_>, Fail>>()?;
    add::add(ctx, args[1], options, &pairs, out)
}

/// GEODIST key member1 member2 [unit]
fn geodist(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let unit = match args {
        [_, _, _, _] => 1.0,
        [_, _, _, _, of] => unit(of)?,
        _ => return Err(Fail::SYNTAX),
    };
    let zset = ctx.zset(args[1])?;
    let ends = zset.and_then(|zset| Some((position(zset, args[2])?, position(zset, args[3])?)));
    match ends {
        Some((a, b)) => bulk_distance(shape::distance(a, b) / unit, out),
        None => out.null(),
    }
    Ok(())
}

/// GEOHASH key [member ...]
fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let zset = ctx.zset(args[1])?;
    out.array(args.len() - 2);
    for member in &args[2..] {
        match zset.and_then(|zset| position(zset, member)) {
            Some(position) => out.bulk(&position.geohash()),
            None => out.null(),
        }
    }
    Ok(())
}

/// GEOPOS key [member ...]
fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let zset = ctx.zset(args[1])?;
    out.array(args.len() - 2);
    for member in &args[2..] {
        match zset.and_then(|zset| position(zset, member)) {
            Some(position) => emit(position, out),
            None => out.null_array(),
        }
    }
    Ok(())
}

/// Two arguments as a position that can be indexed.
fn coordinates(longitude: &[u8], latitude: &[u8]) -> Result<Position, Fail> {
    let (longitude, latitude) = (float(longitude)?, float(latitude)?);
    if LONGITUDE.contains(longitude) && LATITUDE.contains(latitude) {
        return Ok(Position {
            longitude,
            latitude,
        });
    }
    Err(Fail::text(format!(
        "ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"
    )))
}

/// Metres in a unit.
fn unit(arg: &[u8]) -> Result<f64, Fail> {
    const UNITS: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let known = UNITS.into_iter().find(|(name, _)| is(arg, name));
    let (_, metres) = known.ok_or(Fail::new(
        "ERR unsupported unit provided. please use M, KM, FT, MI",
    ))?;
    Ok(metres)
}

/// Where a member is.
fn position(zset: &ZSet, member: &[u8]) -> Option<Position> {
    zset.score(member).map(Position::of_score)
}

/// A position as a pair.
fn emit(position: Position, out: &mut Out) {
    out.array(2);
    out.human_double(LongDouble::from(position.longitude));
    out.human_double(LongDouble::from(position.latitude));
}

/// A distance, with four digits after the point.
fn bulk_distance(distance: f64, out: &mut Out) {
    let text = number::format_fixed(distance, 4);
    out.bulk(text.as_deref().unwrap_or_default());
}
