//! Instructions in user space, where the host counts them: a figure that means the same on another host.

use std::cell::RefCell;
use std::io;
use std::sync::OnceLock;

use perf_event::events::{Event, Hardware};
use perf_event::{Builder, Counter};

/// What one process does, and all that it starts, from its next `exec` on.
pub struct Count(RefCell<Counter>);

impl Count {
    pub fn of(pid: u32, event: impl Event) -> io::Result<Count> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        let counter = Builder::new(event).observe_pid(pid).inherit(true).enable_on_exec(true).build()?;
        Ok(Count(RefCell::new(counter)))
    }

    pub fn so_far(&self) -> Option<u64> {
        let read = self.0.borrow_mut().read_full().ok()?;
        let (enabled, running) = (read.time_enabled()?, read.time_running()?);
        // Who shares the counter with others has it for a part of the time.
        let whole = u128::from(read.count()) * enabled.as_nanos().max(1) / running.as_nanos().max(1);
        u64::try_from(whole).ok()
    }
}

/// Instructions of a process, if this host counts them.
pub fn instructions(pid: u32) -> Option<Count> {
    uncounted().is_none().then(|| Count::of(pid, Hardware::INSTRUCTIONS).ok()).flatten()
}

/// Why nothing is counted here; tried once.
pub fn uncounted() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        let tried = || -> io::Result<u64> {
            let mut counter = Builder::new(Hardware::INSTRUCTIONS).inherit(true).build()?;
            counter.enable()?;
            std::hint::black_box((0..1_000_u64).map(std::hint::black_box).sum::<u64>());
            counter.disable()?;
            counter.read()
        };
        match tried() {
            Ok(1_000..) => None,
            Ok(count) => Some(format!("the counter of instructions says {count} after a loop of thousands")),
            Err(error) => Some(format!("perf_event_open: {error}")),
        }
    })
    .as_deref()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use perf_event::events::Software;

    use super::*;

    #[test]
    fn what_a_child_of_a_child_does_is_counted() {
        // Page faults: every host counts them.
        let script = "read -r _ && exec sh -c 'for n in 1 2 3 4 5 6 7 8; do /bin/true & done; wait'";
        let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let count = Count::of(child.id(), Software::PAGE_FAULTS).unwrap();
        assert_eq!(count.so_far(), Some(0), "nothing counts before the exec");
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        child.wait().unwrap();
        let alone = {
            let script = "read -r _ && exec sh -c ':'";
            let mut child = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
            let count = Count::of(child.id(), Software::PAGE_FAULTS).unwrap();
            child.stdin.take().unwrap().write_all(b"\n").unwrap();
            child.wait().unwrap();
            count.so_far().unwrap()
        };
        assert!(alone > 0);
        assert!(count.so_far().unwrap() > 8 * 30 + alone, "{:?} and {alone}", count.so_far());
    }

    #[test]
    fn a_host_counts_or_says_why_not() {
        match uncounted() {
            None => assert!(instructions(std::process::id()).is_some()),
            Some(why) => assert!(!why.is_empty() && instructions(std::process::id()).is_none()),
        }
    }
}
