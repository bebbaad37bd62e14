//! The tables of the guides, between two marks that say who wrote them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Context, Result};

use crate::caption::{CAPTIONS, Caption, FRONT, FRONT_KINDS, KINDS};
use crate::record::{DOORWAY, Host, Run};
use crate::spread::{Spread, Summary};

const BEGIN: &str = "<!-- written by tests/bench/run table: begin -->\n";
const END: &str = "<!-- written by tests/bench/run table: end -->";

/// `guide` with `text` where its marks are.
pub fn put(guide: &str, text: &str) -> Result<String> {
    let (before, rest) = guide.split_once(BEGIN).context("no mark where the table begins")?;
    let (_, after) = rest.split_once(END).context("no mark where the table ends")?;
    Ok(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

/// What the project's README prints: nothing that only one run gave.
pub fn front(runs: &[Run]) -> String {
    let mut text =
        String::from("| work per CPU-second | Doorway ÷ the best peer | lowest–highest | runs |\n|---|---|---|---|\n");
    for (words, cases) in FRONT {
        let (mut ratios, mut ranges, mut counted) = (Vec::new(), Vec::new(), Vec::new());
        for caption in cases.iter().filter_map(|name| Caption::of(name)) {
            let summary = Summary::of(caption, runs);
            let Some(spread) = summary.best().filter(|spread| spread.runs() > 1) else {
                for cells in [&mut ratios, &mut ranges, &mut counted] {
                    cells.push("–".to_owned());
                }
                continue;
            };
            ratios.push(format!("{} × {}{}", ratio(spread.median()), summary.peers(), beside(&summary)));
            ranges.push(range(spread, ratio));
            counted.push(counts(spread));
        }
        if counted.iter().all(|count| *count == counted[0]) {
            counted.truncate(1);
        }
        let (ratios, ranges, counted) = (ratios.join("; "), ranges.join("; "), counted.join("; "));
        let _ = writeln!(text, "| {words} | {ratios} | {ranges} | {counted} |");
    }
    let spreads = counted_in(runs);
    let said = |kind: &&&str| {
        let own = spreads.get(&(**kind, DOORWAY))?;
        let peers = spreads.iter().filter(|((known, name), _)| known == *kind && *name != DOORWAY);
        let peers: Vec<_> = peers.map(|((_, name), spread)| format!("{name} {}", grouped(spread.median()))).collect();
        let beside = if peers.is_empty() { String::new() } else { format!(" ({})", peers.join(", ")) };
        Some(format!("{kind} {}{beside}", grouped(own.median())))
    };
    let said: Vec<_> = FRONT_KINDS.iter().filter_map(|kind| said(&kind)).collect();
    if !said.is_empty() {
        let _ = write!(text, "\nInstructions in user space for {}.\n", said.join("; "));
    }
    text
}

/// What the benchmark's own guide prints.
pub fn whole(runs: &[Run]) -> String {
    let summaries: Vec<_> = CAPTIONS.iter().map(|caption| Summary::of(caption, runs)).collect();
    let counted = summaries.iter().any(|summary| !summary.instructions.is_empty());
    let mut text = String::from("| case | Doorway ÷ the best peer | lowest–highest | runs | the others |");
    text.push_str(if counted { " instructions ÷ the peer's |\n" } else { "\n" });
    text.push_str(if counted { "|---|---|---|---|---|---|\n" } else { "|---|---|---|---|---|\n" });
    for summary in &summaries {
        let Some(spread) = summary.best() else { continue };
        let others = summary.ratios.iter().filter(|(name, _)| summary.names != [*name]);
        let others: Vec<_> = others.map(|(name, spread)| format!("{} × {name}", ratio(spread.median()))).collect();
        let _ = write!(
            text,
            "| {} (`{}`) | {} × {}{} | {} | {} | {} |",
            titled(summary.caption.title, summary.caption.unit, summary.caption.less_is_better),
            summary.caption.name,
            ratio(spread.median()),
            summary.peers(),
            beside(summary),
            range(spread, ratio),
            counts(spread),
            others.join(", ")
        );
        let instructions = |spread: &Spread| match spread.runs() {
            1 => format!(" {} |", ratio(spread.median())),
            _ => format!(" {} ({}) |", ratio(spread.median()), range(spread, ratio)),
        };
        match summary.instructions.get(summary.names[0]) {
            _ if !counted => {}
            Some(spread) => text.push_str(&instructions(spread)),
            None => text.push_str(" |"),
        }
        text.push('\n');
    }
    text.push_str("\n| no peer was at hand | Doorway | lowest–highest | runs |\n|---|---|---|---|\n");
    for summary in summaries.iter().filter(|summary| summary.best().is_none()) {
        let Some(spread) = summary.figures.get(DOORWAY) else { continue };
        let _ = writeln!(
            text,
            "| {} (`{}`) | {} {} | {} | {} |",
            summary.caption.title,
            summary.caption.name,
            amount(spread.median()),
            summary.caption.unit,
            range(spread, amount),
            counts(spread)
        );
    }
    let instructions = instructions(runs);
    if !instructions.is_empty() {
        let _ = write!(text, "\n{instructions}");
    }
    let _ = write!(text, "\nThe runs:\n\n{}", list(runs));
    text
}

/// What is compared goes without saying where it is work.
fn titled(title: &str, unit: &str, less_is_better: bool) -> String {
    if less_is_better { format!("{title}, {unit}") } else { title.to_owned() }
}

/// Where less is better both figures are told: a ratio of bytes alone says little.
fn beside(summary: &Summary) -> String {
    match (summary.figures.get(DOORWAY), summary.figures.get(summary.names[0])) {
        (Some(own), Some(other)) if summary.caption.less_is_better => {
            format!(": {} to {}", amount(own.median()), amount(other.median()))
        }
        _ => String::new(),
    }
}

fn counts(spread: &Spread) -> String {
    match (spread.runs(), spread.hosts()) {
        (1, _) => "1".to_owned(),
        (runs, 1) => format!("{runs} on one host"),
        (runs, hosts) => format!("{runs} on {hosts} hosts"),
    }
}

fn range(spread: &Spread, show: impl Fn(f64) -> String) -> String {
    if spread.runs() == 1 {
        return "only once".to_owned();
    }
    let (lowest, highest) = (show(spread.lowest()), show(spread.highest()));
    if lowest == highest { lowest } else { format!("{lowest}–{highest}") }
}

/// A ratio with as many digits as say something.
fn ratio(value: f64) -> String {
    match value {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// With three digits and a word, or all of them where they are few.
fn amount(value: f64) -> String {
    match value {
        1e9.. => format!("{:.2} billion", value / 1e9),
        1e6.. => format!("{:.0} million", value / 1e6),
        _ => grouped(value),
    }
}

/// Digits in groups of three.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Instructions of user space for one request, by kind and contender.
fn counted_in(runs: &[Run]) -> BTreeMap<(&str, &str), Spread<'_>> {
    let mut spreads: BTreeMap<(&str, &str), Spread> = BTreeMap::new();
    for run in runs {
        for (kind, counts) in &run.instructions {
            for (name, count) in counts {
                spreads.entry((kind, name)).or_default().add(*count, &run.host);
            }
        }
    }
    spreads
}

/// The same as a table, of whoever was counted.
fn instructions(runs: &[Run]) -> String {
    let spreads = counted_in(runs);
    let names: BTreeSet<&str> = spreads.keys().map(|(_, name)| *name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    if spreads.is_empty() {
        return String::new();
    }
    let mut text = format!("| instructions in user space for | {} |\n|---|", names.join(" | "));
    text.push_str(&"---|".repeat(names.len()));
    text.push('\n');
    for kind in KINDS.iter().filter(|kind| spreads.keys().any(|(known, _)| known == *kind)) {
        let _ = write!(text, "| {kind} |");
        for name in &names {
            match spreads.get(&(*kind, *name)) {
                Some(spread) if spread.runs() == 1 => {
                    let _ = write!(text, " {} |", grouped(spread.median()));
                }
                Some(spread) => {
                    let _ = write!(text, " {} ({}) |", grouped(spread.median()), range(spread, grouped));
                }
                None => text.push_str(" |"),
            }
        }
        text.push('\n');
    }
    text
}

fn list(runs: &[Run]) -> String {
    let mut hosts: Vec<&Host> = Vec::new();
    for run in runs {
        if !hosts.contains(&&run.host) {
            hosts.push(&run.host);
        }
    }
    let mut text = String::new();
    for run in runs {
        let number = hosts.iter().position(|host| *host == &run.host).unwrap_or_default() + 1;
        let cases = match (run.cases.len(), run.instructions.is_empty()) {
            (0, _) => "instructions alone".to_owned(),
            (1, _) => "one case".to_owned(),
            (count, true) => format!("{count} cases"),
            (count, false) => format!("{count} cases, and instructions"),
        };
        let note = if run.note.is_empty() { String::new() } else { format!("; {}", run.note) };
        let uncounted = if run.uncounted.is_empty() {
            String::new()
        } else {
            format!("; no instructions were counted: {}", run.uncounted)
        };
        let superseded = match run.supersedes.join(", ") {
            names if names.is_empty() => names,
            names => format!("; what runs before it say of {names} is of an earlier door, and in no table"),
        };
        let _ = writeln!(text, "- {}, host {number}, {cases}: {}{note}{superseded}{uncounted}", run.date, run.build);
    }
    text.push('\n');
    for (number, host) in hosts.iter().enumerate() {
        let _ = writeln!(
            text,
            "Host {}: {}, {} processors, {}.{}",
            number + 1,
            host.processor,
            host.processors,
            host.kernel,
            if number + 1 < hosts.len() { "  " } else { "" }
        );
    }
    text
}
