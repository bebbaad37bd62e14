//! Sockets that the service manager opened for us (systemd's `LISTEN_FDS`): ports below 1024 without root, and a door
//! whose clients wait instead of being refused while it restarts.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Socket, Type};

/// The names that a socket may have (`FileDescriptorName=` of its unit).
const NAMES: [&str; 3] = ["http", "https", "admin"];
/// The name that [`sd_notify`] gives where the environment has none.
const NAMELESS: &str = "unknown";

/// What was handed over and is not in use yet.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(String, Socket)>);

/// What was handed over is not what we can use.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    #[error("the environment variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES do not agree: {0}")]
    Environment(io::Error),
    #[error(
        "the inherited socket {name:?} has a name that says nothing: set FileDescriptorName= to http, https or admin"
    )]
    Name { name: String },
    #[error("the inherited descriptor {descriptor} ({name}) is not a TCP socket that listens")]
    Kind { name: String, descriptor: RawFd },
}

impl Inherited {
    /// Takes over what the environment names, once in the life of a process; later calls find nothing.
    ///
    /// Sockets without names (`LISTEN_FDNAMES` is not set) are for plain HTTP.
    ///
    /// # Errors
    /// [`InheritedError`] when it is not what it should be.
    pub fn receive() -> Result<Inherited, InheritedError> {
        static RECEIVED: AtomicBool = AtomicBool::new(false);
        if RECEIVED.swap(true, Ordering::SeqCst) {
            return Ok(Inherited::default());
        }
        let mut sockets = Vec::new();
        for (descriptor, name) in sd_notify::listen_fds_with_names().map_err(InheritedError::Environment)? {
            let name = if name == NAMELESS { "http".to_owned() } else { name };
            // SAFETY: the service manager opened it for this process alone, and nobody else takes it: see RECEIVED.
            #[expect(unsafe_code, reason = "a descriptor comes as a number, and only we can say that it is ours")]
            let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
            if !NAMES.contains(&name.as_str()) {
                return Err(InheritedError::Name { name });
            }
            if !listens(&socket) {
                return Err(InheritedError::Kind { name, descriptor });
            }
            sockets.push((name, socket));
        }
        Ok(Inherited(sockets))
    }

    /// Those with this name.
    pub fn take(&mut self, name: &str) -> Vec<Socket> {
        self.0.extract_if(.., |(given, _)| given == name).map(|(_, socket)| socket).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }
}

fn listens(socket: &Socket) -> bool {
    let is_ip = socket.local_addr().is_ok_and(|address| address.as_socket().is_some());
    is_ip && socket.r#type().is_ok_and(|kind| kind == Type::STREAM) && socket.is_listener().unwrap_or(false)
}
