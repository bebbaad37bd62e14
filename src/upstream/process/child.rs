//! One process with all its descendants: a group of its own, its output in the log, its end certain.
#![expect(clippy::disallowed_methods, reason = "the log of a process is read until the process closes it")]

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::hook::hook;
use super::output::{self, Hears, LastLines, Stream};
use crate::telemetry::log;
use crate::upstream::ear::Ear;
use crate::upstream::hearing::Voice;

/// Variables by which the service manager speaks to us, and to nobody else.
const NOT_INHERITED: &[&str] =
    &["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Between two looks whether all that a process has started is gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long what an ended process wrote is waited for; another may have its output open and go on.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Debug, Clone)]
pub struct Program {
    /// What its lines in the log say they belong to: `install`, `build` or `run`.
    pub step: &'static str,
    pub program: PathBuf,
    /// JavaScript that runs before the program that the arguments name. For Node.js alone.
    pub before: Option<String>,
    pub arguments: Vec<OsString>,
    pub directory: PathBuf,
    /// Over the environment of this process; `None` takes a variable away.
    pub environment: Vec<(OsString, Option<OsString>)>,
}

/// Dropped, it ends at once with everything that it has started.
pub struct Child {
    process: tokio::process::Child,
    group: Pid,
    /// Those that copy what it writes into the log, until they have all of it.
    output: Vec<JoinHandle<()>>,
    last: LastLines,
    has_ended: bool,
    /// It is told what others declare old.
    _listening: Option<Arc<Ear>>,
}

impl Program {
    /// As a person would type it, for messages.
    pub fn command_line(&self) -> String {
        let name = Path::new(&self.program).file_name().unwrap_or_default().to_string_lossy();
        let arguments = self.arguments.iter().map(|argument| argument.to_string_lossy());
        std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
    }

    /// Starts it. With a `voice`, it is Next.js, and says there what it declares old.
    ///
    /// # Errors
    /// Those of the system: most often that there is no such program.
    pub fn spawn(&self, voice: Option<Voice>) -> io::Result<Child> {
        self.spawn_heard(voice, None)
    }

    /// The same; `hears` is told each line that it writes.
    ///
    /// # Errors
    /// Those of [`spawn`](Program::spawn).
    pub fn spawn_heard(&self, voice: Option<Voice>, hears: Option<Hears>) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        if let Some(code) = &self.before {
            let hook = voice.as_ref().map(|voice| hook(voice.mouth, voice.ear.as_raw_fd())).unwrap_or_default();
            command.args(["-e", &format!("{hook}{code}"), "--"]);
        }
        command.args(&self.arguments).current_dir(&self.directory);
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        // It writes to us and not to the terminal, so it would not think of colours by itself.
        if log::has_colours() && std::env::var_os("FORCE_COLOR").is_none() {
            command.env("FORCE_COLOR", "1");
        }
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        // Its own group: Ctrl-C on our terminal is ours to pass on, and signals reach all that it starts.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        ends_with_us(&mut command);
        if let Some(voice) = &voice {
            inherits(&mut command, voice.mouth);
            inherits(&mut command, voice.ear.as_raw_fd());
        }
        let mut process = command.spawn()?;
        let group = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let group = group.ok_or_else(|| io::Error::other("it ended as it began"))?;
        let last = LastLines::heard_by(hears);
        let stdout = process
            .stdout
            .take()
            .map(|stdout| tokio::spawn(output::copy(stdout, Stream::Stdout, self.step, last.clone())));
        let stderr = process
            .stderr
            .take()
            .map(|stderr| tokio::spawn(output::copy(stderr, Stream::Stderr, self.step, last.clone())));
        let output = stdout.into_iter().chain(stderr).collect();
        let listening = voice.map(|voice| voice.listening);
        Ok(Child { process, group, output, last, has_ended: false, _listening: listening })
    }
}

/// Even when we are killed: the kernel then asks it to end. It watches the thread that starts the child, so processes
/// are started on the runtime's own threads, which live as long as we do.
#[cfg(target_os = "linux")]
fn ends_with_us(command: &mut Command) {
    let ask = || rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from);
    // SAFETY: between fork and exec it makes one system call and touches no memory of ours.
    #[expect(unsafe_code, reason = "std offers no safe way to run something in the child before exec")]
    unsafe {
        command.pre_exec(ask)
    };
}

/// Has the child, and no other, get the file `fd` of ours by the same number.
fn inherits(command: &mut Command, fd: RawFd) {
    let keep = move || {
        // SAFETY: the caller's file is open in the child too, until it becomes another program.
        #[expect(unsafe_code, reason = "a number is all that may be had between fork and exec")]
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).map_err(io::Error::from)
    };
    // SAFETY: between fork and exec it makes one system call and touches no memory of ours.
    #[expect(unsafe_code, reason = "std offers no safe way to run something in the child before exec")]
    unsafe {
        command.pre_exec(keep)
    };
}

#[cfg(not(target_os = "linux"))]
fn ends_with_us(_command: &mut Command) {}

impl Child {
    pub fn id(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// What it wrote last, a few dozen lines at most.
    pub fn last_lines(&self) -> Vec<String> {
        self.last.get()
    }

    /// Waits for its end, then ends what it left behind. Cancel-safe.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.process.wait().await;
        self.has_ended = true;
        // Nobody of the group may be there any more; that is as good.
        let _ = kill_process_group(self.group, Signal::KILL);
        // What it said last says why: whoever reports its end comes behind that.
        let _ = timeout(LAST_WORDS, async {
            while let Some(copying) = self.output.last_mut() {
                let _ = copying.await;
                self.output.pop();
            }
        })
        .await;
        status
    }

    /// Asks it to end, and after `grace` makes it.
    pub async fn stop(mut self, grace: Duration) {
        if self.has_ended || kill_process_group(self.group, Signal::TERM).is_err() {
            return;
        }
        let ended = timeout(grace, async {
            let _ = self.process.wait().await;
            // A script's shell or package manager may end before the app that it has started.
            while test_kill_process_group(self.group).is_ok() {
                sleep(LOOK_INTERVAL).await;
            }
        });
        if ended.await.is_ok() {
            self.has_ended = true;
        } else {
            warn!(pid = self.id(), ?grace, "the app does not end, it is killed");
            let _ = kill_process_group(self.group, Signal::KILL);
            let _ = self.wait().await;
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.has_ended {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}
