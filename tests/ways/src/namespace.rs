//! A network namespace without a name: gone when nobody is in it and nobody holds its descriptor.

use std::fs::File;
use std::io;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// Held open by its descriptor.
pub struct Namespace(File);

impl Namespace {
    /// A new one, with its loopback up.
    ///
    /// # Errors
    ///
    /// What the kernel or the rights have against it.
    pub fn new() -> io::Result<Namespace> {
        // Of a thread that ends, so that the caller stays where it is.
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net").map(Namespace)
        });
        let namespace = made.join().expect("it does not panic")?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The calling thread is in it from now on, with the sockets it opens and the processes it starts.
    ///
    /// # Errors
    ///
    /// As `new`.
    pub fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }

    /// Does something on a thread inside.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| self.enter().map(|()| act()));
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// `ip`, with these words.
    pub fn ip(&self, words: &str) -> io::Result<()> {
        let output = self.inside(|| Command::new("ip").args(words.split(' ')).output())?;
        let output = output.map_err(|error| io::Error::new(error.kind(), format!("ip (of iproute2): {error}")))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("ip {words}: {}", said.trim()))) }
    }

    /// Writes a setting of the kernel that each namespace has of its own, as `net.ipv4.tcp_congestion_control`.
    pub fn sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        self.inside(|| std::fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value))?
    }

    /// For `nsenter --net=` and the like, as long as this process lives.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    pub fn try_clone(&self) -> io::Result<Namespace> {
        self.0.try_clone().map(Namespace)
    }
}
