//! What is Linux's own of a connection's options, and what does in its place on other systems (for development).

use std::io;

use rustix::net::SendFlags;
use socket2::SockRef;

/// For a write that neither waits nor ends the process where the other side is gone.
#[cfg(target_os = "linux")]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// The same; std ignores the signal for the whole process.
#[cfg(not(target_os = "linux"))]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

/// Has a writer wait once so many bytes have not been sent yet (`TCP_NOTSENT_LOWAT`).
///
/// # Errors
/// Those of the system.
#[cfg(target_os = "linux")]
pub fn bound_unsent(socket: &SockRef<'_>, bytes: u32) -> io::Result<()> {
    socket.set_tcp_notsent_lowat(bytes)
}

/// The kernel's own bound is enough to develop with.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn bound_unsent(_socket: &SockRef<'_>, _bytes: u32) -> io::Result<()> {
    Ok(())
}
