//! What the kernel says of a process in `/proc/PID/stat` (proc_pid_stat(5)).

use std::fs::read_to_string;
use std::path::Path;

/// A few of its fields.
pub struct Stat {
    /// It has ended, and was not waited for.
    pub has_ended: bool,
    pub group: i32,
    pub session: i32,
    /// In ticks since the machine began: with its number it names a process for good.
    pub began: u64,
}

impl Stat {
    /// Of the process whose folder below `/proc` this is.
    pub fn of(process: &Path) -> Option<Stat> {
        let text = read_to_string(process.join("stat")).ok()?;
        // Counted from behind the name, which may hold anything: this one is the third of all.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        Some(Stat {
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            group: fields.get(2)?.parse().ok()?,
            session: fields.get(3)?.parse().ok()?,
            began: fields.get(19)?.parse().ok()?,
        })
    }
}
