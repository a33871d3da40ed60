//! GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS family: one query, parsed from two syntaxes.
//!
//! **Invariant**: the source key is looked at before anything is parsed, as in Redis, because which
//! error is reported first depends on what it holds.

use super::cell::Position;
use super::shape::{Shape, Size};
use super::{LOST_MEMBER, bulk_distance, coordinates, position, unit};
use crate::base::number;
use crate::command::zset::{Member, replace};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::ZSet;
use crate::resp::Out;

/// Which syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// GEORADIUS; `read_only` without STORE.
    Radius {
        read_only: bool,
    },
    /// GEORADIUSBYMEMBER.
    RadiusByMember {
        read_only: bool,
    },
    Search,
    SearchStore,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    fn may_store(self) -> bool {
        matches!(
            self,
            Form::Radius { read_only: false } | Form::RadiusByMember { read_only: false }
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Any,
    Nearest,
    Farthest,
}

/// A search as it was asked for.
struct Query<'a> {
    /// `None` where the source is absent and the shape cannot or need not be known.
    center: Option<Position>,
    size: Option<(Size, f64)>,
    with_dist: bool,
    with_hash: bool,
    with_coord: bool,
    order: Order,
    /// 0: all.
    count: usize,
    any: bool,
    store: Option<&'a [u8]>,
    store_dist: bool,
}

/// A member that was found.
struct Found<'z> {
    member: &'z [u8],
    score: f64,
    position: Position,
    metres: f64,
}

/// Runs a command of that form.
pub fn search(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, form: Form) -> Result<(), Fail> {
    let source = if form == Form::SearchStore { 2 } else { 1 };
    let zset = ctx.zset(args[source])?;
    let query = Query::parse(zset, args, form)?;
    let found = match (zset, query.center, query.size) {
        (Some(zset), Some(center), Some((size, unit))) => {
            let shape = Shape { center, size, unit };
            query.run(zset, &shape)
        }
        _ => Vec::new(),
    };
    let metres = query.size.map_or(1.0, |(_, unit)| unit);
    let Some(target) = query.store else {
        query.reply(&found, metres, out);
        return Ok(());
    };
    let members: Vec<Member> = found
        .iter()
        .map(|f| {
            let distance = f.metres / metres;
            (
                f.member.into(),
                if query.store_dist { distance } else { f.score },
            )
        })
        .collect();
    let event = if form.is_search() {
        "geosearchstore"
    } else {
        "georadiusstore"
    };
    replace(ctx, target, &members, event)?;
    out.len_int(members.len());
    Ok(())
}

impl<'a> Query<'a> {
    fn parse(zset: Option<&ZSet>, args: Args<'a>, form: Form) -> Result<Self, Fail> {
        let mut query = Query {
            center: None,
            size: None,
            with_dist: false,
            with_hash: false,
            with_coord: false,
            order: Order::Any,
            count: 0,
            any: false,
            store: None,
            store_dist: false,
        };
        let at = match form {
            Form::Radius { .. } => {
                query.center = Some(coordinates(args[2], args[3])?);
                query.size = Some(radius(args[4], args[5])?);
                6
            }
            Form::RadiusByMember { .. } => {
                if let Some(zset) = zset {
                    query.center = Some(position(zset, args[2]).ok_or(LOST_MEMBER)?);
                    query.size = Some(radius(args[3], args[4])?);
                }
                5
            }
            Form::Search => 2,
            Form::SearchStore => {
                query.store = Some(args[1]);
                3
            }
        };
        query.options(zset, Cursor::from(args, at), form, args[0])?;
        Ok(query)
    }

    fn options(
        &mut self,
        zset: Option<&ZSet>,
        mut cursor: Cursor<'a>,
        form: Form,
        name: &[u8],
    ) -> Result<(), Fail> {
        let (mut by_member, mut by_position) = (false, false);
        while !cursor.is_empty() {
            let left = cursor.left();
            let boxed = matches!(self.size, Some((Size::Box { .. }, _)));
            if cursor.keyword("withdist") {
                self.with_dist = true;
            } else if cursor.keyword("withhash") {
                self.with_hash = true;
            } else if cursor.keyword("withcoord") {
                self.with_coord = true;
            } else if cursor.keyword("any") {
                self.any = true;
            } else if cursor.keyword("asc") {
                self.order = Order::Nearest;
            } else if cursor.keyword("desc") {
                self.order = Order::Farthest;
            } else if left > 1 && cursor.keyword("count") {
                self.count = usize::try_from(cursor.int()?).unwrap_or(0);
                if self.count == 0 {
                    return Err(Fail::new("ERR COUNT must be > 0"));
                }
            } else if left > 1 && form.may_store() && cursor.keyword("store") {
                (self.store, self.store_dist) = (Some(cursor.next()?), false);
            } else if left > 1 && form.may_store() && cursor.keyword("storedist") {
                (self.store, self.store_dist) = (Some(cursor.next()?), true);
            } else if form == Form::SearchStore && cursor.keyword("storedist") {
                self.store_dist = true;
            } else if form.is_search() && left > 1 && !by_position && cursor.keyword("frommember") {
                let member = cursor.next()?;
                by_member = true;
                if let Some(zset) = zset {
                    self.center = Some(position(zset, member).ok_or(LOST_MEMBER)?);
                }
            } else if form.is_search() && left > 2 && !by_member && cursor.keyword("fromlonlat") {
                self.center = Some(coordinates(cursor.next()?, cursor.next()?)?);
                by_position = true;
            } else if form.is_search() && left > 2 && !boxed && cursor.keyword("byradius") {
                self.size = Some(radius(cursor.next()?, cursor.next()?)?);
            } else if form.is_search()
                && left > 3
                && (boxed || self.size.is_none())
                && cursor.keyword("bybox")
            {
                self.size = Some(rectangle(cursor.next()?, cursor.next()?, cursor.next()?)?);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        if self.store.is_some() && (self.with_dist || self.with_hash || self.with_coord) {
            let what = if form == Form::SearchStore {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            return Err(Fail::text(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let missing = |what: &str| {
            let name = String::from_utf8_lossy(name);
            Fail::text(format!(
                "ERR exactly one of {what} can be specified for {name}"
            ))
        };
        if form.is_search() && !by_member && !by_position {
            return Err(missing("FROMMEMBER or FROMLONLAT"));
        }
        if form.is_search() && self.size.is_none() {
            return Err(missing("BYRADIUS and BYBOX"));
        }
        if self.any && self.count == 0 {
            return Err(Fail::new("ERR the ANY argument requires COUNT argument"));
        }
        // The nearest ones are meant by a count alone.
        if self.count > 0 && self.order == Order::Any && !self.any {
            self.order = Order::Nearest;
        }
        Ok(())
    }

    fn run<'z>(&self, zset: &'z ZSet, shape: &Shape) -> Vec<Found<'z>> {
        let limit = if self.any { self.count } else { usize::MAX };
        let mut found = Vec::new();
        for cell in shape.cells() {
            let start = zset.lower_bound_score(cell.first_score(), false);
            let end = zset.lower_bound_score(cell.end_score(), false);
            let members = zset.range_by_rank(start, end.saturating_sub(start), false);
            let within = members.filter_map(|(member, score)| {
                let position = Position::of_score(score);
                let metres = shape.distance(position)?;
                Some(Found {
                    member,
                    score,
                    position,
                    metres,
                })
            });
            let room = limit - found.len();
            found.extend(within.take(room));
        }
        match self.order {
            Order::Any => {}
            Order::Nearest => found.sort_by(|a, b| a.metres.total_cmp(&b.metres)),
            Order::Farthest => found.sort_by(|a, b| b.metres.total_cmp(&a.metres)),
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }

    fn reply(&self, found: &[Found<'_>], unit: f64, out: &mut Out) {
        let extras = [self.with_dist, self.with_hash, self.with_coord];
        let extras = extras.into_iter().filter(|&with| with).count();
        out.array(found.len());
        for f in found {
            if extras > 0 {
                out.array(extras + 1);
            }
            out.bulk(f.member);
            if self.with_dist {
                bulk_distance(f.metres / unit, out);
            }
            if self.with_hash {
                out.int(f.score as i64);
            }
            if self.with_coord {
                super::emit(f.position, out);
            }
        }
    }
}

/// A length that is no number fails with that text.
fn length(arg: &[u8], otherwise: &'static str) -> Result<f64, Fail> {
    number::parse_f64(arg).ok_or(Fail::new(otherwise))
}

fn radius(arg: &[u8], of: &[u8]) -> Result<(Size, f64), Fail> {
    let radius = length(arg, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(Fail::new("ERR radius cannot be negative"));
    }
    Ok((Size::Radius(radius), unit(of)?))
}

fn rectangle(width: &[u8], height: &[u8], of: &[u8]) -> Result<(Size, f64), Fail> {
    let width = length(width, "ERR need numeric width")?;
    let height = length(height, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(Fail::new("ERR height or width cannot be negative"));
    }
    Ok((Size::Box { width, height }, unit(of)?))
}
