//! The head of an answer: parsed, and refused where two readers could read it in two ways (RFC 9112 section 6.3).

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Misbehaviour;
use crate::http::field_line::decimal;

/// The longest head, in bytes. Larger than any client's limit: `Link` and `Set-Cookie` of an app can be long.
pub const MAX_HEAD_LEN: usize = 64 * 1024;
/// Fields for which there is room at first; httparse wants to know beforehand.
const FIELDS: usize = 160;
/// The most interim answers to one request.
pub const MAX_INTERIM: usize = 100;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A head whose framing has one reading. What was about the connection only is gone from `headers`.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub framing: Framing,
    /// Whether the connection may carry another request after this answer. Not where the app announces content that
    /// there can be none of: it may come all the same, at any time, and would be read as the next answer.
    pub is_persistent: bool,
    /// How long the app says it keeps an idle connection.
    pub keep_alive: Option<Duration>,
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Takes a head off the front of `input`, once it is complete.
///
/// `method` is the request's; `upgrade` is true when it asked for another protocol.
///
/// # Errors
/// [`Misbehaviour`]; the connection is of no more use.
pub fn parse(input: &mut BytesMut, method: &Method, upgrade: bool) -> Result<Option<Head>, Misbehaviour> {
    let mut places = [Place::default(); FIELDS];
    let found = locate(input, &mut [const { MaybeUninit::uninit() }; FIELDS], &mut places);
    let mut many = Vec::new();
    let (found, places) = match found {
        // Rare, so it may be read once more. The shortest field line is `a:` with its end.
        Err(Misbehaviour::NotHttp(httparse::Error::TooManyHeaders)) => {
            let room = input.len().min(MAX_HEAD_LEN) / "a:\r\n".len();
            many.resize(room, Place::default());
            (locate(input, &mut vec![MaybeUninit::uninit(); room], &mut many)?, many.as_slice())
        }
        found => (found?, places.as_slice()),
    };
    let Some(Located { length, status, version, count }) = found else { return Ok(None) };
    let bytes = input.split_to(length).freeze();
    let mut reading = Reading::new(count);
    for (name, name_end, value, value_end) in &places[..count] {
        let name = HeaderName::from_bytes(&bytes[*name..*name_end]);
        let name = name.map_err(|_| Misbehaviour::NotHttp(httparse::Error::HeaderName))?;
        reading.take(name, bytes.slice(*value..*value_end))?;
    }
    reading.finish(status, version, method, upgrade).map(Some)
}

/// Where a field stands: its name and its value, each from and to. The values are to share the buffer's memory, so they
/// are noted so until it is frozen.
type Place = (usize, usize, usize, usize);

/// A head at the front of the input.
struct Located {
    length: usize,
    status: StatusCode,
    version: Option<u8>,
    /// How many fields it has.
    count: usize,
}

/// Finds the head and the `places` of its fields, for as many as there are `slots`.
fn locate<'input>(
    input: &'input [u8],
    slots: &mut [MaybeUninit<httparse::Header<'input>>],
    places: &mut [Place],
) -> Result<Option<Located>, Misbehaviour> {
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut answer, input, slots);
    let length = match parsed.map_err(Misbehaviour::NotHttp)? {
        httparse::Status::Complete(length) if length <= MAX_HEAD_LEN => length,
        httparse::Status::Partial if input.len() < MAX_HEAD_LEN => return Ok(None),
        _ => return Err(Misbehaviour::HeadTooLong),
    };
    let status = answer.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Misbehaviour::NotHttp(httparse::Error::Status))?;
    let start = input.as_ptr() as usize;
    for (place, header) in places.iter_mut().zip(answer.headers.iter()) {
        let name = header.name.as_ptr() as usize - start;
        let value = header.value.as_ptr() as usize - start;
        *place = (name, name + header.name.len(), value, value + header.value.len());
    }
    Ok(Some(Located { length, status, version: answer.version, count: answer.headers.len() }))
}

/// What the headers said so far.
struct Reading {
    headers: HeaderMap,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
    keeps_alive: bool,
    keep_alive: Option<Duration>,
    upgrade: Option<HeaderValue>,
    /// Headers that `Connection` names; they end here too.
    nominated: Vec<HeaderName>,
}

impl Reading {
    fn new(capacity: usize) -> Self {
        Reading {
            headers: HeaderMap::with_capacity(capacity),
            length: None,
            is_chunked: false,
            closes: false,
            keeps_alive: false,
            keep_alive: None,
            upgrade: None,
            nominated: Vec::new(),
        }
    }

    fn take(&mut self, name: HeaderName, value: Bytes) -> Result<(), Misbehaviour> {
        if name == CONTENT_LENGTH {
            return self.content_length(value);
        } else if name == TRANSFER_ENCODING {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Misbehaviour::BadEncoding);
            }
            self.is_chunked = true;
            return Ok(());
        } else if name == CONNECTION {
            self.connection(&value);
            return Ok(());
        } else if name == KEEP_ALIVE {
            self.keep_alive = timeout(&value);
            return Ok(());
        } else if name == UPGRADE {
            self.upgrade = HeaderValue::from_maybe_shared(value).ok();
            return Ok(());
        } else if name == PROXY_CONNECTION || name == PROXY_AUTHENTICATE || name == TE {
            return Ok(());
        }
        let value = HeaderValue::from_maybe_shared(value);
        let value = value.map_err(|_| Misbehaviour::NotHttp(httparse::Error::HeaderValue))?;
        self.headers.append(name, value);
        Ok(())
    }

    /// Equal lengths are one (RFC 9112 section 6.3), whether in several lines or in a list.
    fn content_length(&mut self, value: Bytes) -> Result<(), Misbehaviour> {
        let is_first = self.length.is_none();
        for item in value.split(|byte| *byte == b',') {
            let length = decimal(item.trim_ascii()).ok_or(Misbehaviour::BadLength)?;
            if *self.length.get_or_insert(length) != length {
                return Err(Misbehaviour::TwoLengths);
            }
        }
        if is_first {
            let is_list = value.contains(&b',');
            let value =
                if is_list { self.length.map(HeaderValue::from) } else { HeaderValue::from_maybe_shared(value).ok() };
            self.headers.insert(CONTENT_LENGTH, value.ok_or(Misbehaviour::BadLength)?);
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keeps_alive = true;
            } else if let Ok(name) = HeaderName::from_bytes(option) {
                // Framing was decided without it, and stays so.
                if name != CONTENT_LENGTH && name != UPGRADE {
                    self.nominated.push(name);
                }
            }
        }
    }

    fn finish(
        mut self,
        status: StatusCode,
        version: Option<u8>,
        method: &Method,
        upgrade: bool,
    ) -> Result<Head, Misbehaviour> {
        if self.is_chunked && self.length.is_some() {
            return Err(Misbehaviour::LengthAndEncoding);
        }
        let is_http11 = version == Some(1);
        if self.is_chunked && !is_http11 {
            return Err(Misbehaviour::BadEncoding);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS && !upgrade {
            return Err(Misbehaviour::SwitchUnasked);
        }
        for name in &self.nominated {
            self.headers.remove(name);
        }
        // Which protocol was switched to, or (426) is wanted; anywhere else it is about this connection only.
        if matches!(status, StatusCode::SWITCHING_PROTOCOLS | StatusCode::UPGRADE_REQUIRED)
            && let Some(value) = self.upgrade.take()
        {
            self.headers.insert(UPGRADE, value);
        }
        let has_no_length = status.is_informational() || status == StatusCode::NO_CONTENT;
        if has_no_length {
            self.headers.remove(CONTENT_LENGTH);
        }
        let framing = if has_no_length || status == StatusCode::NOT_MODIFIED || method == Method::HEAD {
            Framing::Empty
        } else if self.is_chunked {
            Framing::Chunked
        } else {
            self.length.map_or(Framing::UntilClose, Framing::Length)
        };
        let announces = self.is_chunked || self.length.is_some_and(|length| length > 0);
        let may_stray = framing == Framing::Empty && announces;
        let is_persistent =
            !self.closes && (is_http11 || self.keeps_alive) && framing != Framing::UntilClose && !may_stray;
        Ok(Head { status, headers: self.headers, framing, is_persistent, keep_alive: self.keep_alive })
    }
}

/// The `timeout` of a `Keep-Alive` header, as in `timeout=5, max=100`.
fn timeout(value: &[u8]) -> Option<Duration> {
    value.split(|byte| *byte == b',').find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(parameter.iter().position(|byte| *byte == b'=')?)?;
        let is_timeout = name.trim_ascii().eq_ignore_ascii_case(b"timeout");
        is_timeout.then(|| decimal(seconds[1..].trim_ascii()).map(Duration::from_secs))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_for(method: Method, text: &str) -> Result<Option<Head>, Misbehaviour> {
        parse(&mut BytesMut::from(text), &method, false)
    }

    fn head(text: &str) -> Head {
        parse_for(Method::GET, text).unwrap().expect("complete")
    }

    fn misbehaviour(text: &str) -> Misbehaviour {
        parse_for(Method::GET, text).expect_err(text)
    }

    #[test]
    fn a_head_leaves_the_body_in_the_buffer() {
        let mut input =
            BytesMut::from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nhi");
        let head = parse(&mut input, &Method::GET, false).unwrap().unwrap();
        assert_eq!(&input[..], b"hi");
        assert_eq!(head.status, 200);
        assert_eq!(head.framing, Framing::Length(2));
        assert!(head.is_persistent);
        assert_eq!(head.headers.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn an_incomplete_head_waits_and_a_long_one_is_refused() {
        assert!(parse_for(Method::GET, "HTTP/1.1 200 OK\r\nA: b\r\n").unwrap().is_none());
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(MAX_HEAD_LEN));
        assert_eq!(misbehaviour(&long), Misbehaviour::HeadTooLong);
        assert_eq!(misbehaviour(&format!("{long}\r\n\r\n")), Misbehaviour::HeadTooLong);
        for count in [FIELDS, FIELDS + 1, 1000, (MAX_HEAD_LEN - 30) / 4] {
            let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(count));
            assert_eq!(head(&many).headers.len(), count);
            assert!(parse_for(Method::GET, &many[..many.len() - 1]).unwrap().is_none());
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\r\n".repeat(MAX_HEAD_LEN / 4));
        assert_eq!(misbehaviour(&many), Misbehaviour::HeadTooLong);
    }

    #[test]
    fn two_readings_are_refused() {
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(misbehaviour(both), Misbehaviour::LengthAndEncoding);
        for lengths in ["2\r\nContent-Length: 3", "2, 3", "2,2\r\nContent-Length: 3", "2\r\nContent-Length: 2,3"] {
            let two = format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\n");
            assert_eq!(misbehaviour(&two), Misbehaviour::TwoLengths, "{lengths:?}");
        }
        for lengths in ["2\r\nContent-Length: 2", "2, 2", "2,2\r\nContent-Length: 02"] {
            let one = head(&format!("HTTP/1.1 200 OK\r\nContent-Length: {lengths}\r\n\r\n"));
            assert_eq!(one.framing, Framing::Length(2), "{lengths:?}");
            assert_eq!(one.headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["2"], "{lengths:?}");
        }
        for length in ["", "+2", "-1", "0x2", "2,", ",2", "2 2", "99999999999999999999"] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            assert_eq!(misbehaviour(&text), Misbehaviour::BadLength, "{length:?}");
        }
        for coding in ["gzip", "gzip, chunked", "chunked, chunked", "identity", ",chunked", "xchunked"] {
            let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n");
            assert_eq!(misbehaviour(&text), Misbehaviour::BadEncoding, "{coding:?}");
        }
        let twice = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(misbehaviour(twice), Misbehaviour::BadEncoding);
        let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(misbehaviour(old), Misbehaviour::BadEncoding);
    }

    #[test]
    fn malformed_heads_are_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 000 OK\r\n\r\n",
            "<html>an app of HTTP/0.9</html>",
        ] {
            assert!(matches!(misbehaviour(text), Misbehaviour::NotHttp(_)), "{text:?}");
        }
    }

    #[test]
    fn some_answers_have_no_body() {
        for status in ["204 No Content", "304 Not Modified", "103 Early Hints"] {
            let head = head(&format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"));
            assert_eq!(head.framing, Framing::Empty, "{status}");
            assert_eq!(head.headers.contains_key(CONTENT_LENGTH), status.starts_with("304"), "{status}");
        }
        let head = parse_for(Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.framing, Framing::Empty);
        assert_eq!(head.headers[CONTENT_LENGTH], "5");
    }

    #[test]
    fn what_is_about_the_connection_ends_here() {
        let head = head(
            "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5, max=9\r\nX-Hop: 1\r\n\
             Upgrade: h2c\r\nProxy-Connection: close\r\nTE: x\r\nTransfer-Encoding: chunked\r\nX-End: 1\r\n\r\n",
        );
        assert_eq!(head.headers.keys().collect::<Vec<_>>(), ["x-end"]);
        assert_eq!(head.keep_alive, Some(Duration::from_secs(5)));
        assert!(head.is_persistent);
    }

    #[test]
    fn persistence_follows_the_version_and_the_header() {
        assert!(!head("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n").is_persistent);
        assert!(!head("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").is_persistent);
        assert!(head("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n").is_persistent);
        let until_close = head("HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!((until_close.framing, until_close.is_persistent), (Framing::UntilClose, false));
    }

    #[test]
    fn another_protocol_comes_only_when_asked_for() {
        let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
        assert_eq!(misbehaviour(text), Misbehaviour::SwitchUnasked);
        let head = parse(&mut BytesMut::from(text), &Method::GET, true).unwrap().unwrap();
        assert_eq!(head.headers[UPGRADE], "websocket");
    }
}
