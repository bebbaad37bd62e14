//! Signals to processes of ours.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::PATIENCE;

/// Sends a process a signal by its name: "TERM", "HUP", … After "STOP" it has stopped.
pub fn send(pid: u32, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(status.expect("kill runs").success());
    // One thread takes the signal, and others may run on until that one has its turn.
    let deadline = Instant::now() + PATIENCE;
    while name == "STOP" && !stands_still(pid) {
        assert!(Instant::now() < deadline, "it never stopped");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn stands_still(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there");
    let mut states = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    states.all(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
}
