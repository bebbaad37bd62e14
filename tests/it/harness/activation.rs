//! The binary as a service manager starts it: with sockets handed over, and with limits.

use std::net::TcpListener;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::{dup2, fcntl_dupfd_cloexec};

/// The binary, with descriptors 3 and up and limits as `bash` would set them. `bash` becomes the binary, and so knows its process id,
/// or the `wrapper`, which does the same.
pub fn command(sockets: Vec<(String, TcpListener)>, limits: &str, wrapper: &str) -> Command {
    let binary = env!("CARGO_BIN_EXE_doorway");
    if sockets.is_empty() && limits.is_empty() && wrapper.is_empty() {
        return Command::new(binary);
    }
    let mut script = limits.to_owned();
    let names: Vec<_> = sockets.iter().map(|(name, _)| name.clone()).collect();
    if !names.is_empty() {
        script.push_str("export LISTEN_PID=$$; ");
    }
    script.push_str(&format!("exec {wrapper} {binary} \"$@\""));
    let mut command = Command::new("bash");
    command.args(["-c", &script, "doorway"]);
    if names.is_empty() {
        return command;
    }
    command.env("LISTEN_FDS", names.len().to_string());
    if names.iter().any(|name| !name.is_empty()) {
        command.env("LISTEN_FDNAMES", names.join(":"));
    }
    // SAFETY: between fork and exec only `dup2` and `fcntl` are called, and both are safe there.
    #[expect(unsafe_code, reason = "std offers no safe way to run something in the child before exec")]
    unsafe {
        command.pre_exec(move || {
            // First out of the way of each other, then in their places, open for what is executed.
            let mut high = Vec::with_capacity(sockets.len());
            for (_, socket) in &sockets {
                high.push(fcntl_dupfd_cloexec(socket, 100)?);
            }
            for (place, descriptor) in (3..).zip(high) {
                let mut place = OwnedFd::from_raw_fd(place);
                let copied = dup2(&descriptor, &mut place);
                let _ = place.into_raw_fd();
                copied?;
            }
            Ok(())
        });
    }
    command
}
