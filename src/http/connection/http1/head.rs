//! The head of an HTTP/1 request as bytes: where it ends, and whether it has one meaning (RFC 9112). Without input,
//! output or clock.
//!
//! hyper parses what passes here once more, into types. This comes first because hyper accepts bytes that others read
//! differently, and answers the rest by itself, past every log.

use memchr::{memchr, memchr_iter, memrchr};

use crate::http::field_line::{self, Lines, is_token, trim};
use crate::http::{Refusal, target, upgrade_offer};

/// How large a head may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the request line to the empty line, in bytes.
    pub head: usize,
    /// Header lines.
    pub headers: usize,
    /// The request target, in bytes.
    pub target: usize,
}

/// What a head says of the bytes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub framing: Framing,
    /// `Upgrade` with `Connection: upgrade`: what follows is HTTP only if the answer is not 101.
    pub is_upgrade: bool,
    /// Its target goes on in another spelling: [`respelt`].
    pub is_odd: bool,
    /// HTTP/1.1 without content, whose answer leaves the connection as it is: no other option of the connection is asked
    /// for, and nothing is expected.
    pub is_plain: bool,
}

/// How a body is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// The longest known method is `UPDATEREDIRECTREF`.
const LONGEST_METHOD: usize = 32;
/// What a request line has besides its target.
const LINE_ROOM: usize = LONGEST_METHOD + " HTTP/1.1\r\n".len() + 1;

/// Looks for the end of a head in bytes that grow, and at each of them once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan {
    looked: usize,
    line_start: usize,
    lines: usize,
}

impl Scan {
    /// The length of the head at the beginning of `bytes`, once it is whole. `bytes` must begin where they began at the
    /// last call.
    ///
    /// # Errors
    /// As soon as it is certain that no head comes of it.
    pub fn end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        self.begins_well(bytes)?;
        for at in memchr_iter(b'\n', &bytes[self.looked..]) {
            let end = self.looked + at;
            let Some(line) = bytes[self.line_start..end].strip_suffix(b"\r") else { return Err(Refusal::BareLineFeed) };
            let is_leading = self.lines == 0;
            self.line_start = end + 1;
            match (line.is_empty(), is_leading) {
                // One empty line before the request line is forgiven (RFC 9112 section 2.2).
                (true, true) if end == 1 => continue,
                (true, true) => return Err(Refusal::RequestLine),
                (true, false) if end < limits.head => return Ok(Some(end + 1)),
                (true, false) => return Err(Refusal::HeadTooLarge),
                (false, true) if line.len() > limits.target + LINE_ROOM => return Err(Refusal::TargetTooLong),
                // At once: after a line of HTTP/0.9 nothing else comes.
                (false, true) if !has_version(line) => {
                    read_request_line(line, limits)?;
                    return Err(Refusal::RequestLine);
                }
                (false, _) => self.lines += 1,
            }
            if self.lines > limits.headers + 1 {
                return Err(Refusal::TooManyHeaders);
            }
        }
        self.looked = bytes.len();
        // Its last byte may be the first of the line's end.
        if self.lines == 0 && bytes.len() - self.line_start > limits.target + LINE_ROOM + 1 {
            return Err(Refusal::TargetTooLong);
        }
        if bytes.len() >= limits.head {
            return Err(Refusal::HeadTooLarge);
        }
        Ok(None)
    }

    /// Tells at the first byte what will never be HTTP, rather than wait for a line end that does not come.
    fn begins_well(&self, bytes: &[u8]) -> Result<(), Refusal> {
        match bytes.first() {
            Some(0x16) => Err(Refusal::Tls),
            Some(b'\n') => Err(Refusal::BareLineFeed),
            Some(byte) if *byte != b'\r' && !is_token(*byte) => Err(Refusal::RequestLine),
            _ => Ok(()),
        }
    }
}

impl Head {
    /// Reads a whole head, as `Scan::end` delimits it.
    ///
    /// # Errors
    /// What is wrong with it, the first thing that is.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Head, Refusal> {
        let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
        let mut lines = Lines::of(bytes);
        let RequestLine { is_http_11, growth } = read_request_line(lines.next().unwrap_or_default(), limits)?;
        if bytes.len() + growth > limits.head {
            return Err(Refusal::HeadTooLarge);
        }
        let mut fields = Fields::default();
        let mut count = 1;
        for line in lines {
            count += 1;
            if !line.is_empty() {
                fields.read(line)?;
            }
        }
        // Line ends are the only controls that a head may have, two bytes each; tabs were judged where they stand.
        if controls(bytes) != 2 * count {
            return Err(Refusal::Header);
        }
        let is_odd = growth > 0;
        fields.judge(is_http_11).map(|head| Head { is_odd, is_plain: head.is_plain && !is_odd, ..head })
    }
}

/// A whole head with its target [`encoded`](target::encoded), all else as it is.
pub fn respelt(bytes: &[u8]) -> Vec<u8> {
    let line_end = memchr(b'\n', &bytes[2.min(bytes.len())..]).map_or(bytes.len(), |at| at + 2);
    let start = memchr(b' ', &bytes[..line_end]).map_or(0, |at| at + 1);
    let end = memrchr(b' ', &bytes[..line_end]).unwrap_or(start).max(start);
    [&bytes[..start], &target::encoded(&bytes[start..end]), &bytes[end..]].concat()
}

/// A request line that is fine.
struct RequestLine {
    /// And not HTTP/1.0.
    is_http_11: bool,
    /// By how many bytes its target grows where it is sent on in another spelling.
    growth: usize,
}

/// True for a request line whose end is one of a version that is spoken here.
fn has_version(line: &[u8]) -> bool {
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

fn read_request_line(line: &[u8], limits: &Limits) -> Result<RequestLine, Refusal> {
    let method_end = memchr(b' ', line).ok_or(Refusal::RequestLine)?;
    let target_end = memrchr(b' ', line).ok_or(Refusal::RequestLine)?;
    let method = &line[..method_end];
    if !(1..=LONGEST_METHOD).contains(&method.len()) || !method.iter().copied().all(is_token) {
        return Err(Refusal::RequestLine);
    }
    // HTTP/0.9 has but one space.
    let target = line.get(method_end + 1..target_end).ok_or(Refusal::RequestLine)?;
    let is_http_11 = match &line[target_end + 1..] {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Refusal::Version);
        }
        _ => return Err(Refusal::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(Refusal::Method);
    }
    if target.len() > limits.target {
        return Err(Refusal::TargetTooLong);
    }
    let length = match target {
        b"*" if method == b"OPTIONS" => target.len(),
        _ => target::encoded_length(target).ok_or(Refusal::Target)?,
    };
    // It is the app's limits that it must keep to.
    if length > limits.target {
        return Err(Refusal::TargetTooLong);
    }
    Ok(RequestLine { is_http_11, growth: length - target.len() })
}

/// What the header lines say of framing and upgrade.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    is_chunked: bool,
    asks_upgrade: bool,
    names_protocol: bool,
    /// Something that is asked of the connection, besides to be kept.
    asks_more: bool,
}

impl Fields {
    fn read(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let (name, value) = field_line::read(line).ok_or(Refusal::Header)?;
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).ok_or(Refusal::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Refusal::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.read_coding(value)?,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.asks_upgrade |= items(value).any(|item| item.eq_ignore_ascii_case(b"upgrade"));
                self.asks_more |= !value.eq_ignore_ascii_case(b"keep-alive");
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.names_protocol |= upgrade_offer::protocol(std::iter::once(value)).is_some();
                self.asks_more = true;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => self.asks_more = true,
            // Whoever says so has trailers, and nobody else: hyper looks for it.
            2 if name.eq_ignore_ascii_case(b"te") => self.asks_more = true,
            _ => {}
        }
        Ok(())
    }

    fn read_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if !value.eq_ignore_ascii_case(b"chunked") {
            let is_one_token = !value.is_empty() && value.iter().copied().all(is_token);
            return Err(if is_one_token { Refusal::Coding } else { Refusal::TransferEncoding });
        }
        if std::mem::replace(&mut self.is_chunked, true) { Err(Refusal::TransferEncoding) } else { Ok(()) }
    }

    fn judge(self, is_http_11: bool) -> Result<Head, Refusal> {
        let framing = match (self.length, self.is_chunked) {
            (Some(_), true) => return Err(Refusal::TwoLengths),
            (None, true) if !is_http_11 => return Err(Refusal::TransferEncoding),
            (None, true) => Framing::Chunked,
            (Some(0) | None, false) => Framing::None,
            (Some(length), false) => Framing::Length(length),
        };
        let is_upgrade = is_http_11 && self.asks_upgrade && self.names_protocol;
        if is_upgrade && framing != Framing::None {
            return Err(Refusal::UpgradeWithBody);
        }
        let is_plain = is_http_11 && framing == Framing::None && !self.asks_more;
        Ok(Head { framing, is_upgrade, is_odd: false, is_plain })
    }
}

/// `1*DIGIT` that a body can have; a sign, a list or an overflow is none.
fn decimal(value: &[u8]) -> Option<u64> {
    field_line::decimal(value).filter(|length| i64::try_from(*length).is_ok())
}

/// The items of a comma-separated list, trimmed.
fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// How many bytes are controls other than tabs. Without a branch, so that it is done many bytes at a time.
fn controls(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from((*byte < 0x20) & (*byte != b'\t') | (*byte == 0x7f))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { head: 12 * 1024, headers: 100, target: 8 * 1024 };

    fn read(text: &str) -> Result<Head, Refusal> {
        let end = Scan::default().end(text.as_bytes(), &LIMITS)?;
        Head::read(&text.as_bytes()[..end.expect("a whole head")], &LIMITS)
    }

    fn with(lines: &str) -> Result<Head, Refusal> {
        read(&format!("POST /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
    }

    #[test]
    fn framing_has_one_meaning() {
        let framing = |lines: &str| with(lines).map(|head| head.framing);
        assert_eq!(framing(""), Ok(Framing::None));
        assert_eq!(framing("Content-Length: 0\r\n"), Ok(Framing::None));
        assert_eq!(framing("content-LENGTH:\t010 \r\n"), Ok(Framing::Length(10)));
        assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for value in ["", "+5", "-5", "0x5", "5,5", "5 5", "5;", "9223372036854775808", "99999999999999999999", "５"] {
            assert_eq!(framing(&format!("Content-Length: {value}\r\n")), Err(Refusal::ContentLength), "{value}");
        }
        assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5\r\n"), Err(Refusal::ContentLength));
        assert_eq!(framing("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), Err(Refusal::TwoLengths));
        for value in ["", "chunked, chunked", "gzip, chunked", ",chunked", "chunked,", "chun ked", "chunked;q=1"] {
            let refused = framing(&format!("Transfer-Encoding: {value}\r\n"));
            assert_eq!(refused, Err(Refusal::TransferEncoding), "{value}");
        }
        for value in ["identity", "gzip", "xchunked"] {
            assert_eq!(framing(&format!("Transfer-Encoding: {value}\r\n")), Err(Refusal::Coding), "{value}");
        }
        let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
        assert_eq!(framing(twice), Err(Refusal::TransferEncoding));
        let old = read("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(Refusal::TransferEncoding));
    }

    #[test]
    fn header_lines_are_strict() {
        for line in [
            "Name : x",
            "Name\t: x",
            " Name: x",
            "\tfolded",
            ": x",
            "no colon",
            "Na(me: x",
            "Näme: x",
            "Name: a\0b",
            "Name: a\rb",
            "Name: a\u{7f}b",
            "Name: \u{1b}",
            "\r",
        ] {
            assert_eq!(with(&format!("{line}\r\n")), Err(Refusal::Header), "{line:?}");
        }
        for line in ["Name:", "Name: \t", "Name: a\tb", "Name: \u{e9}", "_x.y: z", "Name: a:b"] {
            assert!(with(&format!("{line}\r\n")).is_ok(), "{line:?}");
        }
        assert_eq!(with("Name: x\nOther: y\r\n"), Err(Refusal::BareLineFeed));
    }

    #[test]
    fn request_lines_are_strict() {
        for (line, refusal) in [
            ("GET /", Refusal::RequestLine),
            ("GET", Refusal::RequestLine),
            ("GET  / HTTP/1.1", Refusal::Target),
            ("GET / HTTP/1.1 ", Refusal::RequestLine),
            ("GET / http/1.1", Refusal::RequestLine),
            ("GET / HTTP/11", Refusal::RequestLine),
            ("GET / HTTP/1.2", Refusal::Version),
            ("PRI * HTTP/2.0", Refusal::Version),
            ("G@T / HTTP/1.1", Refusal::RequestLine),
            (" GET / HTTP/1.1", Refusal::RequestLine),
            ("GET\t/ HTTP/1.1", Refusal::RequestLine),
            ("CONNECT a:1 HTTP/1.1", Refusal::Method),
            ("GET * HTTP/1.1", Refusal::Target),
            ("GET a:80 HTTP/1.1", Refusal::Target),
            ("GET /a b HTTP/1.1", Refusal::Target),
        ] {
            let refused = read(&format!("{line}\r\nHost: a\r\n\r\n"));
            assert_eq!(refused, Err(refusal), "{line:?}");
        }
        assert!(read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
        assert!(read("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").is_ok());
        assert_eq!(read("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Err(Refusal::RequestLine));
    }

    #[test]
    fn upgrades_need_both_headers_and_no_body() {
        let is_upgrade = |lines: &str| with(lines).map(|head| head.is_upgrade);
        assert_eq!(is_upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"), Ok(true));
        assert_eq!(is_upgrade("Upgrade: websocket\r\n"), Ok(false));
        assert_eq!(is_upgrade("Connection: upgrade\r\n"), Ok(false));
        assert_eq!(is_upgrade("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\n"), Ok(false));
        let with_body = "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n";
        assert_eq!(is_upgrade(with_body), Err(Refusal::UpgradeWithBody));
        for passed_over in ["h2c", "h2,h2c", "TLS/1.0, HTTP/2.0"] {
            let lines = format!("Connection: upgrade\r\nUpgrade: {passed_over}\r\nContent-Length: 1\r\n");
            assert_eq!(is_upgrade(&lines), Ok(false), "{passed_over}");
        }
    }

    #[test]
    fn a_plain_head_asks_nothing_of_its_connection() {
        let is_plain = |text: &str| read(text).map(|head| head.is_plain);
        for lines in ["", "Connection: Keep-Alive\r\n", "Content-Length: 0\r\n", "Accept: */*\r\nX: y\r\n"] {
            assert_eq!(is_plain(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n")), Ok(true), "{lines}");
        }
        for lines in [
            "Connection: close\r\n",
            "Connection: keep-alive, x\r\n",
            "Connection: keep-alive\r\nConnection: close\r\n",
            "Upgrade: h2c\r\n",
            "Expect: 100-continue\r\n",
            "TE: trailers\r\n",
            "Content-Length: 1\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(is_plain(&format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n")), Ok(false), "{lines}");
        }
        assert_eq!(is_plain("GET /a HTTP/1.0\r\nHost: a\r\n\r\n"), Ok(false));
        assert_eq!(is_plain("GET /a|b HTTP/1.1\r\nHost: a\r\n\r\n"), Ok(false), "it goes on in another spelling");
    }

    #[test]
    fn hopeless_bytes_are_refused_before_their_end() {
        let limits = Limits { head: 300, headers: 2, target: 50 };
        let end = |bytes: &[u8]| Scan::default().end(bytes, &limits);
        assert_eq!(end(b"\x16\x03\x01"), Err(Refusal::Tls));
        assert_eq!(end(b"\x00"), Err(Refusal::RequestLine));
        assert_eq!(end(b"\n"), Err(Refusal::BareLineFeed));
        assert_eq!(end(b"GET / HTTP/1.1\n"), Err(Refusal::BareLineFeed));
        assert_eq!(end(&[b'a'; 200]), Err(Refusal::TargetTooLong));
        assert_eq!(end(format!("GET /{} HTTP/1.1\r\n", "a".repeat(100)).as_bytes()), Err(Refusal::TargetTooLong));
        assert_eq!(end(format!("GET / HTTP/1.1\r\na: {}", "a".repeat(300)).as_bytes()), Err(Refusal::HeadTooLarge));
        assert_eq!(
            end(format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "a".repeat(300)).as_bytes()),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(end(b"GET / HTTP/1.1\r\na: b\r\na: b\r\na: b\r\n"), Err(Refusal::TooManyHeaders));
        assert_eq!(end(b"GET / HTTP/1.1\r\na: b\r\na: b\r\n\r\nrest"), Ok(Some(30)));
    }

    proptest! {
        /// However it is cut, the same is found; and every byte is looked at once.
        #[test]
        fn pieces_change_nothing(text in "(\r\n|)GET /[a-z]{0,9} HTTP/1.1\r\n([a-z]{1,4}: [ -~]{0,9}\r?\n){0,4}\r\n[a-z]{0,5}", cuts in prop::collection::vec(1usize..9, 0..30)) {
            let whole = Scan::default().end(text.as_bytes(), &LIMITS);
            let (mut scan, mut length, mut found) = (Scan::default(), 0, Ok(None));
            for cut in cuts.into_iter().chain([text.len()]) {
                length = text.len().min(length + cut);
                found = scan.end(&text.as_bytes()[..length], &LIMITS);
                if found != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
        }

        /// What passes here passes hyper, with the same end: otherwise the two would disagree on where bodies begin.
        #[test]
        fn what_passes_is_a_head_for_the_parser_behind(text in "GET /[!-~]{0,9} HTTP/1.[01]\r\n([!-~]{1,6}:[\t -~\u{80}-\u{ff}]{0,9}\r\n){0,5}\r\n") {
            if let Ok(Some(end)) = Scan::default().end(text.as_bytes(), &LIMITS)
                && Head::read(&text.as_bytes()[..end], &LIMITS).is_ok()
            {
                    let mut headers = [httparse::EMPTY_HEADER; 16];
                    let mut request = httparse::Request::new(&mut headers);
                    prop_assert_eq!(request.parse(text.as_bytes()), Ok(httparse::Status::Complete(end)));
            }
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some(end)) = Scan::default().end(&bytes, &LIMITS) {
                let _ = Head::read(&bytes[..end], &LIMITS);
            }
        }
    }
}
