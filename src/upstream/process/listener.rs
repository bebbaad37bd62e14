//! Where a process of ours listens, and whether it is that process: the kernel knows whose each socket is.

use std::collections::HashSet;
use std::fs::{read_dir, read_link, read_to_string};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::stat::Stat;

/// Who listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    /// Nobody of the group does; somebody else may.
    Nobody,
    /// One of the group, where it can be dialled.
    At(IpAddr),
    /// The kernel does not say whose sockets there are (no `/proc`, or a process of another user's).
    Unknown,
}

/// Who of the process group `group` listens on `port`. Reads `/proc`, so it is asked while an app starts and no more.
pub fn find(group: i32, port: u16) -> Listener {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(read_to_string);
    if tables.iter().all(Result::is_err) {
        return Listener::Unknown;
    }
    let listening: Vec<(IpAddr, u64)> =
        tables.iter().flatten().flat_map(|table| table.lines().filter_map(|line| listens(line, port))).collect();
    if listening.is_empty() {
        return Listener::Nobody;
    }
    let Some(own) = sockets(group) else { return Listener::Unknown };
    let found = listening.iter().find(|(_, inode)| own.contains(inode));
    found.map_or(Listener::Nobody, |(address, _)| Listener::At(dialled(*address)))
}

/// The ports that the process group `group` listens on, where the kernel says so.
pub fn ports(group: i32) -> Vec<u16> {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(read_to_string);
    let own = sockets(group).unwrap_or_default();
    let port = |line: &str| {
        let port = line.split_ascii_whitespace().nth(1)?.split_once(':')?.1;
        let port = u16::from_str_radix(port, 16).ok()?;
        listens(line, port).filter(|(_, inode)| own.contains(inode)).map(|_| port)
    };
    let mut ports: Vec<u16> = tables.iter().flatten().flat_map(|table| table.lines()).filter_map(port).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// A line of `/proc/net/tcp` (proc_pid_net(5)): the address and inode of a socket that listens on `port`.
fn listens(line: &str, port: u16) -> Option<(IpAddr, u64)> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (address, its_port) = fields.get(1)?.split_once(':')?;
    if *fields.get(3)? != LISTEN || u16::from_str_radix(its_port, 16).ok()? != port {
        return None;
    }
    Some((ip(address)?, fields.get(9)?.parse().ok()?))
}

/// Words of 32 bits, each as the machine keeps it.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// Who listens on all addresses is dialled on the loopback.
fn dialled(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address.to_canonical(),
    }
}

/// The inodes of all sockets of the group's processes; `None` where one does not show them.
fn sockets(group: i32) -> Option<HashSet<u64>> {
    let mut inodes = HashSet::new();
    let processes = read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    for process in processes.filter(|process| group_of(process) == Some(group)) {
        let Ok(files) = read_dir(process.join("fd")) else {
            // It may just have ended.
            if group_of(&process).is_some() {
                return None;
            }
            continue;
        };
        inodes.extend(files.flatten().filter_map(|file| {
            let target = read_link(file.path()).ok()?;
            target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
        }));
    }
    Some(inodes)
}

/// The process group.
fn group_of(process: &std::path::Path) -> Option<i32> {
    process.file_name()?.to_str()?.parse::<u32>().ok()?;
    // One that has ended has no files.
    Stat::of(process).filter(|stat| !stat.has_ended).map(|stat| stat.group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let v4 = "   0: 0101007F:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0 0 10 0";
        let v6 = "   0: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0";
        if cfg!(target_endian = "little") {
            assert_eq!(listens(v4, 3000), Some(([127, 0, 1, 1].into(), 4711)));
            assert_eq!(listens(v6, 3000), Some((Ipv6Addr::LOCALHOST.into(), 4712)));
        }
        assert_eq!(listens(v4, 3001), None, "another port");
        assert_eq!(listens(&v4.replace(" 0A ", " 01 "), 3000), None, "a connection");
        assert_eq!(listens("  sl  local_address rem_address   st", 3000), None);
    }

    #[test]
    fn one_that_listens_everywhere_is_dialled_on_the_loopback() {
        assert_eq!(dialled(Ipv4Addr::UNSPECIFIED.into()), Ipv4Addr::LOCALHOST);
        assert_eq!(dialled(Ipv6Addr::UNSPECIFIED.into()), Ipv6Addr::LOCALHOST);
        assert_eq!(dialled([127, 0, 1, 1].into()), Ipv4Addr::new(127, 0, 1, 1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_is_found_with_its_owner_and_with_nobody_else() {
        let own = rustix::process::getpgrp().as_raw_nonzero().get();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(find(own, port), Listener::At(Ipv4Addr::LOCALHOST.into()));
        // No process group has this number: it is above the kernel's highest.
        assert_eq!(find(i32::MAX, port), Listener::Nobody);
        drop(listener);
        assert_eq!(find(own, port), Listener::Nobody);
    }
}
