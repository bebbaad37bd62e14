//! The PROXY protocol: the header in which a load balancer says whom it speaks for, before anything else.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>, versions 1 and 2. Not one byte behind the header is
//! taken from the socket. What else it says (TLVs) is passed over.

use std::io;
use std::net::SocketAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use rustix::net::RecvFlags;
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::TcpStream;

/// The longest header there can be: version 2 counts what follows its first 16 bytes in 16 bits.
const MAX_HEADER_LEN: usize = 16 + 65_535;
/// And version 1, its line end included.
const LONGEST_V1: usize = 107;
/// Room for version 1, and for version 2 with the usual TLVs.
const FIRST_READ: usize = 256;

/// No usable header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("the PROXY header is malformed")]
    Malformed,
    #[error("the PROXY header is missing")]
    Missing,
    #[error("the connection ended within the PROXY header")]
    CutShort,
    #[error("the connection broke within the PROXY header: {0}")]
    Broken(#[from] io::Error),
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderVerdict {
    /// A header of so many bytes, and the client it names; none when the proxy speaks for itself.
    Header(usize, Option<SocketAddr>),
    /// Could become one.
    Unfinished,
    Malformed,
    /// Something else.
    Other,
}

/// Reads the header; gives the client's address, or `None` when there is none to give: the proxy speaks for itself (a
/// health check), or, unless `is_required`, there is no header. Bound it in time.
///
/// # Errors
/// [`HeaderError`]; the connection is of no use then.
pub async fn read(stream: &mut TcpStream, is_required: bool) -> Result<Option<SocketAddr>, HeaderError> {
    let mut bytes = vec![0; FIRST_READ];
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        let mut verdict = HeaderVerdict::Unfinished;
        let looked = stream.try_io(Interest::READABLE, || {
            let seen = peek(stream, &mut bytes)?;
            verdict = judge(&bytes[..seen]);
            match verdict {
                // As long as nothing more comes there is no use in being woken.
                HeaderVerdict::Unfinished if seen < bytes.len() => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(()),
            }
        });
        match (looked, verdict) {
            (Ok(()), HeaderVerdict::Header(length, client)) => {
                stream.read_exact(&mut bytes[..length]).await?;
                return Ok(client);
            }
            (Ok(()), HeaderVerdict::Other) if !is_required => return Ok(None),
            (Ok(()), HeaderVerdict::Other) => return Err(HeaderError::Missing),
            (Ok(()), HeaderVerdict::Malformed) => return Err(HeaderError::Malformed),
            (Ok(()), HeaderVerdict::Unfinished) if bytes.len() == MAX_HEADER_LEN => return Err(HeaderError::Malformed),
            (Ok(()), HeaderVerdict::Unfinished) => bytes.resize(MAX_HEADER_LEN, 0),
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => {
                // Readiness for reading stays set for good once the other side has closed.
                if ready.is_read_closed() {
                    return Err(HeaderError::CutShort);
                }
            }
            (Err(error), _) => return Err(error.into()),
        }
    }
}

fn peek(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let (seen, _) = rustix::net::recv(stream, buffer, RecvFlags::PEEK)?;
    Ok(seen)
}

/// What `bytes`, the first of a connection, are. The parser is lenient in places where we are not.
pub fn judge(bytes: &[u8]) -> HeaderVerdict {
    const V1: &[u8] = b"PROXY ";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let is_version_1 = bytes.starts_with(V1);
    if !is_version_1 && !bytes.starts_with(V2) {
        let could_become_one = V1.starts_with(bytes) || V2.starts_with(bytes);
        return if could_become_one { HeaderVerdict::Unfinished } else { HeaderVerdict::Other };
    }
    let config = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };
    match ProxyHeader::parse(bytes, config) {
        Ok((_, length)) if is_version_1 && (length > LONGEST_V1 || bytes[..length].contains(&b'+')) => {
            HeaderVerdict::Malformed
        }
        Ok((header, length)) => match header.proxied_address() {
            Some(address) if address.protocol == Protocol::Datagram => HeaderVerdict::Malformed,
            address => HeaderVerdict::Header(length, address.map(|address| address.source)),
        },
        Err(Error::BufferTooShort) => HeaderVerdict::Unfinished,
        Err(_) => HeaderVerdict::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn v2(rest: &[u8]) -> Vec<u8> {
        [V2, rest].concat()
    }

    #[test]
    fn headers() {
        let client = |text: &str| Some(text.parse().unwrap());
        let cases: Vec<(Vec<u8>, HeaderVerdict)> = vec![
            (
                b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\nGET".into(),
                HeaderVerdict::Header(44, client("192.0.2.1:5000")),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 5000 443\r\n".into(),
                HeaderVerdict::Header(37, client("[2001:db8::1]:5000")),
            ),
            (b"PROXY UNKNOWN\r\n".into(), HeaderVerdict::Header(15, None)),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".into(), HeaderVerdict::Header(35, None)),
            (
                v2(b"\x21\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"),
                HeaderVerdict::Header(28, client("192.0.2.1:5000")),
            ),
            (
                v2(b"\x21\x11\0\x0f\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb\x04\0\0"),
                HeaderVerdict::Header(31, client("192.0.2.1:5000")),
            ),
            (v2(b"\x20\0\0\0"), HeaderVerdict::Header(16, None)),
            (v2(b"\x20\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"), HeaderVerdict::Header(28, None)),
            (v2(b"\x21\x11\0\x0c\xc0"), HeaderVerdict::Unfinished),
            (Vec::new(), HeaderVerdict::Unfinished),
            (b"P".into(), HeaderVerdict::Unfinished),
            (b"PROXY".into(), HeaderVerdict::Unfinished),
            (b"\r\n\r".into(), HeaderVerdict::Unfinished),
            (b"PROXY TCP4 192.0.2.1".into(), HeaderVerdict::Unfinished),
            (b"POST / HTTP/1.1\r\n".into(), HeaderVerdict::Other),
            (b"PROXYTCP4".into(), HeaderVerdict::Other),
            (b"\x16\x03\x01".into(), HeaderVerdict::Other),
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 70000\r\n".into(), HeaderVerdict::Malformed),
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 +5000 443\r\n".into(), HeaderVerdict::Malformed),
            (b"PROXY TCP4 2001:db8::1 ::1 5000 443\r\n".into(), HeaderVerdict::Malformed),
            (b"PROXY TCP4  192.0.2.1 198.51.100.1 5000 443\r\n".into(), HeaderVerdict::Malformed),
            (b"PROXY UDP4 192.0.2.1 198.51.100.1 5000 443\r\n".into(), HeaderVerdict::Malformed),
            (b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\n".into(), HeaderVerdict::Unfinished),
            ([b"PROXY TCP4 ".to_vec(), vec![b'1'; 120]].concat(), HeaderVerdict::Malformed),
            ([b"PROXY UNKNOWN ".to_vec(), vec![b'1'; 100], b"\r\n".to_vec()].concat(), HeaderVerdict::Malformed),
            (v2(b"\x11\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"), HeaderVerdict::Malformed),
            (v2(b"\x22\x11\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"), HeaderVerdict::Malformed),
            (v2(b"\x21\x12\0\x0c\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"), HeaderVerdict::Malformed),
            (v2(b"\x21\x11\0\x04\xc0\0\x02\x01\x7f\0\0\x01\x13\x88\x01\xbb"), HeaderVerdict::Malformed),
        ];
        for (bytes, verdict) in cases {
            assert_eq!(judge(&bytes), verdict, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }
}
