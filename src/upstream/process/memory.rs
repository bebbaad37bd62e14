//! How much memory is left, and whether it is short, by the kernel's word: of all of it, and of what our control group may
//! have.

use std::fs;
use std::path::{Path, PathBuf};

/// Less than this part of all memory is little, and less than so much, in bytes: an app needs about as much.
const LITTLE_PART: u64 = 16;
const LITTLE: u64 = 96 << 20;
/// Where the kernel tells of control groups, in their second version.
const GROUPS: &str = "/sys/fs/cgroup";
/// So much of the last ten seconds somebody waited for memory, in hundredths.
const PRESSURE: f64 = 20.0;

/// What is short, in a few words; `None` where nothing is, or nobody says.
pub async fn shortage() -> Option<&'static str> {
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

fn look() -> Option<&'static str> {
    let read = |file: &Path| fs::read_to_string(file).unwrap_or_default();
    if is_little(&read(Path::new("/proc/meminfo"))) {
        return Some("little memory is available");
    }
    let group = group(&read(Path::new("/proc/self/cgroup")));
    if is_under_pressure(&read(Path::new("/proc/pressure/memory"))) {
        return Some("others wait for memory");
    }
    groups(&group?)
        .any(|(most, left)| left < LITTLE.min(most / 4))
        .then_some("its control group has little memory left")
}

/// Memory that can be had without swapping, in bytes; `None` where the system does not say. Blocks.
pub fn available() -> Option<u64> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let of_machine = field(&read("/proc/meminfo"), "MemAvailable:")? << 10;
    let group = group(&read("/proc/self/cgroup"));
    let of_groups = group.and_then(|group| groups(&group).map(|(_, left)| left).min());
    Some(of_groups.map_or(of_machine, |of_groups| of_groups.min(of_machine)))
}

/// The limit of each control group that has one, and what is left of it, in bytes: of `innermost` and those around it.
fn groups(innermost: &Path) -> impl Iterator<Item = (u64, u64)> {
    let all = innermost.ancestors().take_while(|group| group.starts_with(GROUPS));
    all.filter_map(|group| {
        let read = |name: &str| fs::read_to_string(group.join(name)).unwrap_or_default();
        let number = |name: &str| read(name).trim().parse::<u64>().ok();
        let (most, used) = (number("memory.max")?, number("memory.current")?);
        // Files that could go at once count as used.
        let idle = field(&read("memory.stat"), "inactive_file").unwrap_or_default();
        Some((most, most.saturating_sub(used.saturating_sub(idle))))
    })
}

/// By `/proc/meminfo`, in KiB.
fn is_little(text: &str) -> bool {
    let kib = |name: &str| field(text, name).map(|kib| kib << 10);
    kib("MemAvailable:")
        .zip(kib("MemTotal:"))
        .is_some_and(|(left, all)| left < LITTLE.max(all / LITTLE_PART).min(all / 4))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok()).flatten())
}

/// By the kernel's pressure stall information, where it is switched on.
fn is_under_pressure(text: &str) -> bool {
    let some = text.lines().find(|line| line.starts_with("some "));
    let average = some.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix("avg10=")));
    average.and_then(|average| average.parse::<f64>().ok()).is_some_and(|average| average >= PRESSURE)
}

/// The folder of our group.
fn group(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(GROUPS).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_what_one_more_app_would_take() {
        let memory = |total: u64, available: u64| {
            is_little(&format!("MemTotal: {} kB\nMemFree: 1 kB\nMemAvailable: {} kB\n", total << 10, available << 10))
        };
        for (total, available, expected) in [
            (512, 90, true),
            (512, 100, false),
            (1024, 90, true),
            (8192, 500, true),
            (8192, 520, false),
            (256, 60, true),
            (256, 70, false),
        ] {
            assert_eq!(memory(total, available), expected, "{available} of {total} MiB");
        }
        assert!(!is_little(""), "nobody says");
    }

    #[test]
    fn pressure_is_the_last_ten_seconds() {
        let text =
            |some: &str| format!("some avg10={some} avg60=90.00 avg300=0.00 total=1\nfull avg10=99.00 avg60=0.00\n");
        assert!(is_under_pressure(&text("20.00")) && !is_under_pressure(&text("19.99")) && !is_under_pressure(""));
    }

    #[test]
    fn our_group_is_found() {
        assert_eq!(
            group("0::/system.slice/doorway.service\n").unwrap(),
            Path::new("/sys/fs/cgroup/system.slice/doorway.service")
        );
        assert_eq!(group("1:memory:/x\n"), None);
    }
}
