//! The record of runs: who was measured, when, on which host, and what came out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::caption::{Caption, KINDS};

/// Whose ratios are printed, and the limit that is no peer.
pub const DOORWAY: &str = "Doorway";
pub const BARE: &str = "bare send()";

/// Where a run was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    pub processor: String,
    pub processors: usize,
    pub kernel: String,
}

/// One run of some cases.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The day, as `2026-11-30`.
    pub date: String,
    pub host: Host,
    /// Which door was measured, and how it was built.
    pub build: String,
    /// What one must know to read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Why instructions were not counted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uncounted: String,
    /// Cases in which the door is another one than in all runs before, which say nothing of it any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<String>,
    /// By the names of cases.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cases: BTreeMap<String, Outcome>,
    /// Instructions of user space for one request of a kind, counted without the host's help: by kind and contender.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instructions: BTreeMap<String, BTreeMap<String, f64>>,
}

/// What came out of one case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// By the names of contenders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, Figures>,
    /// Where no figures were kept: the ratios to a peer that were written down, each of a run of its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratios: BTreeMap<String, Vec<f64>>,
}

/// One contender's, each the median of the run's rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// In the case's unit.
    pub figure: f64,
    /// Which part of its CPU time was in user space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<f64>,
    /// Of user space, for a unit of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// Its own part of the CPU time, where an app behind it is counted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<f64>,
}

impl Outcome {
    /// Doorway's figures beside each peer's: above 1 Doorway is better.
    pub fn ratios(&self, caption: &Caption) -> Vec<(&str, f64)> {
        let mut found: Vec<(&str, f64)> =
            self.ratios.iter().flat_map(|(peer, all)| all.iter().map(move |ratio| (peer.as_str(), *ratio))).collect();
        if let Some(own) = self.figures.get(DOORWAY) {
            let peers = self.figures.iter().filter(|(name, _)| *name != DOORWAY);
            found.extend(peers.map(|(name, of)| {
                let ratio = own.figure / of.figure;
                (name.as_str(), if caption.less_is_better { 1.0 / ratio } else { ratio })
            }));
        }
        found
    }
}

impl Outcome {
    /// Doorway beside whoever was best: one for each run that is in it.
    pub fn best(&self, caption: &Caption) -> Vec<(&str, f64)> {
        let mut left: Vec<(&str, f64)> = self.ratios(caption);
        left.retain(|(name, _)| *name != BARE);
        let mut found = Vec::new();
        while !left.is_empty() {
            // Of each peer the first that is left: they are of one run.
            let mut run: Vec<(&str, f64)> = Vec::new();
            left.retain(|(name, ratio)| {
                let is_known = run.iter().any(|(known, _)| known == name);
                if !is_known {
                    run.push((name, *ratio));
                }
                is_known
            });
            found.extend(run.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b)));
        }
        found
    }
}

/// So many digits as say something.
pub fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(3 - value.abs().log10().floor() as i32);
    // Beyond what is counted in ones there is nothing to divide by.
    if scale >= 1.0 { (value * scale).round() / scale } else { (value * scale).round() * (1.0 / scale).round() }
}

/// Reads what is recorded.
pub fn read(file: &Path) -> Result<Vec<Run>> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let runs: Vec<Run> = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
    for run in &runs {
        for name in run.cases.keys().chain(&run.supersedes) {
            Caption::of(name).with_context(|| format!("{}: no case {name:?}", file.display()))?;
        }
        if let Some(kind) = run.instructions.keys().find(|kind| !KINDS.contains(&kind.as_str())) {
            bail!("{}: no kind of request {kind:?}", file.display());
        }
    }
    Ok(runs)
}

/// Writes it: a line for each case, so that a change can be read.
pub fn write(file: &Path, runs: &[Run]) -> Result<()> {
    let mut text = String::from("[\n");
    for (number, run) in runs.iter().enumerate() {
        let head = Run { cases: BTreeMap::new(), instructions: BTreeMap::new(), ..run.clone() };
        let head = serde_json::to_string(&head)?;
        text.push_str(if number == 0 { "" } else { ",\n" });
        text.push_str(head.strip_suffix('}').context("a run is an object")?);
        lines(&mut text, "cases", &run.cases)?;
        lines(&mut text, "instructions", &run.instructions)?;
        text.push('}');
    }
    text.push_str("\n]\n");
    fs::write(file, text).with_context(|| file.display().to_string())
}

fn lines<T: Serialize>(text: &mut String, name: &str, values: &BTreeMap<String, T>) -> Result<()> {
    for (number, (key, value)) in values.iter().enumerate() {
        let before = if number == 0 { format!(",\n\"{name}\":{{") } else { ",".to_owned() };
        let _ = write!(text, "{before}\n  {}:{}", serde_json::to_string(key)?, serde_json::to_string(value)?);
    }
    text.push_str(if values.is_empty() { "" } else { "\n}" });
    Ok(())
}
