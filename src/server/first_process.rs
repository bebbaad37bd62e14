//! The first process of a container (PID 1): a small parent of the door, which passes signals on and buries the dead.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use tokio::signal::unix::{SignalKind, signal};

/// What is passed on, as it came.
const PASSED: [(SignalKind, Signal); 6] = [
    (SignalKind::terminate(), Signal::TERM),
    (SignalKind::interrupt(), Signal::INT),
    (SignalKind::hangup(), Signal::HUP),
    (SignalKind::quit(), Signal::QUIT),
    (SignalKind::user_defined1(), Signal::USR1),
    (SignalKind::user_defined2(), Signal::USR2),
];

/// How a shell says that a process ended by a signal: this and its number.
const BY_SIGNAL: i32 = 128;

/// Whether this is the first process. With sockets that were opened for it, which its child could not take, it stays the
/// only one.
pub fn is_first() -> bool {
    std::process::id() == 1 && std::env::var_os("LISTEN_PID").is_none()
}

/// Runs this program again with the same `arguments` as a child, until that ends. Whoever loses his parent becomes a child
/// of the first process, which alone can take him off the list of processes. The door itself cannot: it would take the
/// exit codes of its own children from those who wait for them.
///
/// # Errors
/// A sentence: the child cannot be started, or signals cannot be heard.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let told = |error: io::Error| format!("as the first process: {error}");
    runtime.map_err(told)?.block_on(attend(arguments)).map_err(told)
}

async fn attend(arguments: impl IntoIterator<Item = OsString>) -> io::Result<ExitCode> {
    let mut ended = signal(SignalKind::child())?;
    // The kernel drops what the first process does not listen for: it listens before there is a child.
    let [term, int, hup, quit, usr1, usr2] = PASSED.map(|(kind, _)| signal(kind));
    let (mut term, mut int, mut hup, mut quit, mut usr1, mut usr2) = (term?, int?, hup?, quit?, usr1?, usr2?);
    let mut command = Command::new(std::env::current_exe()?);
    // A group of its own: Ctrl-C reaches the first process alone, and the door hears of it once.
    command.args(arguments).process_group(0).env_remove("WATCHDOG_PID");
    let door = command.spawn()?.id();
    let door = i32::try_from(door).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("it has no number"))?;
    loop {
        let pass = tokio::select! {
            _ = ended.recv() => match bury(door)? {
                Some(code) => return Ok(code),
                None => continue,
            },
            _ = term.recv() => PASSED[0].1,
            _ = int.recv() => PASSED[1].1,
            _ = hup.recv() => PASSED[2].1,
            _ = quit.recv() => PASSED[3].1,
            _ = usr1.recv() => PASSED[4].1,
            _ = usr2.recv() => PASSED[5].1,
        };
        // It may have ended just now.
        let _ = kill_process(door, pass);
    }
}

/// Takes all who have ended off the list. Gives the door's exit code once it is among them; the kernel ends all others
/// when the first process does.
fn bury(door: Pid) -> io::Result<Option<ExitCode>> {
    while let Some((pid, status)) = wait(WaitOptions::NOHANG)? {
        if pid == door {
            let by_signal = status.terminating_signal().map(|number| BY_SIGNAL + number);
            let code = status.exit_status().or(by_signal).unwrap_or(1);
            return Ok(Some(ExitCode::from(u8::try_from(code).unwrap_or(1))));
        }
    }
    Ok(None)
}
