//! What runs say together: the median, the lowest and the highest.

use std::collections::{BTreeMap, BTreeSet};

use crate::caption::Caption;
use crate::record::{BARE, DOORWAY, Host, Run};

/// Figures of several runs.
#[derive(Debug, Default)]
pub struct Spread<'a> {
    values: Vec<f64>,
    hosts: BTreeSet<&'a Host>,
}

impl<'a> Spread<'a> {
    pub(crate) fn add(&mut self, value: f64, host: &'a Host) {
        self.values.push(value);
        self.values.sort_by(f64::total_cmp);
        self.hosts.insert(host);
    }

    pub fn median(&self) -> f64 {
        let middle = self.values.len() / 2;
        if self.values.len().is_multiple_of(2) {
            (self.values[middle - 1] + self.values[middle]) / 2.0
        } else {
            self.values[middle]
        }
    }

    pub fn lowest(&self) -> f64 {
        self.values[0]
    }

    pub fn highest(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    pub fn runs(&self) -> usize {
        self.values.len()
    }

    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }
}

/// One case in all runs. What is not there was never measured.
#[derive(Debug)]
pub struct Summary<'a> {
    pub caption: &'static Caption,
    /// Doorway beside each peer, worst first: the best peer is the one that leaves Doorway least.
    pub ratios: Vec<(&'a str, Spread<'a>)>,
    /// Each contender's own figures.
    pub figures: BTreeMap<&'a str, Spread<'a>>,
    /// Doorway's instructions in user space for what a peer does with one.
    pub instructions: BTreeMap<&'a str, Spread<'a>>,
}

impl<'a> Summary<'a> {
    pub fn of(caption: &'static Caption, runs: &'a [Run]) -> Summary<'a> {
        let mut summary =
            Summary { caption, ratios: Vec::new(), figures: BTreeMap::new(), instructions: BTreeMap::new() };
        let mut ratios: BTreeMap<&str, Spread> = BTreeMap::new();
        for run in runs {
            let Some(outcome) = run.cases.get(caption.name) else { continue };
            for (peer, ratio) in outcome.ratios(caption) {
                ratios.entry(peer).or_default().add(ratio, &run.host);
            }
            for (name, figures) in &outcome.figures {
                summary.figures.entry(name).or_default().add(figures.figure, &run.host);
            }
            let counted = |name: &str| outcome.figures.get(name).and_then(|figures| figures.instructions);
            let Some(own) = counted(DOORWAY) else { continue };
            for peer in outcome.figures.keys().filter(|name| *name != DOORWAY) {
                if let Some(count) = counted(peer) {
                    summary.instructions.entry(peer).or_default().add(own / count, &run.host);
                }
            }
        }
        summary.ratios = ratios.into_iter().collect();
        summary.ratios.sort_by(|(_, a), (_, b)| a.median().total_cmp(&b.median()));
        summary
    }

    /// The best peer; the limit is none.
    pub fn best(&self) -> Option<&(&'a str, Spread<'a>)> {
        self.ratios.iter().find(|(name, _)| *name != BARE)
    }
}

/// In which cases `run` is outside of what `runs` say, in words.
pub fn outside(run: &Run, runs: &[Run]) -> Vec<String> {
    let mut said = Vec::new();
    for (name, outcome) in &run.cases {
        let Some(caption) = Caption::of(name) else { continue };
        let summary = Summary::of(caption, runs);
        let Some((peer, spread)) = summary.best().filter(|(_, spread)| spread.runs() > 1) else { continue };
        for (_, ratio) in outcome.ratios(caption).iter().filter(|(name, _)| name == peer) {
            // As it is printed: two digits behind the point.
            let printed = |value: f64| (value * 100.0).round();
            if printed(*ratio) < printed(spread.lowest()) || printed(*ratio) > printed(spread.highest()) {
                let (lowest, highest, count) = (spread.lowest(), spread.highest(), spread.runs());
                said.push(format!("{name}: {ratio:.2} × {peer}, {lowest:.2}–{highest:.2} in {count} runs"));
            }
        }
    }
    said
}
