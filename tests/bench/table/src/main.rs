//! Writes the tables and the picture from the record of runs; `--check` only says whether they agree with it.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let root = Path::new(".");
    let check = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [option] if option == "--check" => true,
        _ => bail!("table [--check]"),
    };
    let mut differ = Vec::new();
    for (name, text) in doorway_bench_table::written(root)? {
        let is_same = fs::read_to_string(root.join(name)).is_ok_and(|old| old == text);
        if !is_same && check {
            differ.push(name);
        } else if !is_same {
            fs::write(root.join(name), text)?;
            println!("written: {name}");
        }
    }
    if !differ.is_empty() {
        bail!("{} not what {} says: tests/bench/run table", differ.join(", "), doorway_bench_table::RECORD);
    }
    Ok(())
}
