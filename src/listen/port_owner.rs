//! Who holds a port, for the sentence that says so. Linux only; elsewhere, and without the right to look, nobody knows.

use std::fs;
use std::net::SocketAddr;

/// The program that listens on the port of `address`, as in `nginx (pid 12)`. Of several that share the socket the one that
/// was there first: the others are its children.
pub fn of(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let links: Vec<String> = tables.flat_map(|table| inodes(&table, address.port())).collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let holders = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut targets =
            fs::read_dir(process.path().join("fd")).ok()?.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let holds = targets.any(|target| target.to_str().is_some_and(|target| links.iter().any(|link| link == target)));
        let start = start(&fs::read_to_string(process.path().join("stat")).unwrap_or_default());
        holds.then(|| (start, pid, process.path()))
    });
    let (_, pid, path) = holders.min()?;
    let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
    Some(format!("{} (pid {pid})", name.trim()))
}

/// When a process was started, of its `stat`: the 22nd field, of which the second is a name that may have spaces in it.
fn start(stat: &str) -> u64 {
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    after_name.split(' ').nth(19).and_then(|start| start.parse().ok()).unwrap_or(u64::MAX)
}

/// The sockets that listen on `port`, as the links to them in `/proc/PID/fd` look.
fn inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let is_here = *state == LISTEN && u16::from_str_radix(local.rsplit(':').next()?, 16) == Ok(port);
        is_here.then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process() {
        let stat = "12 (a ) b) S 1 12 12 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 9876 1000 1 18446744073709551615 1";
        assert_eq!((start(stat), start("")), (9876, u64::MAX));
    }

    #[test]
    fn a_table_of_the_kernel() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n   \
                     1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n";
        assert_eq!(inodes(table, 8080), ["socket:[4711]"]);
        assert!(inodes(table, 80).is_empty());
    }
}
