//! Chunked bodies (RFC 9112 section 7.1): strict line ends and sizes, extensions dropped, trailers kept.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Misbehaviour;

/// The longest chunk-size line with its extensions, in bytes.
const SIZE_LINE: usize = 1024;
/// The longest trailer section, in bytes.
const TRAILERS: usize = 16 * 1024;
const TRAILER_FIELDS: usize = 32;

/// Fields that mean nothing, or mischief, once the body has been passed on (RFC 9110 section 6.5.1).
const NEVER_TRAILERS: &[HeaderName] = &[
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A decoder of chunked bodies: which part of the framing comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunked {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What the front of the input turned out to be.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// Nothing whole yet.
    More,
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Chunked {
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Piece, Misbehaviour> {
        loop {
            match *self {
                Chunked::Size => match size(input)? {
                    None => return Ok(Piece::More),
                    Some(0) => *self = Chunked::Trailers,
                    Some(size) => *self = Chunked::Data(size),
                },
                Chunked::Data(_) if input.is_empty() => return Ok(Piece::More),
                Chunked::Data(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - take as u64;
                    *self = if left == 0 { Chunked::DataEnd } else { Chunked::Data(left) };
                    return Ok(Piece::Data(input.split_to(take).freeze()));
                }
                Chunked::DataEnd => {
                    if input.len() < 2 {
                        return Ok(Piece::More);
                    }
                    if !input.starts_with(b"\r\n") {
                        return Err(Misbehaviour::BadChunk("no line end after the data"));
                    }
                    input.advance(2);
                    *self = Chunked::Size;
                }
                Chunked::Trailers => {
                    let Some(fields) = trailers(input)? else { return Ok(Piece::More) };
                    *self = Chunked::Done;
                    return Ok(if fields.is_empty() { Piece::End } else { Piece::Trailers(fields) });
                }
                Chunked::Done => return Ok(Piece::End),
            }
        }
    }
}

fn size(input: &mut BytesMut) -> Result<Option<u64>, Misbehaviour> {
    let Some(end) = memchr::memchr(b'\n', &input[..input.len().min(SIZE_LINE)]) else {
        return match input.len() {
            0..SIZE_LINE => Ok(None),
            _ => Err(Misbehaviour::BadChunk("a size line without end")),
        };
    };
    let Some(line) = input[..end].strip_suffix(b"\r") else {
        return Err(Misbehaviour::BadChunk("a bare line feed"));
    };
    let (digits, extension) = line.split_at(line.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(line.len()));
    let extension = extension.trim_ascii_start();
    if digits.is_empty() || digits.len() > 16 || !(extension.is_empty() || extension.starts_with(b";")) {
        return Err(Misbehaviour::BadChunk("a size that is not hexadecimal"));
    }
    if extension.contains(&b'\r') {
        return Err(Misbehaviour::BadChunk("a bare carriage return"));
    }
    let value = |digit: u8| u64::from((digit as char).to_digit(16).unwrap_or_default());
    let size = digits.iter().fold(0, |size, digit| (size << 4) | value(*digit));
    input.advance(end + 1);
    Ok(Some(size))
}

fn trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, Misbehaviour> {
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut slots = [httparse::EMPTY_HEADER; TRAILER_FIELDS];
    let (length, fields) = match httparse::parse_headers(input, &mut slots) {
        Ok(httparse::Status::Complete(complete)) => complete,
        Ok(httparse::Status::Partial) if input.len() < TRAILERS => return Ok(None),
        _ => return Err(Misbehaviour::BadTrailers),
    };
    let mut map = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Misbehaviour::BadTrailers)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Misbehaviour::BadTrailers)?;
        if !NEVER_TRAILERS.contains(&name) {
            map.append(name, value);
        }
    }
    input.advance(length);
    Ok(Some(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The data, the trailers, and what was left over.
    type Whole = (Vec<u8>, HeaderMap, Vec<u8>);

    /// Feeds `bytes` in pieces that end at `cuts`.
    fn decode(bytes: &[u8], cuts: &[usize]) -> Result<Option<Whole>, Misbehaviour> {
        let mut input = BytesMut::new();
        let (mut decoder, mut data, mut map) = (Chunked::default(), Vec::new(), HeaderMap::new());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
        cuts.sort_unstable();
        let mut start = 0;
        for cut in cuts {
            input.extend_from_slice(&bytes[start..cut]);
            start = cut;
            loop {
                match decoder.decode(&mut input)? {
                    Piece::More => break,
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::Trailers(fields) => map = fields,
                    Piece::End => {
                        input.extend_from_slice(&bytes[start..]);
                        return Ok(Some((data, map, input.to_vec())));
                    }
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_extensions_and_trailers() {
        let body = b"5;a=b\r\nhello\r\n6 ; c\r\n world\r\n0\r\nX-Sum: 1\r\nContent-Length: 3\r\n\r\nrest";
        let (data, trailers, rest) = decode(body, &[]).unwrap().unwrap();
        assert_eq!(data, b"hello world");
        assert_eq!(trailers.iter().collect::<Vec<_>>().len(), 1);
        assert_eq!(trailers["x-sum"], "1");
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for body in [
            "\r\n",
            "5\nhello",
            "+5\r\nhello",
            "-1\r\n",
            "0x5\r\nhello",
            " 5\r\nhello",
            "5 5\r\nhello",
            "10000000000000000\r\n",
            "5\r\nhelloXY",
            "5\r\nhello\n0\r\n",
            "5;a\rb\r\nhello",
            "0\r\nbad name: x\r\n\r\n",
            "0\r\nA: b\0\r\n\r\n",
        ] {
            assert!(decode(body.as_bytes(), &[]).is_err(), "{body:?}");
        }
        let endless = format!("5;{}", "a".repeat(SIZE_LINE));
        assert!(decode(endless.as_bytes(), &[]).is_err());
        let endless = format!("0\r\nA: {}", "a".repeat(TRAILERS));
        assert!(decode(endless.as_bytes(), &[]).is_err());
    }

    #[test]
    fn a_body_cut_short_never_ends() {
        let body = b"5\r\nhello\r\n0\r\nA: b\r\n\r\n";
        for length in 0..body.len() {
            assert_eq!(decode(&body[..length], &[]), Ok(None), "{length}");
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cuts in proptest::collection::vec(any::<usize>(), 0..12),
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\nrest");
            let (data, _, rest) = decode(&body, &cuts).unwrap().unwrap();
            prop_assert_eq!(data, chunks.concat());
            prop_assert_eq!(rest, b"rest");
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), cuts in proptest::collection::vec(any::<usize>(), 0..4)) {
            let _ = decode(&bytes, &cuts);
        }
    }
}
