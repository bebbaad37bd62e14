//! Doorway beside its peers: the same work, in the same run, on the same processor, by the kernel's accounting.
//!
//! Contenders run on processor 0, load and upstream on processor 1. What is compared is work per CPU-second of all of a
//! contender's processes, so that a faster load generator favours nobody.

mod ably;
mod bare;
mod cases;
mod cluster;
mod contender;
mod count;
mod documents;
mod growth;
mod http;
mod instructions;
mod liveblocks;
mod process;
mod pusher;
mod recording;
mod report;
mod rest;
mod resume;
mod tally;
mod upstream;
mod ways;
mod websocket;
mod yjs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use doorway_bench_table::record::Run;

use cases::{CASES, CaseOf};
use contender::{Contender, Site};
use report::{Case, Sample};

/// What is no case but a measurement of its own, named alone.
const ALONE: &[&str] = &["ways", "growth", "instructions"];

/// Runs the benchmark, or the cases that are named. `all`: the rare ones too. Alone: `growth` (how figures grow),
/// `instructions` (of user space for one request of each kind, the same on every host), `ways` (over long and narrow ways).
#[derive(Parser)]
struct Arguments {
    /// Cases to run [default: all but the rare ones]
    cases: Vec<String>,
    /// Rounds; contenders take turns within each
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured in each round of each contender
    #[arg(long, default_value_t = 1.2)]
    seconds: f64,
    /// Adds the run to the record, tests/bench/runs.json; of growth, keeps it as tests/bench/growth.json and growth.svg
    #[arg(long)]
    record: bool,
    /// With --record: how the binary under test was built [default: the release profile, of the commit that is checked out]
    #[arg(long)]
    build: Option<String>,
    /// With --record: what one must know to read it
    #[arg(long, default_value = "")]
    note: String,
    /// Where results.json is written, with every sample
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Serves as the limit of fan-out, instead of running cases
    #[arg(long, hide = true)]
    bare: Option<std::net::SocketAddr>,
    /// The binary under test
    #[arg(long, default_value = BUILT)]
    doorway: PathBuf,
}

/// What `cargo build --release` makes.
const BUILT: &str = "target/release/doorway";

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(address) = arguments.bare {
        return bare::serve(address);
    }
    if cfg!(debug_assertions) || !arguments.doorway.components().any(|part| part.as_os_str() == "release") {
        bail!("a debug build says nothing about speed: build and run with --release");
    }
    if !arguments.doorway.is_file() {
        bail!("{} is not there: cargo build --release", arguments.doorway.display());
    }
    if arguments.record && arguments.build.is_none() && arguments.doorway != Path::new(BUILT) {
        bail!("say with --build how {} was built", arguments.doorway.display());
    }
    let alone = match arguments.cases.as_slice() {
        [name] => ALONE.iter().find(|alone| *alone == name),
        _ => None,
    };
    let cases = if alone.is_some() { Vec::new() } else { chosen(&arguments.cases)? };
    core_affinity::set_for_current(core_affinity::CoreId { id: process::LOAD_CPU });
    let folder = tempfile::tempdir()?;
    let (certificate, key) = certificate(folder.path())?;
    let doorway = fs::canonicalize(&arguments.doorway)?;
    let peers = fs::canonicalize("tests/bench/peers").context("run it at the project's root")?;
    let site = Site {
        folder: folder.path(),
        certificate: &certificate,
        key: &key,
        doorway: &doorway,
        peers: &peers,
        far: false,
        alone: false,
        processors: 1,
        counts: None,
    };
    fs::create_dir_all(&arguments.out)?;
    match alone.copied() {
        Some("ways") => return ways::run(&site, arguments.rounds),
        Some("growth") => {
            let out = if arguments.record { Path::new("tests/bench") } else { &arguments.out };
            let of = recording::run(arguments.build, &arguments.note)?;
            return growth::run(&site, arguments.rounds, arguments.seconds, of, out);
        }
        Some(_) => {
            let counted = instructions::run(&site)?;
            if arguments.record {
                let run = recording::run(arguments.build, &arguments.note)?;
                recording::add(Run { instructions: counted, ..run })?;
            }
            return Ok(());
        }
        None => {}
    }
    if let Some(why) = count::uncounted() {
        eprintln!("instructions are not counted on this host ({why})");
    }
    let (began, mut results) = (Instant::now(), Vec::new());
    for case in cases {
        let case = rounds(case, &arguments, &site);
        println!("{}", case.table());
        results.push(case);
    }
    println!("{:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
    fs::write(arguments.out.join("results.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    let run = recording::cases(arguments.build, &arguments.note, &results)?;
    if arguments.record { recording::add(run) } else { recording::compare(&run) }
}

/// The cases of these names: all but the rare ones where none is named.
fn chosen(names: &[String]) -> Result<Vec<&'static CaseOf>> {
    for name in names {
        if name != "all" && !CASES.iter().any(|case| case.caption().name == name) {
            let known: Vec<_> = CASES.iter().map(|case| case.caption().name).collect();
            bail!("no case {name:?}; there are: {}, and all; {} alone", known.join(", "), ALONE.join(", "));
        }
    }
    let is_chosen = |case: &&CaseOf| match names {
        [] => !case.caption().rare,
        names => names.iter().any(|name| name == "all" || name == case.caption().name),
    };
    Ok(CASES.iter().filter(is_chosen).collect())
}

/// All rounds of one case.
fn rounds(case: &CaseOf, arguments: &Arguments, site: &Site) -> Case {
    let (mut samples, mut missing): (Vec<Sample>, Vec<(Contender, String)>) = (Vec::new(), Vec::new());
    let (name, began) = (case.caption().name, Instant::now());
    // Memory hardly moves from round to round, and ten thousand sockets take long to open.
    let rounds = if case.caption().is_memory() { 1 } else { arguments.rounds };
    for round in 0..rounds {
        for turn in 0..case.contenders.len() {
            // Nobody is always first.
            let contender = case.contenders[(turn + round) % case.contenders.len()];
            if missing.iter().any(|(known, _)| *known == contender) {
                continue;
            }
            if contender.program(site).is_none() {
                missing.push((contender, "not installed".into()));
                continue;
            }
            let said = match cases::run(case, contender, round, arguments.seconds, site) {
                Ok(sample) => {
                    let said = format!("{:.0}", sample.figure);
                    samples.push(sample);
                    said
                }
                Err(error) => {
                    let said = format!("{error:#}");
                    missing.push((contender, said.clone()));
                    said
                }
            };
            eprintln!("{name} {} round {}: {said}", contender.name(), round + 1);
        }
    }
    eprintln!("{name}: {:.0} s", began.elapsed().as_secs_f64());
    Case::new(case.caption(), samples, missing)
}

fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}
