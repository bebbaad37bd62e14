//! How much memory is free for a build.

use std::fs;

/// Memory that can be had without swapping, in bytes; `None` where the system does not say. A limit of the control group
/// that this process is in counts too. Blocks.
pub fn available() -> Option<u64> {
    let of_machine = of_machine(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |file: &str| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok()?.trim().parse::<u64>().ok();
    let of_group = number("memory.max").zip(number("memory.current")).map(|(max, used)| max.saturating_sub(used));
    Some(of_group.map_or(of_machine, |of_group| of_group.min(of_machine)))
}

fn of_machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_available_is_read_in_kib() {
        let meminfo = "MemTotal:       16000 kB\nMemFree:   7 kB\nMemAvailable:    2000 kB\n";
        assert_eq!(super::of_machine(meminfo), Some(2_048_000));
        assert_eq!(super::of_machine("nothing"), None);
    }
}
