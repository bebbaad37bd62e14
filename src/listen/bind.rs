//! Opening the sockets that clients reach: those the service manager hands over, else new ones.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpListener;
use tracing::info;

use super::inherited::Inherited;
use super::system::bound_unsent;
use super::unsent;
use super::{Config, port_owner};

/// An open socket, and what is spoken on it.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    /// TLS first.
    pub is_secure: bool,
}

/// A socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{key}: cannot listen on {address}: {why}")]
pub struct BindError {
    /// The key of the config that asks for it.
    pub key: &'static str,
    pub address: SocketAddr,
    pub why: String,
    pub source: io::Error,
}

/// Opens every socket of `[listen]`; inherited ones named `http` or `https` stand in for the addresses of that key.
/// Needs a runtime.
///
/// # Errors
/// [`BindError`] when a port is in use or not ours to take.
pub fn open(config: &Config, inherited: &mut Inherited) -> Result<Vec<Listener>, BindError> {
    let ipv4_ports: Vec<u16> =
        config.http.iter().chain(&config.https).filter(|address| address.is_ipv4()).map(SocketAddr::port).collect();
    let mut listeners = Vec::new();
    for (kind, key, addresses) in [("http", "listen.http", &config.http), ("https", "listen.https", &config.https)] {
        for socket in open_kind(kind, key, addresses, config, &ipv4_ports, inherited)? {
            listeners.push(Listener { socket, is_secure: kind == "https" });
        }
    }
    Ok(listeners)
}

/// Opens the one socket of another room: inherited under the name `kind`, else bound to `address`. Needs a runtime.
///
/// # Errors
/// [`BindError`], which names `key`.
pub fn open_one(
    kind: &'static str,
    key: &'static str,
    address: SocketAddr,
    inherited: &mut Inherited,
) -> Result<TcpListener, BindError> {
    let sockets = open_kind(kind, key, &[address], &Config::default(), &[], inherited)?;
    sockets.into_iter().next().ok_or_else(|| BindError::new(key, address, io::ErrorKind::NotFound.into()))
}

fn open_kind(
    kind: &'static str,
    key: &'static str,
    addresses: &[SocketAddr],
    config: &Config,
    ipv4_ports: &[u16],
    inherited: &mut Inherited,
) -> Result<Vec<TcpListener>, BindError> {
    let given = inherited.take(kind);
    let is_inherited = !given.is_empty();
    let sockets = if is_inherited {
        given
    } else {
        let bind = |address: &SocketAddr| {
            bind(*address, config.backlog, ipv4_ports).map_err(|error| BindError::new(key, *address, error))
        };
        addresses.iter().map(bind).collect::<Result<Vec<_>, _>>()?
    };
    let mut opened = Vec::with_capacity(sockets.len());
    for socket in sockets {
        let wanted = addresses.first().copied().unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, 0).into());
        let failed = |error| BindError::new(key, wanted, error);
        prepare(&socket, config.tcp_keepalive).map_err(failed)?;
        let socket = TcpListener::from_std(socket.into()).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        info!(kind, %address, inherited = is_inherited, "listening");
        opened.push(socket);
    }
    Ok(opened)
}

fn bind(address: SocketAddr, backlog: u32, ipv4_ports: &[u16]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Alone, [::] is for IPv4 as well; beside an IPv4 address with its port it would be in its way.
        socket.set_only_v6(ipv4_ports.contains(&address.port()))?;
    }
    // Connections of the process before us may linger; they do not hold the port.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// What every accepted connection takes over from the socket it came in by, without a system call of its own.
///
/// Absent on purpose: TCP_USER_TIMEOUT, which also cuts clients that are there and only read slowly, and
/// TCP_DEFER_ACCEPT, which hides clients that connect and say nothing from our limits.
fn prepare(socket: &Socket, keepalive: Duration) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    bound_unsent(&socket, unsent::USUAL)?;
    let probes = TcpKeepalive::new().with_time(keepalive).with_interval(keepalive / 4).with_retries(4);
    socket.set_tcp_keepalive(&probes)
}

impl BindError {
    fn new(key: &'static str, address: SocketAddr, source: io::Error) -> BindError {
        let why = match source.kind() {
            io::ErrorKind::AddrInUse => match port_owner::of(address) {
                Some(port_owner) => format!("the port is in use by {port_owner}"),
                None => "the port is in use".to_owned(),
            },
            io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                "ports below 1024 are for root, or for whoever has the capability CAP_NET_BIND_SERVICE".to_owned()
            }
            io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
            _ => source.to_string(),
        };
        BindError { key, address, why, source }
    }
}
