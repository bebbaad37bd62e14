//! The record of runs, and the tables and the picture that are written from it.

pub mod caption;
pub mod picture;
pub mod record;
pub mod spread;
pub mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Where the record is, from the project's root.
pub const RECORD: &str = "tests/bench/runs.json";

/// What the record says of each file that is written from it: the file, and its text.
pub fn written(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let runs = record::read(&root.join(RECORD))?;
    let guide = |name: &str, text: &str| {
        let old = fs::read_to_string(root.join(name)).with_context(|| name.to_owned())?;
        text::put(&old, text).with_context(|| name.to_owned())
    };
    Ok(vec![
        ("README.md", guide("README.md", &text::front(&runs))?),
        ("tests/bench/README.md", guide("tests/bench/README.md", &text::whole(&runs))?),
        ("tests/bench/results.svg", picture::draw(&runs)),
    ])
}

#[cfg(test)]
mod tests;
