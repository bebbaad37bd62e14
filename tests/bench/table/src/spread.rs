//! What runs say together: the median, the lowest and the highest.

use std::collections::{BTreeMap, BTreeSet};

use crate::caption::Caption;
use crate::record::{DOORWAY, Host, Run};

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
    /// Doorway beside the best peer of each run, and who that was, the most frequent first.
    best: Spread<'a>,
    pub names: Vec<&'a str>,
    /// Doorway beside each peer, worst first.
    pub ratios: Vec<(&'a str, Spread<'a>)>,
    /// Each contender's own figures.
    pub figures: BTreeMap<&'a str, Spread<'a>>,
    /// Doorway's instructions in user space for what a peer does with one.
    pub instructions: BTreeMap<&'a str, Spread<'a>>,
}

impl<'a> Summary<'a> {
    pub fn of(caption: &'static Caption, runs: &'a [Run]) -> Summary<'a> {
        let mut summary = Summary {
            caption,
            best: Spread::default(),
            names: Vec::new(),
            ratios: Vec::new(),
            figures: BTreeMap::new(),
            instructions: BTreeMap::new(),
        };
        let mut ratios: BTreeMap<&str, Spread> = BTreeMap::new();
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        let is_new = |run: &Run| run.supersedes.iter().any(|name| name == caption.name);
        for run in &runs[runs.iter().rposition(is_new).unwrap_or(0)..] {
            let Some(outcome) = run.cases.get(caption.name) else { continue };
            for (peer, ratio) in outcome.best(caption) {
                summary.best.add(ratio, &run.host);
                *names.entry(peer).or_default() += 1;
            }
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
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        summary.names = names.into_iter().map(|(name, _)| name).collect();
        summary.ratios = ratios.into_iter().collect();
        summary.ratios.sort_by(|(_, a), (_, b)| a.median().total_cmp(&b.median()));
        summary
    }

    /// Beside the best peer of each run, where there was one; the limit is none.
    pub fn best(&self) -> Option<&Spread<'a>> {
        (self.best.runs() > 0).then_some(&self.best)
    }

    /// Who that was.
    pub fn peers(&self) -> String {
        self.names.join(" or ")
    }
}

/// In which cases `run` is outside of what `runs` say, in words.
pub fn outside(run: &Run, runs: &[Run]) -> Vec<String> {
    let mut said = Vec::new();
    for (name, outcome) in &run.cases {
        let Some(caption) = Caption::of(name) else { continue };
        let summary = Summary::of(caption, runs);
        let Some(spread) = summary.best().filter(|spread| spread.runs() > 1) else { continue };
        for (peer, ratio) in outcome.best(caption) {
            // As it is printed: two digits behind the point.
            let printed = |value: f64| (value * 100.0).round();
            if printed(ratio) < printed(spread.lowest()) || printed(ratio) > printed(spread.highest()) {
                let (lowest, highest, count) = (spread.lowest(), spread.highest(), spread.runs());
                said.push(format!("{name}: {ratio:.2} × {peer}, {lowest:.2}–{highest:.2} in {count} runs"));
            }
        }
    }
    said
}
