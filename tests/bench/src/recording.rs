//! A run beside the record of all: added to it, or compared with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use doorway_bench_table::record::{self, Host, Run};
use doorway_bench_table::{RECORD, spread, written};

use crate::count;
use crate::report::Case;

/// The run of some cases.
pub fn cases(build: Option<String>, note: &str, cases: &[Case]) -> Result<Run> {
    let measured = cases.iter().filter(|case| !case.rows.is_empty());
    let cases = measured.map(|case| (case.caption.name.to_owned(), case.outcome())).collect();
    let uncounted = count::uncounted().unwrap_or_default().to_owned();
    Ok(Run { cases, uncounted, ..run(build, note)? })
}

/// A run that has nothing yet: which door, and where.
pub fn run(build: Option<String>, note: &str) -> Result<Run> {
    let build = match build {
        Some(build) => build,
        None => format!("release, {}", said("git", &["describe", "--always", "--dirty"])?),
    };
    let processors = std::thread::available_parallelism()?.get();
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let host = Host {
        processor: model.map_or_else(|| std::env::consts::ARCH, |(_, model)| model.trim()).to_owned(),
        processors: processors.max(about.lines().filter(|line| line.starts_with("processor")).count()),
        kernel: format!("Linux {}", release.trim().split('-').next().unwrap_or_default()),
    };
    Ok(Run {
        date: said("date", &["+%F"])?,
        host,
        build,
        note: note.to_owned(),
        uncounted: String::new(),
        supersedes: Vec::new(),
        cases: BTreeMap::new(),
        instructions: BTreeMap::new(),
    })
}

/// What a program says, in one line.
fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Adds it to the record, and writes the tables and the picture anew.
pub fn add(run: Run) -> Result<()> {
    let file = Path::new(RECORD);
    let mut runs = record::read(file)?;
    runs.push(run);
    record::write(file, &runs)?;
    for (name, text) in written(Path::new("."))? {
        fs::write(name, text)?;
        println!("written: {name}");
    }
    Ok(())
}

/// Says where it is outside of what the tables print: a fault of the tables.
pub fn compare(run: &Run) -> Result<()> {
    let outside = spread::outside(run, &record::read(Path::new(RECORD))?);
    if outside.is_empty() {
        return Ok(());
    }
    println!(
        "\nOutside of what is recorded; where the build is a release and the host did nothing else, add it with --record:"
    );
    for line in outside {
        println!("  {line}");
    }
    Ok(())
}
