//! What was measured: a table for people, JSON for programs, a picture for the README.

use std::fmt::Write;

use serde::Serialize;

use crate::contender::Contender;

/// One contender in one round of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    pub case: &'static str,
    pub contender: Contender,
    pub round: usize,
    /// Requests, bytes, deliveries, sockets: the case's unit.
    pub work: u64,
    /// Time of all its processes in user space, in seconds.
    pub user: f64,
    /// Time of the kernel on their behalf, in seconds.
    pub system: f64,
    /// The contender's own part of that, where an app behind it is counted too.
    pub door_share: Option<f64>,
    /// What the case compares: work per CPU-second, or bytes per socket.
    pub figure: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub resident: u64,
}

/// How a case reads.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Caption {
    pub name: &'static str,
    pub title: &'static str,
    pub unit: &'static str,
    pub less_is_better: bool,
}

#[derive(Debug, Serialize)]
pub struct Row {
    pub contender: Contender,
    /// The median of the rounds, as all below.
    pub figure: f64,
    /// To the best peer: above 1 is better than it.
    pub ratio: Option<f64>,
    pub work: u64,
    /// CPU-seconds, as in a sample.
    pub user: f64,
    pub system: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub resident: u64,
    /// Of the CPU time, where an app behind the contender is counted too.
    pub door_share: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Case {
    pub caption: Caption,
    pub rows: Vec<Row>,
    /// Contenders that could not take part, and why.
    pub missing: Vec<(Contender, String)>,
    pub samples: Vec<Sample>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Case {
    pub fn new(caption: Caption, samples: Vec<Sample>, missing: Vec<(Contender, String)>) -> Case {
        let mut contenders: Vec<Contender> = Vec::new();
        for sample in &samples {
            if !contenders.contains(&sample.contender) {
                contenders.push(sample.contender);
            }
        }
        let mut rows: Vec<Row> = contenders
            .into_iter()
            .map(|contender| {
                let of = |pick: &dyn Fn(&Sample) -> Option<f64>| {
                    let values: Vec<f64> =
                        samples.iter().filter(|sample| sample.contender == contender).filter_map(pick).collect();
                    (!values.is_empty()).then(|| median(values))
                };
                Row {
                    contender,
                    figure: of(&|sample| Some(sample.figure)).unwrap_or(f64::NAN),
                    ratio: None,
                    work: of(&|sample| Some(sample.work as f64)).unwrap_or_default() as u64,
                    user: of(&|sample| Some(sample.user)).unwrap_or_default(),
                    system: of(&|sample| Some(sample.system)).unwrap_or_default(),
                    p50_ms: of(&|sample| sample.p50_ms),
                    p99_ms: of(&|sample| sample.p99_ms),
                    door_share: of(&|sample| sample.door_share),
                    resident: of(&|sample| Some(sample.resident as f64)).unwrap_or_default() as u64,
                }
            })
            .collect();
        // The limit is no peer.
        let peers = |row: &&Row| !matches!(row.contender, Contender::Doorway | Contender::Bare);
        let best = rows.iter().filter(peers).map(|row| row.figure);
        let best = if caption.less_is_better { best.reduce(f64::min) } else { best.reduce(f64::max) };
        for row in &mut rows {
            row.ratio = best.map(|best| if caption.less_is_better { best / row.figure } else { row.figure / best });
        }
        rows.sort_by(|a, b| {
            if caption.less_is_better { a.figure.total_cmp(&b.figure) } else { b.figure.total_cmp(&a.figure) }
        });
        Case { caption, rows, missing, samples }
    }

    pub fn table(&self) -> String {
        let mut text = format!("\n{}  ({})\n", self.caption.title, self.caption.unit);
        let _ = writeln!(
            text,
            "  {:<10} {:>14} {:>7} {:>14} {:>7} {:>7} {:>9} {:>9} {:>10}",
            "", "median", "ratio", "work done", "user s", "sys s", "p50 ms", "p99 ms", "resident"
        );
        for row in &self.rows {
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
            let _ = writeln!(
                text,
                "  {:<10} {:>14} {:>7} {:>14} {:>7.2} {:>7.2} {:>9} {:>9} {:>7} MB",
                row.contender.name(),
                grouped(row.figure),
                number(row.ratio),
                grouped(row.work as f64),
                row.user,
                row.system,
                number(row.p50_ms),
                number(row.p99_ms),
                row.resident / 1_000_000
            );
        }
        for row in &self.rows {
            if let Some(share) = row.door_share {
                let _ = writeln!(
                    text,
                    "  {}: {:.1} % of the CPU time is the door's own",
                    row.contender.name(),
                    share * 100.0
                );
            }
        }
        for (contender, why) in &self.missing {
            let _ = writeln!(text, "  {:<10} missing: {why}", contender.name());
        }
        text
    }
}

pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value);
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bars of each case, as a ratio to the best peer.
pub fn picture(cases: &[Case]) -> String {
    const WIDTH: f64 = 820.0;
    const LABEL: f64 = 400.0;
    const BAR: f64 = 330.0;
    const LINE: f64 = 18.0;
    let mut body = String::new();
    let mut y = 46.0;
    // Where nobody is beside it, there is nothing to draw.
    for case in cases.iter().filter(|case| case.rows.iter().any(|row| row.ratio.is_some())) {
        let _ = write!(body, "<text x=\"10\" y=\"{:.0}\" class=\"t\">{}</text>", y + 4.0, case.caption.title);
        let _ = write!(body, "<text x=\"10\" y=\"{:.0}\" class=\"u\">{}</text>", y + 18.0, case.caption.unit);
        let most = case.rows.iter().filter_map(|row| row.ratio).fold(1.0_f64, f64::max);
        for row in &case.rows {
            let Some(ratio) = row.ratio else { continue };
            let class = if row.contender == Contender::Doorway { "d" } else { "p" };
            let width = (ratio / most * BAR).max(1.0);
            let _ = write!(
                body,
                "<rect x=\"{LABEL}\" y=\"{:.0}\" width=\"{width:.0}\" height=\"13\" class=\"{class}\"/>\
                 <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{} {ratio:.2}</text>",
                y - 7.0,
                LABEL - 6.0,
                y + 4.0,
                row.contender.name(),
            );
            let _ = write!(
                body,
                "<text x=\"{:.0}\" y=\"{:.0}\" class=\"u\">{}</text>",
                LABEL + width + 5.0,
                y + 4.0,
                grouped(row.figure)
            );
            y += LINE;
        }
        y += 16.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" font-family=\"system-ui,sans-serif\" font-size=\"11\">\
         <style>.t{{font-weight:600}}.u{{fill:#777}}.d{{fill:#d9480f}}.p{{fill:#adb5bd}}text{{fill:#333}}</style>\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"10\" y=\"20\" font-size=\"15\">Side by side, ratio to the best peer</text>{body}</svg>\n"
    )
}
