//! Chunked bodies of responses, taken apart: extensions dropped, trailers kept. What is a chunked body is decided in
//! [`http::chunked`](crate::http::chunked), as for requests.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Misbehaviour;
use crate::http::chunked::{self, ChunkLimits, Malformed, Span};
use crate::http::field_line::{self, Lines};

/// The most trailer fields.
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

/// Takes a chunked body apart.
#[derive(Debug)]
pub struct Chunked {
    body: chunked::Chunked,
    /// The trailers so far; they are read when they are whole.
    trailers: BytesMut,
}

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked { body: chunked::Chunked::new(&ChunkLimits::RESPONSE), trailers: BytesMut::new() }
    }
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
            if self.is_done() {
                return Ok(Piece::End);
            }
            if input.is_empty() {
                return Ok(Piece::More);
            }
            match self.body.next(input).map_err(|(_, malformed)| Misbehaviour::from(malformed))? {
                Span::Framing(length) => input.advance(length),
                Span::Data(length) => return Ok(Piece::Data(input.split_to(length).freeze())),
                Span::Trailers(length) => {
                    self.trailers.unsplit(input.split_to(length));
                    if self.is_done() {
                        let fields = trailers(&std::mem::take(&mut self.trailers))?;
                        return Ok(if fields.is_empty() { Piece::End } else { Piece::Trailers(fields) });
                    }
                }
            }
        }
    }

    pub fn is_done(&self) -> bool {
        self.body.is_at_end()
    }
}

impl From<Malformed> for Misbehaviour {
    fn from(malformed: Malformed) -> Misbehaviour {
        Misbehaviour::BadChunk(match malformed {
            Malformed::Size => "a size that is not hexadecimal",
            Malformed::Extension => "an extension that is too long or no text",
            Malformed::LineEnd => "a line that does not end with CRLF",
            Malformed::DataEnd => "no line end after the data",
            Malformed::Trailers => return Misbehaviour::BadTrailers,
        })
    }
}

fn trailers(lines: &[u8]) -> Result<HeaderMap, Misbehaviour> {
    let mut map = HeaderMap::new();
    for (index, line) in Lines::of(lines).filter(|line| !line.is_empty()).enumerate() {
        let (name, value) =
            field_line::read(line).filter(|_| index < TRAILER_FIELDS).ok_or(Misbehaviour::BadTrailers)?;
        let name = HeaderName::from_bytes(name).map_err(|_| Misbehaviour::BadTrailers)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Misbehaviour::BadTrailers)?;
        if !NEVER_TRAILERS.contains(&name) {
            map.append(name, value);
        }
    }
    Ok(map)
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
        let endless = format!("5;{}", "a".repeat(1024));
        assert!(decode(endless.as_bytes(), &[]).is_err());
        let endless = format!("0\r\nA: {}", "a".repeat(16 * 1024));
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
