//! Elements by chance: what HRANDFIELD, SRANDMEMBER, SPOP and ZRANDMEMBER share.
//!
//! Every choice is even: each element, or each set of distinct elements, is equally likely.

use std::hash::Hash;

use rand::rngs::SmallRng;

use super::{Args, Fail, args};
use crate::base::limits::RANDOM_REPLY_LEN_MAX;
use crate::data::table::below;
use crate::resp::Out;

/// Up to this many elements a collection is walked through rather than drawn from.
const WALK_MAX: usize = 512;

/// How many elements are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// So many different ones, or all there are.
    Distinct(usize),
    /// So many, the same again and again perhaps.
    Repeated(usize),
}

impl Count {
    /// Reads a count argument: negative means that elements may repeat.
    pub fn parse(arg: &[u8]) -> Result<Count, Fail> {
        let count = args::int(arg)?;
        if count == i64::MIN {
            return Err(Fail::text(format!(
                "ERR value is out of range, value must between -{max} and {max}",
                max = i64::MAX
            )));
        }
        let magnitude = usize::try_from(count.unsigned_abs()).map_err(|_| Fail::OUT_OF_RANGE)?;
        Ok(if count < 0 {
            Count::Repeated(magnitude)
        } else {
            Count::Distinct(magnitude)
        })
    }

    /// Reads `count [option]` from the argument at index 2 on; with the option, which doubles the reply,
    /// half as many may be asked for. Says whether the option was given.
    pub fn with_option(line: Args<'_>, option: &str) -> Result<(Count, bool), Fail> {
        let count = Count::parse(line[2])?;
        match line[3..] {
            [] => Ok((count, false)),
            [word] if args::is(word, option) => {
                let (Count::Distinct(n) | Count::Repeated(n)) = count;
                if n > i64::MAX as usize / 2 {
                    return Err(Fail::OUT_OF_RANGE);
                }
                Ok((count, true))
            }
            _ => Err(Fail::SYNTAX),
        }
    }
}

/// Chooses `count` distinct elements of the `size` that `all` gives, or all of them. An element is a name
/// with something that belongs to it; `any` draws one.
pub fn distinct<K: Hash + Eq + Copy, V>(
    rng: &mut SmallRng,
    size: usize,
    count: usize,
    all: impl Iterator<Item = (K, V)>,
    mut any: impl FnMut(&mut SmallRng) -> Option<(K, V)>,
    mut take: impl FnMut(K, V),
) {
    // Drawing until there are enough different ones is quick only where few of many are wanted.
    if size <= WALK_MAX || count.saturating_mul(3) > size {
        let mut wanted = count.min(size);
        for (passed, (name, value)) in all.enumerate() {
            if wanted == 0 {
                break;
            }
            if below(rng, size - passed) < wanted {
                take(name, value);
                wanted -= 1;
            }
        }
        return;
    }
    let mut seen = hashbrown::HashSet::new();
    while seen.len() < count {
        let Some((name, value)) = any(rng) else {
            return;
        };
        if seen.insert(name) {
            take(name, value);
        }
    }
}

/// Writes `count` replies by `write`. Fails where the replies would exceed [`RANDOM_REPLY_LEN_MAX`].
pub fn repeated(out: &mut Out, count: usize, mut write: impl FnMut(&mut Out)) -> Result<(), Fail> {
    const REPLY_LEN_MIN: usize = b"$0\r\n\r\n".len();
    let start = out.len();
    if count > RANDOM_REPLY_LEN_MAX / REPLY_LEN_MIN {
        return Err(Fail::OUT_OF_RANGE);
    }
    for _ in 0..count {
        write(out);
        if out.len() - start > RANDOM_REPLY_LEN_MAX {
            return Err(Fail::OUT_OF_RANGE);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn counts() {
        assert_eq!(Count::parse(b"3"), Ok(Count::Distinct(3)));
        assert_eq!(Count::parse(b"-3"), Ok(Count::Repeated(3)));
        assert_eq!(Count::parse(b"x"), Err(Fail::NOT_INTEGER));
        assert_eq!(
            Count::parse(b"-9223372036854775808").unwrap_err().as_str(),
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
        );
    }

    /// Every element is chosen equally often, by walking and by drawing.
    #[test]
    fn distinct_is_even_and_distinct() {
        let mut rng = SmallRng::seed_from_u64(1);
        for (size, count) in [(10, 3), (2000, 20), (2000, 1000), (5, 9), (7, 0)] {
            let mut times = vec![0u32; size];
            let rounds = 4000;
            for _ in 0..rounds {
                let mut chosen = std::collections::BTreeSet::new();
                distinct(
                    &mut rng,
                    size,
                    count,
                    (0..size).map(|i| (i, ())),
                    |rng| Some((below(rng, size), ())),
                    |i, ()| assert!(chosen.insert(i)),
                );
                assert_eq!(chosen.len(), count.min(size));
                chosen.iter().for_each(|&i| times[i] += 1);
            }
            let expected = f64::from(rounds) * count.min(size) as f64 / size as f64;
            let spread = 6.0 * expected.sqrt().max(1.0);
            for (i, &n) in times.iter().enumerate() {
                let off = (f64::from(n) - expected).abs();
                assert!(off <= spread, "{i} of {size}: {n}, expected {expected}");
            }
        }
    }

    #[test]
    fn a_reply_has_a_bound() {
        let mut out = Out::new(crate::resp::Proto::Resp2);
        let fail = repeated(&mut out, usize::MAX, |_| unreachable!("refused at once"));
        assert_eq!(fail, Err(Fail::OUT_OF_RANGE));
        let long = vec![0; RANDOM_REPLY_LEN_MAX / 2 + 1];
        let mut written = 0;
        let fail = repeated(&mut out, 1000, |out| {
            written += 1;
            out.bulk(&long);
        });
        assert_eq!((fail, written), (Err(Fail::OUT_OF_RANGE), 2));
    }
}
