//! ZSCAN.

use crate::base::number;
use crate::command::scan;
use crate::command::{Args, Ctx, Fail};
use crate::resp::Out;

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub(super) fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let cursor = scan::cursor(args[2])?;
    let Some(zset) = ctx.zset(args[1])? else {
        scan::nothing(out);
        return Ok(());
    };
    let options = scan::options(args)?;
    let compact = zset.encoding() == "listpack";
    let mut found = Vec::new();
    let next = zset.scan(cursor, options.count, |member, score| {
        if options.matches(member) {
            found.push((Box::<[u8]>::from(member), score));
        }
    });
    scan::reply(out, next, |out| {
        for (member, score) in &found {
            out.bulk(member);
            // Redis prints what a listpack holds, which is the shortest text, and 17 digits of the others.
            if compact {
                out.bulk(number::format_double(*score).as_str().as_bytes());
            } else {
                out.bulk(seventeen(*score).as_bytes());
            }
        }
        found.len() * 2
    });
    Ok(())
}

/// A score with 17 significant digits, as C's `%.17g` prints it.
fn seventeen(score: f64) -> String {
    if score.is_infinite() {
        return if score > 0.0 { "inf" } else { "-inf" }.into();
    }
    let text = format!("{score:.16e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| -> String {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').into()
        } else {
            text.into()
        }
    };
    if (-4..17).contains(&exponent) {
        trimmed(&format!("{score:.*}", (16 - exponent) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trimmed(digits), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::seventeen;

    #[test]
    fn as_c_prints_them() {
        for (score, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.10000000000000001"),
            (1.5e300, "1.5000000000000001e+300"),
            (1e17, "1e+17"),
            (123_456_789.25, "123456789.25"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(seventeen(score), text);
        }
    }
}
