//! A clock that is wrong, for one process: Debian's `libfaketime` tells it another time of day.

use std::path::PathBuf;

use super::DoorBuilder;

/// Far from the time of all others by `days`, before or after.
pub fn off_by(builder: DoorBuilder, days: f64) -> DoorBuilder {
    let offset = format!("{:+}", (days * 86_400.0).round());
    builder
        .env("LD_PRELOAD", library().to_str().expect("a path"))
        .env("FAKETIME", offset)
        // What is waited for passes as ever, and files keep their times.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
    let mut found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.find(|library| library.exists()).expect("the package `faketime` is installed")
}
