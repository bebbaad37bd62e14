//! What was measured: a table for people, JSON for programs, and what is kept of it in the record of runs.

use std::fmt::Write;

use doorway_bench_table::caption::Caption;
use doorway_bench_table::record::{Figures, Outcome, rounded};
use doorway_bench_table::text::grouped;
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
    /// In user space, for a unit of work, where the host counts them.
    pub instructions: Option<f64>,
    /// The contender's own part of that, where an app behind it is counted too.
    pub door_share: Option<f64>,
    /// What the case compares: work per CPU-second, or bytes per socket.
    pub figure: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub resident: u64,
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
    pub instructions: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub resident: u64,
    /// Of the CPU time, where an app behind the contender is counted too.
    pub door_share: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Case {
    pub caption: &'static Caption,
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
    pub fn new(caption: &'static Caption, samples: Vec<Sample>, missing: Vec<(Contender, String)>) -> Case {
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
                    instructions: of(&|sample| sample.instructions),
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

    fn is_counted(&self) -> bool {
        self.rows.iter().any(|row| row.instructions.is_some())
    }

    /// What is recorded of it.
    pub fn outcome(&self) -> Outcome {
        let figures = self.rows.iter().map(|row| {
            let cpu = row.user + row.system;
            let figures = Figures {
                figure: rounded(row.figure),
                user: (cpu > 0.0).then(|| rounded(row.user / cpu)),
                instructions: row.instructions.map(rounded),
                p50_ms: row.p50_ms.map(rounded),
                p99_ms: row.p99_ms.map(rounded),
                resident: Some(rounded(row.resident as f64) as u64),
                own: row.door_share.map(rounded),
            };
            (row.contender.name().to_owned(), figures)
        });
        Outcome { figures: figures.collect(), ..Outcome::default() }
    }

    pub fn table(&self) -> String {
        let mut text = format!("\n{}  ({})\n", self.caption.title, self.caption.unit);
        let _ = writeln!(
            text,
            "  {:<10} {:>14} {:>7} {:>14} {:>7} {:>7} {:>9} {:>9} {:>10}{}",
            "",
            "median",
            "ratio",
            "work done",
            "user s",
            "sys s",
            "p50 ms",
            "p99 ms",
            "resident",
            if self.is_counted() { "  instructions a unit" } else { "" }
        );
        for row in &self.rows {
            let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
            let _ = writeln!(
                text,
                "  {:<10} {:>14} {:>7} {:>14} {:>7.2} {:>7.2} {:>9} {:>9} {:>7} MB{}",
                row.contender.name(),
                grouped(row.figure),
                number(row.ratio),
                grouped(row.work as f64),
                row.user,
                row.system,
                number(row.p50_ms),
                number(row.p99_ms),
                row.resident / 1_000_000,
                row.instructions.map_or(String::new(), |count| format!("  {count:>19.2}"))
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
