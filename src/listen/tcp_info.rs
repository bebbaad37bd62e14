//! What the kernel knows of a connection and its way (`TCP_INFO`).

use std::io;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::time::Duration;

/// One look at a connection: a system call, of some hundred nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpInfo {
    /// Something is on its way that the other side has not acknowledged. What waits here because its window is closed is
    /// not meant.
    pub is_unacknowledged: bool,
    /// Since anything was last acknowledged.
    pub since_acknowledgement: Duration,
    /// The way there and back, smoothed; zero where nothing was measured yet.
    pub round_trip: Duration,
}

impl TcpInfo {
    /// # Errors
    /// Where `socket` is none of TCP.
    #[cfg(target_os = "linux")]
    pub fn of(socket: &impl AsFd) -> io::Result<TcpInfo> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes there, and all zeros are a value of this struct of integers.
        #[expect(unsafe_code, reason = "no crate of the house reads this option")]
        let info = unsafe {
            let socket = socket.as_fd().as_raw_fd();
            if libc::getsockopt(socket, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length)
                != 0
            {
                return Err(io::Error::last_os_error());
            }
            info.assume_init()
        };
        Ok(TcpInfo {
            is_unacknowledged: info.tcpi_unacked > 0,
            since_acknowledgement: Duration::from_millis(info.tcpi_last_ack_recv.into()),
            round_trip: Duration::from_micros(info.tcpi_rtt.into()),
        })
    }

    /// # Errors
    /// Always: other systems tell of it in their own ways.
    #[cfg(not(target_os = "linux"))]
    pub fn of(_socket: &impl AsFd) -> io::Result<TcpInfo> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
