//! LATENCY: events that took longer than latency-monitor-threshold, and latencies by command.
//!
//! Kinds of events: `command` and `fast-command`. Redis has more, about its fork, its AOF and its
//! expiry, that have no counterpart here; the log's syncs are in INFO pontoon.

use crate::command::table::{self, SPECS, Spec};
use crate::command::{Args, Fail};
use crate::resp::Out;
use crate::server::dispatch::{Exec, Handler, wall_us};
use crate::server::stats::Series;

use super::help;

pub const COMMANDS: &[(&str, Handler)] = &[
    ("latency|latest", latest),
    ("latency|history", history),
    ("latency|reset", reset),
    ("latency|graph", graph),
    ("latency|doctor", doctor),
    ("latency|histogram", histogram),
    ("latency|help", help),
];

fn latest(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let events = x.server.stats.events();
    out.array(events.len());
    for (name, series) in &events {
        let (at, ms) = series.samples.back().copied().unwrap_or_default();
        out.array(4);
        out.bulk(name.as_bytes());
        out.int(at as i64);
        out.int(ms as i64);
        out.int(series.max as i64);
    }
    Ok(())
}

/// The samples of a kind of event, in any case of its name.
fn series(x: &Exec<'_>, name: &[u8]) -> Option<(&'static str, Series)> {
    let events = x.server.stats.events();
    events
        .into_iter()
        .find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

fn history(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let samples = series(x, args[2]).map_or_else(Default::default, |(_, s)| s.samples);
    out.array(samples.len());
    for (at, ms) in samples {
        out.array(2);
        out.int(at as i64);
        out.int(ms as i64);
    }
    Ok(())
}

fn reset(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let stats = &x.server.stats;
    out.len_int(if args.len() == 2 {
        stats.forget_events(None)
    } else {
        args[2..]
            .iter()
            .map(|name| stats.forget_events(Some(name)))
            .sum()
    });
    Ok(())
}

/// Lines of the graph.
const GRAPH_ROWS: usize = 4;
const GRAPH_COLUMNS: usize = 80;

fn graph(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let Some((name, series)) = series(x, args[2]) else {
        return Err(Fail::text(format!(
            "ERR No samples available for event '{}'",
            String::from_utf8_lossy(args[2])
        )));
    };
    let skip = series.samples.len().saturating_sub(GRAPH_COLUMNS);
    let shown: Vec<(u64, u64)> = series.samples.into_iter().skip(skip).collect();
    let high = shown.iter().map(|s| s.1).max().unwrap_or(0);
    let low = shown.iter().map(|s| s.1).min().unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n",
        series.max
    );
    text += &"-".repeat(GRAPH_COLUMNS);
    text.push('\n');
    for row in (0..GRAPH_ROWS).rev() {
        for (_, ms) in &shown {
            // Each column is filled up to its share of the highest.
            let level = (*ms as usize * GRAPH_ROWS)
                .div_ceil(high.max(1) as usize)
                .max(1);
            text.push(if level > row { '#' } else { ' ' });
        }
        text.push('\n');
    }
    let now = wall_us() / 1_000_000;
    let oldest = shown.first().map_or(0, |s| now.saturating_sub(s.0));
    text += &format!("\nOldest sample: {oldest} s ago.\n");
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn doctor(x: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let events = x.server.stats.events();
    let mut text = String::new();
    if x.core.settings.latency_monitor_ms == 0 {
        text += "Latency monitoring is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on.\n";
    } else if events.is_empty() {
        text += "No latency event was seen since the last reset.\n";
    }
    for (name, series) in &events {
        let n = series.samples.len() as u64;
        let sum: u64 = series.samples.iter().map(|s| s.1).sum();
        text += &format!(
            "{name}: {n} latency spikes, {} ms on average, {} ms at worst.\n",
            sum / n.max(1),
            series.max
        );
    }
    if !events.is_empty() {
        text +=
            "SLOWLOG GET names the commands; INFO pontoon tells how long the log's syncs take.\n";
    }
    out.verbatim(*b"txt", text.as_bytes());
    Ok(())
}

fn histogram(x: &mut Exec<'_>, args: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    let begun = out.deferred();
    let mut shown = 0;
    if args.len() == 2 {
        for spec in &SPECS {
            shown += one(x, spec, out);
        }
    } else {
        for name in &args[2..] {
            if let Some(spec) = table::by_full_name(name) {
                shown += one(x, spec, out);
                for sub in spec.subcommands() {
                    shown += one(x, sub, out);
                }
            }
        }
    }
    out.end_map(begun, shown);
    Ok(())
}

/// The latencies of a command that was called: counts up to each power of two of microseconds.
fn one(x: &Exec<'_>, spec: &Spec, out: &mut Out) -> usize {
    let Some(histogram) = x.server.stats.latency(spec.id) else {
        return 0;
    };
    out.bulk(spec.full_name.as_bytes());
    out.map(2);
    out.bulk(b"calls");
    out.int(histogram.len() as i64);
    out.bulk(b"histogram_usec");
    let begun = out.deferred();
    let (mut rows, mut before, mut level) = (0, 0, 1024u64);
    loop {
        let upto = histogram.highest_equivalent(level);
        let count = histogram.count_between(0, level);
        if count > before {
            out.int((upto / 1000) as i64);
            out.int(count as i64);
            rows += 1;
        }
        before = count;
        if count == histogram.len() || level > histogram.high() {
            break;
        }
        level *= 2;
    }
    out.end_map(begun, rows);
    1
}

fn help(_: &mut Exec<'_>, _: Args<'_>, out: &mut Out) -> Result<(), Fail> {
    help::reply(
        out,
        "LATENCY",
        &[
            ("DOCTOR", "Say in words what was slow."),
            ("GRAPH <event>", "Draw an event's latencies."),
            (
                "HISTORY <event>",
                "An event's samples: time and milliseconds.",
            ),
            ("LATEST", "The last sample of each event, and its worst."),
            (
                "RESET [<event> ...]",
                "Forget the samples of these events, or of all.",
            ),
            (
                "HISTOGRAM [COMMAND ...]",
                "How often commands took at most how many microseconds.",
            ),
        ],
    );
    Ok(())
}
