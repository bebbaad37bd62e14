//! What is Linux's own of a connection's options, and what does in its place on other systems (for development).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SendFlags;
use socket2::SockRef;

/// For a write that neither waits nor ends the process where the other side is gone.
#[cfg(target_os = "linux")]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// The same; std ignores the signal for the whole process.
#[cfg(not(target_os = "linux"))]
pub const AT_ONCE: SendFlags = SendFlags::DONTWAIT;

/// As [`AT_ONCE`], where more follows at once: the kernel waits for that before it sends what fills no packet.
#[cfg(target_os = "linux")]
pub const BEFORE_MORE: SendFlags = AT_ONCE.union(SendFlags::MORE);

/// As [`AT_ONCE`]; what follows is not waited for.
#[cfg(not(target_os = "linux"))]
pub const BEFORE_MORE: SendFlags = AT_ONCE;

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

/// A pipe that holds `room` bytes where that is allowed, and waits for nobody.
///
/// # Errors
/// Those of the system.
#[cfg(target_os = "linux")]
pub fn pipe(room: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // One user may have so much in pipes; beyond it they are as small as they come, which does as well.
    let _ = fcntl_setpipe_size(&writer, room);
    Ok((reader, writer))
}

/// Where nothing can be moved, none is needed.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn pipe(_room: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Moves bytes from or to a pipe, at most so many; those of a file from `at` on.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::WouldBlock`] where there are none, or no room for them.
#[cfg(target_os = "linux")]
pub fn splice(from: &impl AsFd, mut at: Option<u64>, to: &impl AsFd, most: usize) -> io::Result<usize> {
    use rustix::pipe::SpliceFlags;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    Ok(rustix::io::retry_on_intr(|| rustix::pipe::splice(from, at.as_mut(), to, None, most, flags))?)
}

/// There is no such thing.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn splice(_from: &impl AsFd, _at: Option<u64>, _to: &impl AsFd, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a call failed because it is not to be had here: the kernel has none, or it is forbidden.
pub fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, Unsupported};
    matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported)
}

/// A pipe with `bytes` in it, and nobody who writes more.
///
/// # Errors
/// Those of the system, or that it does not hold so many.
pub fn filled_pipe(bytes: &[u8]) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe(bytes.len())?;
    if rustix::io::retry_on_intr(|| rustix::io::write(&writer, bytes))? < bytes.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(reader)
}

/// Has what is in one pipe in another too, at most so many bytes, from its beginning on.
///
/// # Errors
/// Those of the system; [`io::ErrorKind::WouldBlock`] where there are none, or no room for them.
#[cfg(target_os = "linux")]
pub fn tee(from: &OwnedFd, to: &OwnedFd, most: usize) -> io::Result<usize> {
    let flags = rustix::pipe::SpliceFlags::NONBLOCK;
    Ok(rustix::io::retry_on_intr(|| rustix::pipe::tee(from, to, most, flags))?)
}

/// There is no such thing.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn tee(_from: &OwnedFd, _to: &OwnedFd, _most: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
