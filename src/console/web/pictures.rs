//! Pictures: a cluster with its nodes, and charts of its figures; SVG, drawn here.
//!
//! Always: what a picture shows is also there in words, for whoever does not see it.

use maud::{Markup, PreEscaped, html};

use crate::console::model::Node;
use crate::console::samples::Sample;

/// The width and height of a chart's field.
const WIDE: f64 = 300.0;
const HIGH: f64 = 60.0;

/// The gateway, the primary, and whom it replicates to.
pub fn cluster(nodes: &[Node]) -> Markup {
    let Some(primary) = nodes.iter().find(|n| n.role == "primary") else {
        return html! {};
    };
    let others: Vec<&Node> = nodes.iter().filter(|n| n.id != primary.id).collect();
    let rows = others.len().max(1) as f64;
    let height = rows * 56.0 + 8.0;
    let middle = height / 2.0;
    let mut words = format!("Clients reach node {}, the primary.", primary.id);
    for other in &others {
        let how = if other.answers {
            "receives its log"
        } else {
            "does not answer"
        };
        words.push_str(&format!(" Node {}, {}, {how}.", other.id, other.role));
    }
    let block = |x: f64, y: f64, title: &str, under: &str, class: &str| {
        html! {
            rect.(class) x=(x) y=(y - 22.0) width="120" height="44" rx="8" {}
            text x=(x + 60.0) y=(y - 2.0) { (title) }
            text.small x=(x + 60.0) y=(y + 14.0) { (under) }
        }
    };
    html! {
        svg.cluster viewBox={ "0 0 460 " (height) } role="img" aria-label=(words) {
            @for (i, other) in others.iter().enumerate() {
                @let y = i as f64 * 56.0 + 32.0;
                path.(if other.answers { "link" } else { "cut" })
                    d={ "M 290 " (middle) " C 315 " (middle) ", 310 " (y) ", 335 " (y) } {}
                (block(335.0, y, &format!("Node {}", other.id), &other.role, if other.answers { "standby" } else { "bad" }))
            }
            path.link d={ "M 122 " (middle) " L 168 " (middle) } {}
            (block(2.0, middle, "Clients", "one URI", "plain"))
            (block(169.0, middle, &format!("Node {}", primary.id), "primary", "primary"))
        }
    }
}

/// One figure over time.
fn chart(title: &str, now: &str, samples: &[Sample], of: impl Fn(&Sample) -> f64) -> Markup {
    let most = samples.iter().map(&of).fold(0.0, f64::max);
    let (first, last) = match (samples.first(), samples.last()) {
        (Some(first), Some(last)) => (first.at_ms, last.at_ms),
        _ => (0, 1),
    };
    let span = (last - first).max(1) as f64;
    let mut line = String::new();
    for sample in samples {
        let x = (sample.at_ms - first) as f64 / span * WIDE;
        let y = HIGH - of(sample) / if most > 0.0 { most } else { 1.0 } * (HIGH - 4.0) - 2.0;
        let draw = if line.is_empty() { 'M' } else { 'L' };
        line.push_str(&format!("{draw}{x:.1} {y:.1} "));
    }
    html! {
        figure {
            figcaption { (title) " " strong { (now) } }
            svg viewBox={ "0 0 " (WIDE) " " (HIGH) } preserveAspectRatio="none" aria-hidden="true" {
                path d=(PreEscaped(line)) {}
            }
        }
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// All figures over time.
pub fn charts(samples: &[Sample]) -> Markup {
    let Some(now) = samples.last() else {
        return html! { p.hint { "Figures come a few seconds after it serves." } };
    };
    html! {
        div.charts {
            (chart("Operations", &format!("{:.0} /s", now.operations), samples, |s| s.operations))
            (chart("Latency, p99", &format!("{:.0} µs", now.p99_us), samples, |s| s.p99_us))
            (chart("Latency, p50", &format!("{:.0} µs", now.p50_us), samples, |s| s.p50_us))
            (chart("Memory", &format!("{:.1} of {:.0} MiB", mib(now.used_memory), mib(now.maxmemory)), samples, |s| s.used_memory as f64))
            (chart("Hits", &format!("{:.0} %", now.hit_rate * 100.0), samples, |s| s.hit_rate))
            (chart("Connections", &now.clients.to_string(), samples, |s| s.clients as f64))
            (chart("Lag of standbys", &now.lag.to_string(), samples, |s| s.lag as f64))
        }
        p.hint { "Latency is that of the command that is sent most; lag is counted in log entries." }
    }
}
