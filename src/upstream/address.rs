//! Where the app listens, and how to get there.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use tokio::net::{TcpStream, UnixStream};
use toml::de::DeValue;

use super::socket::{Reader, Writer, bound_what_waits};
use crate::http::authority::unbracketed;
use crate::settings::{Expected, Setting};

/// An address that can be dialled: `http://HOST:PORT` or `unix:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// Why a text is not an [`Address`], to finish "must be …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressError(pub &'static str);

impl Address {
    /// A port of this machine's own, where apps that this process starts listen.
    pub fn loopback(port: u16) -> Address {
        Address::Tcp { host: "127.0.0.1".into(), port }
    }

    /// The port; `None` for a path in the file system.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp { port, .. } => Some(*port),
            Address::Unix(_) => None,
        }
    }

    /// The host and port as they stand in `Host` and in URLs; `localhost` for a path in the file system.
    pub fn authority(&self) -> String {
        match self {
            Address::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".into(),
        }
    }

    /// Whether whoever dials it comes to `listener`, a socket of this machine's. Looks up a name, so it blocks.
    pub fn leads_to(&self, listener: SocketAddr) -> bool {
        let Address::Tcp { host, port } = self else { return false };
        if listener.port() != *port {
            return false;
        }
        let covers = |dialled: IpAddr| match (listener.ip().to_canonical(), reached(dialled)) {
            (IpAddr::V4(any), IpAddr::V4(dialled)) if any.is_unspecified() => is_here(dialled.into()),
            (IpAddr::V6(any), dialled) if any.is_unspecified() => is_here(dialled),
            (listener, dialled) => listener == dialled,
        };
        match host.parse() {
            Ok(address) => covers(address),
            Err(_) => (host.as_str(), *port)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| covers(address.ip()))),
        }
    }

    /// Opens a connection. A name is looked up each time, and its addresses are tried in turn.
    ///
    /// # Errors
    /// The last address's error, or that of the look-up.
    pub async fn dial(&self) -> io::Result<(Reader, Writer)> {
        match self {
            Address::Tcp { host, port } => {
                let stream = match host.parse::<IpAddr>() {
                    Ok(address) => TcpStream::connect((address, *port)).await?,
                    Err(_) => TcpStream::connect((host.as_str(), *port)).await?,
                };
                stream.set_nodelay(true)?;
                bound_what_waits(&stream)?;
                let (reader, writer) = stream.into_split();
                Ok((Reader::Tcp(reader), Writer::Tcp(writer)))
            }
            Address::Unix(path) => {
                let (reader, writer) = UnixStream::connect(path).await?.into_split();
                Ok((Reader::Unix(reader), Writer::Unix(writer)))
            }
        }
    }
}

/// Who dials "any address" comes to the loopback.
fn reached(dialled: IpAddr) -> IpAddr {
    match dialled.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Whether `address` is one of this machine's: nobody can bind another's.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { .. } => write!(f, "http://{}", self.authority()),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        const SHAPE: AddressError =
            AddressError("a URL of plain HTTP, as in \"http://127.0.0.1:3000\", or \"unix:/run/app.sock\"");
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Address::Unix(path)) } else { Err(SHAPE) };
        }
        let url: Uri = text.parse().map_err(|_| SHAPE)?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(AddressError("http://: TLS ends at the door, and the app is asked in the clear"));
            }
            _ => return Err(SHAPE),
        }
        let authority = url.authority().ok_or(SHAPE)?;
        if authority.as_str().contains('@') {
            return Err(AddressError("a URL without a user name"));
        }
        if !matches!(url.path_and_query().map(|path| path.as_str()), None | Some("/")) {
            return Err(AddressError("a URL without a path: the app is asked for the same paths as the door"));
        }
        let host = authority.host();
        // Not `port()`: a port that is too large is no port to it.
        let port = match authority.as_str()[host.len()..].strip_prefix(':') {
            None => 80,
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(SHAPE)?,
        };
        let host = unbracketed(host);
        if host.is_empty() {
            return Err(SHAPE);
        }
        Ok(Address::Tcp { host: host.to_owned(), port })
    }
}

impl Setting for Address {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        value.as_str().unwrap_or_default().parse().map_err(|AddressError(words)| Expected(words.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Address, AddressError> {
        Ok(Address::Tcp { host: host.into(), port })
    }

    #[test]
    fn urls_and_paths_are_understood() {
        assert_eq!("http://127.0.0.1:3000".parse(), tcp("127.0.0.1", 3000));
        assert_eq!("http://localhost:3000/".parse(), tcp("localhost", 3000));
        assert_eq!("http://[::1]:3000".parse(), tcp("::1", 3000));
        assert_eq!("http://app.internal".parse(), tcp("app.internal", 80));
        assert_eq!("unix:/run/app.sock".parse(), Ok(Address::Unix("/run/app.sock".into())));
        let ipv6: Address = "http://[::1]:3000".parse().unwrap();
        assert_eq!(ipv6.to_string(), "http://[::1]:3000");
    }

    #[test]
    fn what_cannot_be_dialled_is_refused() {
        for text in [
            "",
            "localhost:3000",
            "/",
            "https://app:443",
            "ftp://app",
            "http://",
            "http://:3000",
            "http://app:0",
            "http://app:99999",
            "http://app/path",
            "http://user@app",
            "unix:app.sock",
            "unix:",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
