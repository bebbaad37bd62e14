//! Doorway beside its peers: the same work, in the same run, on the same processor, by the kernel's accounting.
//!
//! Contenders run on processor 0, load and upstream on processor 1. What is compared is work per CPU-second of all of a
//! contender's processes, so that a faster load generator favours nobody.

mod ably;
mod bare;
mod cases;
mod cluster;
mod contender;
mod documents;
mod growth;
mod http;
mod liveblocks;
mod process;
mod pusher;
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

use anyhow::{Context, Result, bail};
use clap::Parser;

use cases::CASES;
use contender::{Contender, Site};
use report::Case;

/// Runs the benchmark, or the cases that are named; `ways` alone is one of its own, over long and narrow ways, and `growth` another: how figures grow.
#[derive(Parser)]
struct Arguments {
    /// Cases to run [default: all]
    cases: Vec<String>,
    /// Rounds; contenders take turns within each
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured in each round of each contender
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Where results.json and results.svg are written
    #[arg(long, default_value = "tests/bench")]
    out: PathBuf,
    /// Serves as the limit of fan-out, instead of running cases
    #[arg(long, hide = true)]
    bare: Option<std::net::SocketAddr>,
    /// The binary under test
    #[arg(long, default_value = "target/release/doorway")]
    doorway: PathBuf,
}

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
    let over_ways = arguments.cases == ["ways"];
    let grows = arguments.cases == ["growth"];
    for name in arguments.cases.iter().filter(|_| !over_ways && !grows) {
        if !CASES.iter().any(|case| case.caption.name == name) {
            let known: Vec<_> = CASES.iter().map(|case| case.caption.name).collect();
            bail!("no case {name:?}; there are: {}, and ways or growth alone", known.join(", "));
        }
    }
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
        processors: 1,
    };
    if over_ways {
        return ways::run(&site, arguments.rounds);
    }
    if grows {
        return growth::run(&site, arguments.rounds, arguments.seconds, &arguments.out);
    }

    let mut results = Vec::new();
    for case in CASES {
        if !arguments.cases.is_empty() && !arguments.cases.iter().any(|name| name == case.caption.name) {
            continue;
        }
        let (mut samples, mut missing): (Vec<_>, Vec<(Contender, String)>) = (Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            for turn in 0..case.contenders.len() {
                // Nobody is always first.
                let contender = case.contenders[(turn + round) % case.contenders.len()];
                if missing.iter().any(|(known, _)| *known == contender) {
                    continue;
                }
                if contender.program(&site).is_none() {
                    missing.push((contender, "not installed".into()));
                    continue;
                }
                match cases::run(case, contender, round, arguments.seconds, &site) {
                    Ok(sample) => {
                        eprintln!(
                            "{} {} round {}: {:.0}",
                            case.caption.name,
                            contender.name(),
                            round + 1,
                            sample.figure
                        );
                        samples.push(sample);
                    }
                    Err(error) => {
                        eprintln!("{} {} round {}: {error:#}", case.caption.name, contender.name(), round + 1);
                        missing.push((contender, format!("{error:#}")));
                    }
                }
            }
        }
        let case = Case::new(case.caption, samples, missing);
        println!("{}", case.table());
        results.push(case);
    }
    fs::write(arguments.out.join("results.json"), serde_json::to_string_pretty(&results)? + "\n")?;
    fs::write(arguments.out.join("results.svg"), report::picture(&results))?;
    Ok(())
}

fn certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}
