//! One contender's processes: started on a processor of their own, measured by the kernel's accounting, ended by id.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::count::{self, Count};

/// The processor that contenders run on; load and upstream have the other.
pub const CONTENDER_CPU: usize = 0;
pub const LOAD_CPU: usize = 1;

/// A process and everything it started. Ended when dropped.
pub struct Process {
    child: Child,
    count: Option<Count>,
}

/// What the kernel says of a process and its children.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Time in user space, in seconds.
    pub user: f64,
    /// Time in the kernel on its behalf, in seconds.
    pub system: f64,
    /// Instructions in user space, where the host counts them.
    pub instructions: Option<u64>,
    /// Resident memory, in bytes.
    pub resident: u64,
}

impl Usage {
    pub fn cpu(&self) -> f64 {
        self.user + self.system
    }

    /// The time since `before`, and the memory of now.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            user: self.user - before.user,
            system: self.system - before.system,
            instructions: self.instructions.zip(before.instructions).map(|(now, then)| now.saturating_sub(then)),
            resident: self.resident,
        }
    }

    /// The two together.
    pub fn and(self, other: Usage) -> Usage {
        Usage {
            user: self.user + other.user,
            system: self.system + other.system,
            instructions: self.instructions.zip(other.instructions).map(|(one, other)| one + other),
            resident: self.resident + other.resident,
        }
    }
}

impl Process {
    /// Starts `command` on the contenders' processor and waits until `address` accepts.
    pub fn start(
        command: &[String],
        environment: &[(&str, String)],
        log: &Path,
        address: SocketAddr,
    ) -> Result<Process> {
        Process::start_on(1, command, environment, log, address)
    }

    /// The same on the first so many processors.
    pub fn start_on(
        processors: usize,
        command: &[String],
        environment: &[(&str, String)],
        log: &Path,
        address: SocketAddr,
    ) -> Result<Process> {
        let output = fs::File::create(log)?;
        // It begins when it is told to, so that its instructions are counted from the first one on.
        let mut child = Command::new("sh")
            .args(["-c", "read -r _ && exec \"$@\" </dev/null", "sh", "taskset", "-c"])
            .arg(format!("{CONTENDER_CPU}-{}", CONTENDER_CPU + processors - 1))
            .args(command)
            .envs(environment.iter().map(|(key, value)| (*key, value)))
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command[0]))?;
        let count = count::instructions(child.id());
        child.stdin.take().context("no way to say when to begin")?.write_all(b"\n")?;
        let mut process = Process { child, count };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(address).is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", command[0], fs::read_to_string(log).unwrap_or_default());
            }
            if Instant::now() > deadline {
                bail!("{} never listened on {address}:\n{}", command[0], fs::read_to_string(log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(process)
    }

    pub fn usage(&self) -> Usage {
        let instructions = self.count.as_ref().and_then(Count::so_far);
        let mut usage = Usage { instructions, ..Usage::default() };
        for pid in self.family() {
            let (user, system) = cpu_seconds(pid).unwrap_or_default();
            usage.user += user;
            usage.system += system;
            usage.resident += resident(pid).unwrap_or_default();
        }
        usage
    }

    /// It and all that descend from it.
    pub fn family(&self) -> Vec<u32> {
        family(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Parents first: nginx's would start another child in place of one that ends.
        for pid in self.family() {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

/// A process and all that descend from it.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let tasks = fs::read_dir(format!("/proc/{}/task", found[next])).into_iter().flatten().flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// In user space, and in the kernel.
fn cpu_seconds(pid: u32) -> Option<(f64, f64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have spaces and parentheses: what counts begins after the last of them.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // USER_HZ is 100 on every Linux that Rust runs on.
    let seconds = |field: usize| Some(fields.get(field)?.parse::<f64>().ok()? / 100.0);
    Some((seconds(11)?, seconds(12)?))
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
