//! Unions, intersections and differences of sorted sets and sets.
//!
//! **Invariant.** Scores are summed in the order in which Redis does, from the smallest source to
//! the largest, so that the last bit of a sum is the same.

use std::borrow::Cow;
use std::cmp::Reverse;

use hashbrown::HashMap;

use super::{Member, Shape, emit, replace};
use crate::command::args::int;
use crate::command::ctx::{as_set, as_zset};
use crate::command::{Args, Ctx, Cursor, Fail};
use crate::data::zset::order;
use crate::data::{Set, View, ZSet};
use crate::keyspace::Value;
use crate::resp::Out;

/// What is made of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Union,
    Inter,
    Diff,
}

/// A member of a source, or of a result.
type Scored<'a> = (Cow<'a, [u8]>, f64);

/// How the scores of a member become one.
#[derive(Debug, Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

/// A command's arguments.
struct Query<'a> {
    keys: Args<'a>,
    weights: Vec<f64>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members that are counted at most; 0: all.
    limit: usize,
}

/// What the command does with its result: decides which options it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reply,
    Store,
    Count,
}

/// ZUNION, ZINTER, ZDIFF numkeys key [key ...] [WEIGHTS weight ...] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub fn reply(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, op: Op) -> Result<(), Fail> {
    let query = Query::parse(ctx, args, 1, op, Use::Reply)?;
    let result = query.result(ctx, op);
    let shape = Shape::scores(query.with_scores, out);
    emit(out, result.len(), result, shape);
    Ok(())
}

/// ZUNIONSTORE, ZINTERSTORE, ZDIFFSTORE destination numkeys key [key ...] [options]
pub fn store(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out, op: Op) -> Result<(), Fail> {
    let query = Query::parse(ctx, args, 2, op, Use::Store)?;
    let result: Vec<Member> = query
        .result(ctx, op)
        .into_iter()
        .map(|(member, score)| (member.into(), score))
        .collect();
    let event = match op {
        Op::Union => "zunionstore",
        Op::Inter => "zinterstore",
        Op::Diff => "zdiffstore",
    };
    replace(ctx, args[1], &result, event)?;
    out.len_int(result.len());
    Ok(())
}

/// ZINTERCARD numkeys key [key ...] [LIMIT limit]
pub fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let query = Query::parse(ctx, args, 1, Op::Inter, Use::Count)?;
    let limit = match query.limit {
        0 => usize::MAX,
        limit => limit,
    };
    let sources = query.sources(ctx, Op::Inter);
    out.len_int(inter(&sources, Aggregate::Sum).take(limit).count());
    Ok(())
}

impl<'a> Query<'a> {
    /// Reads `numkeys key [key ...] [options]` from the argument `at` on, and looks at the keys:
    /// as in Redis, a key of a wrong type is reported before a wrong option.
    fn parse(
        ctx: &mut Ctx<'_>,
        args: Args<'a>,
        at: usize,
        op: Op,
        purpose: Use,
    ) -> Result<Self, Fail> {
        let count = int(args[at])?;
        if count < 1 {
            let name = String::from_utf8_lossy(args[0]).to_ascii_lowercase();
            return Err(Fail::text(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let first = at + 1;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= args.len() - first)
            .ok_or(Fail::SYNTAX)?;
        let keys = &args[first..first + count];
        for key in keys {
            let entry = ctx.lookup(key);
            if entry.is_some_and(|entry| Source::of(&entry.value).is_none()) {
                return Err(Fail::WRONG_TYPE);
            }
        }
        let mut query = Query {
            keys,
            weights: vec![1.0; count],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighted = op != Op::Diff && purpose != Use::Count;
        let mut cursor = Cursor::from(args, first + count);
        while !cursor.is_empty() {
            if weighted && cursor.left() > count && cursor.keyword("weights") {
                for weight in &mut query.weights {
                    let float = cursor.float();
                    *weight = float.map_err(|_| Fail::new("ERR weight value is not a float"))?;
                }
            } else if weighted && cursor.left() >= 2 && cursor.keyword("aggregate") {
                query.aggregate = if cursor.keyword("sum") {
                    Aggregate::Sum
                } else if cursor.keyword("min") {
                    Aggregate::Min
                } else if cursor.keyword("max") {
                    Aggregate::Max
                } else {
                    return Err(Fail::SYNTAX);
                };
            } else if purpose == Use::Reply && cursor.keyword("withscores") {
                query.with_scores = true;
            } else if purpose == Use::Count && cursor.left() >= 2 && cursor.keyword("limit") {
                let limit = usize::try_from(int(cursor.next()?).unwrap_or(-1));
                query.limit = limit.map_err(|_| Fail::new("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(query)
    }

    /// The sources, as they were looked at; the smallest first where the order does not matter.
    fn sources<'c>(&self, ctx: &'c Ctx<'_>, op: Op) -> Vec<Source<'c>> {
        let data = |key| match ctx.peek(ctx.db, key) {
            Some(entry) => Source::of(&entry.value).unwrap_or(Data::Nothing),
            None => Data::Nothing,
        };
        let mut sources: Vec<Source<'c>> = self
            .keys
            .iter()
            .zip(&self.weights)
            .map(|(key, &weight)| Source {
                data: data(key),
                weight,
            })
            .collect();
        if op != Op::Diff {
            sources.sort_by_key(Source::len);
        }
        sources
    }

    /// The result, in a sorted set's order.
    fn result<'c>(&self, ctx: &'c Ctx<'_>, op: Op) -> Vec<Scored<'c>> {
        let sources = self.sources(ctx, op);
        let mut result: Vec<Scored<'c>> = match op {
            Op::Union => union(&sources, self.aggregate),
            Op::Inter => inter(&sources, self.aggregate).collect(),
            Op::Diff => diff(sources),
        };
        result.sort_unstable_by(|a, b| order(a.1, &a.0, b.1, &b.0));
        result
    }
}

/// A key of the input.
struct Source<'a> {
    data: Data<'a>,
    weight: f64,
}

#[derive(Clone, Copy)]
enum Data<'a> {
    Nothing,
    ZSet(&'a ZSet),
    /// Its members have a score of 1.
    Set(&'a Set),
}

impl<'a> Source<'a> {
    /// A value as a source; `None` if it is of another type.
    fn of(value: &'a Value) -> Option<Data<'a>> {
        let zset = as_zset(value).map(Data::ZSet);
        zset.or_else(|| as_set(value).map(Data::Set))
    }

    fn len(&self) -> usize {
        match self.data {
            Data::Nothing => 0,
            Data::ZSet(zset) => zset.len(),
            Data::Set(set) => set.len(),
        }
    }

    fn members(&self) -> impl Iterator<Item = Scored<'a>> + use<'a> {
        let (zset, set) = match self.data {
            Data::Nothing => (None, None),
            Data::ZSet(zset) => (Some(zset.iter()), None),
            Data::Set(set) => (None, Some(set.iter())),
        };
        let scored = zset.into_iter().flatten();
        let unscored = set.into_iter().flatten().map(|member| {
            let member = match member {
                View::Bytes(bytes) => Cow::Borrowed(bytes),
                View::Int(text) => Cow::Owned(text.as_bytes().to_vec()),
            };
            (member, 1.0)
        });
        scored
            .map(|(member, score)| (Cow::Borrowed(member), score))
            .chain(unscored)
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.data {
            Data::Nothing => None,
            Data::ZSet(zset) => zset.score(member),
            Data::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// A score of this source as the first of a member's; what is no number (0 × ∞) counts as 0.
    fn weighted(&self, score: f64) -> f64 {
        or_zero(self.weight * score)
    }
}

impl Aggregate {
    fn fold(self, score: &mut f64, other: f64) {
        *score = match self {
            Aggregate::Sum => or_zero(*score + other),
            // Written out, since a NaN (0 × ∞) changes nothing here.
            Aggregate::Min if other < *score => other,
            Aggregate::Max if other > *score => other,
            Aggregate::Min | Aggregate::Max => *score,
        };
    }
}

fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

fn union<'c>(sources: &[Source<'c>], aggregate: Aggregate) -> Vec<Scored<'c>> {
    let mut result: HashMap<Cow<'c, [u8]>, f64> = HashMap::new();
    for source in sources {
        for (member, score) in source.members() {
            let score = source.weighted(score);
            result
                .entry(member)
                .and_modify(|sum| aggregate.fold(sum, score))
                .or_insert(score);
        }
    }
    result.into_iter().collect()
}

fn inter<'c>(sources: &[Source<'c>], aggregate: Aggregate) -> impl Iterator<Item = Scored<'c>> {
    let (first, others) = sources.split_first().expect("at least one key");
    first.members().filter_map(move |(member, score)| {
        let mut score = first.weighted(score);
        for other in others {
            let found = other.score(&member)?;
            aggregate.fold(&mut score, found * other.weight);
        }
        Some((member, score))
    })
}

/// The members of the first source that no other has, with their scores as they are.
fn diff(mut sources: Vec<Source<'_>>) -> Vec<Scored<'_>> {
    let others = sources.split_off(1);
    let Some(first) = sources.pop() else {
        return Vec::new();
    };
    // Looking each member up in every source, or taking every source's members out: whichever is
    // less work (looking up has the advantage, since the first find ends it).
    let total = first.len() + others.iter().map(Source::len).sum::<usize>();
    if first.len().saturating_mul(others.len() + 1) / 2 <= total {
        let mut others = others;
        others.sort_by_key(|source| Reverse(source.len()));
        let alone = |member: &[u8]| others.iter().all(|other| other.score(member).is_none());
        return first.members().filter(|(m, _)| alone(m)).collect();
    }
    let mut result: HashMap<_, f64> = first.members().collect();
    for other in &others {
        for (member, _) in other.members() {
            if result.is_empty() {
                return Vec::new();
            }
            result.remove(&*member);
        }
    }
    result.into_iter().collect()
}
