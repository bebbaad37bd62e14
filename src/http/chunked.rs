//! A chunked body as bytes (RFC 9112 section 7.1): where its data is, where it ends, and whether each of its lines is what
//! it must be. Without input, output or clock; for requests and for responses.

use super::field_line::is_token;

/// What a chunked body may have. Extensions are dropped behind us: nobody needs long ones, and they are a place to hide in.
#[derive(Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Digits of a size.
    digits: u8,
    /// White space after a size.
    may_pad: bool,
    /// Bytes of the extensions of one chunk.
    extension: usize,
    /// Bytes of all extensions of one body.
    extensions: usize,
    /// Bytes of all trailers.
    trailers: usize,
}

impl ChunkLimits {
    /// Strict, because others behind the door read the same bytes: sixteen digits could be a size that they see wrapped
    /// around, and a space is where readers differ. Trailers are dropped.
    pub const REQUEST: ChunkLimits =
        ChunkLimits { digits: 15, may_pad: false, extension: 256, extensions: 16 * 1024, trailers: 8 * 1024 };
    /// Only we read what an app sends, and send it on in chunks of our own. Some servers pad sizes with spaces, a stream
    /// of events may last for days, and trailers are kept.
    pub const RESPONSE: ChunkLimits =
        ChunkLimits { digits: 16, may_pad: true, extension: 1020, extensions: usize::MAX, trailers: 16 * 1024 };
}

/// Follows one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    limits: &'static ChunkLimits,
    at: At,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Bytes of trailers so far.
    trailers: usize,
}

/// Bytes of one kind, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Sizes, extensions and line ends.
    Framing(usize),
    Data(usize),
    /// Field lines after the last chunk, and the empty line that ends them.
    Trailers(usize),
}

/// The body is no chunked body: why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    Size,
    Extension,
    LineEnd,
    DataEnd,
    Trailers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a size of which `digits` were read.
    Size {
        digits: u8,
        size: u64,
    },
    /// White space after a size.
    Padding {
        size: u64,
        length: usize,
    },
    Extension {
        size: u64,
        length: usize,
    },
    SizeEnd {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataReturn,
    DataEnd,
    /// At the start of a line after the last chunk.
    Line,
    Name,
    Value,
    LineEnd,
    LastEnd,
    End,
}

impl Chunked {
    pub fn new(limits: &'static ChunkLimits) -> Chunked {
        Chunked { limits, at: At::Size { digits: 0, size: 0 }, extensions: 0, trailers: 0 }
    }

    /// Follows `bytes`; says how many of them belong to the body. Fewer than all only at its end.
    ///
    /// # Errors
    /// With how many bytes came before the fault.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, (usize, Malformed)> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            match self.next(&bytes[at..]) {
                Ok(Span::Framing(length) | Span::Data(length) | Span::Trailers(length)) => at += length,
                Err((length, malformed)) => return Err((at + length, malformed)),
            }
        }
        Ok(at)
    }

    /// Follows the first of `bytes` that are of one kind. Length 0 only where `bytes` is empty, or the body at its end.
    ///
    /// # Errors
    /// With how many bytes came before the fault.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Span, (usize, Malformed)> {
        if let At::Data { left } = self.at {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            let left = left - length as u64;
            self.at = if left == 0 { At::DataReturn } else { At::Data { left } };
            return Ok(Span::Data(length));
        }
        let is_trailer = self.at.is_trailer();
        let mut length = 0;
        while length < bytes.len()
            && self.at != At::End
            && self.at.is_trailer() == is_trailer
            && !matches!(self.at, At::Data { .. })
        {
            let byte = bytes[length];
            self.at = self.step(byte).ok_or_else(|| (length, self.at.fault(byte)))?;
            length += 1;
        }
        Ok(if is_trailer { Span::Trailers(length) } else { Span::Framing(length) })
    }

    pub fn is_at_end(&self) -> bool {
        self.at == At::End
    }

    fn step(&mut self, byte: u8) -> Option<At> {
        let is_text = byte >= 0x20 && byte != 0x7f || byte == b'\t';
        Some(match self.at {
            At::Size { digits, size } => match byte {
                _ if byte.is_ascii_hexdigit() && digits < self.limits.digits => {
                    let digit = char::from(byte).to_digit(16)?;
                    At::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
                }
                b';' if digits > 0 => At::Extension { size, length: 0 },
                b'\r' if digits > 0 => At::SizeEnd { size },
                b' ' | b'\t' if digits > 0 && self.limits.may_pad => At::Padding { size, length: 0 },
                _ => return None,
            },
            At::Padding { size, .. } | At::Extension { size, .. } if byte == b'\r' => At::SizeEnd { size },
            At::Padding { size, .. } if byte == b';' => At::Extension { size, length: 0 },
            At::Padding { size, length } if matches!(byte, b' ' | b'\t') && length < self.limits.extension => {
                At::Padding { size, length: length + 1 }
            }
            At::Extension { size, length }
                if is_text && length < self.limits.extension && self.extensions < self.limits.extensions =>
            {
                self.extensions += 1;
                At::Extension { size, length: length + 1 }
            }
            At::SizeEnd { size: 0 } if byte == b'\n' => At::Line,
            At::SizeEnd { size } if byte == b'\n' => At::Data { left: size },
            At::DataReturn if byte == b'\r' => At::DataEnd,
            At::DataEnd if byte == b'\n' => At::Size { digits: 0, size: 0 },
            At::Line if byte == b'\r' => At::LastEnd,
            At::Line | At::Name if is_token(byte) => self.trailer(At::Name)?,
            At::Name if byte == b':' => At::Value,
            At::Value if byte == b'\r' => At::LineEnd,
            At::Value if is_text => self.trailer(At::Value)?,
            At::LineEnd if byte == b'\n' => At::Line,
            At::LastEnd if byte == b'\n' => At::End,
            _ => return None,
        })
    }

    fn trailer(&mut self, at: At) -> Option<At> {
        self.trailers += 1;
        (self.trailers <= self.limits.trailers).then_some(at)
    }
}

impl At {
    fn is_trailer(self) -> bool {
        matches!(self, At::Line | At::Name | At::Value | At::LineEnd | At::LastEnd | At::End)
    }

    /// What is wrong when `byte` cannot stand here.
    fn fault(self, byte: u8) -> Malformed {
        match self {
            At::Size { digits, .. } if byte == b'\n' && digits > 0 => Malformed::LineEnd,
            At::Size { .. } | At::Padding { .. } => Malformed::Size,
            At::Extension { .. } if byte == b'\n' => Malformed::LineEnd,
            At::Extension { .. } => Malformed::Extension,
            At::SizeEnd { .. } => Malformed::LineEnd,
            At::Data { .. } | At::DataReturn | At::DataEnd => Malformed::DataEnd,
            At::Line | At::Name | At::Value | At::LineEnd | At::LastEnd | At::End => Malformed::Trailers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn follow(body: &str) -> Result<usize, usize> {
        let mut chunked = Chunked::new(&ChunkLimits::REQUEST);
        match chunked.follow(body.as_bytes()) {
            Ok(length) if chunked.is_at_end() => Ok(length),
            Ok(length) => Err(length),
            Err((at, _)) => Err(at),
        }
    }

    #[test]
    fn a_body_ends_where_it_says() {
        for body in [
            "0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "A;x=\"y\"\r\n0123456789\r\n000\r\n\r\n",
            "0\r\nA: b\r\nC:\r\n\r\n",
        ] {
            assert_eq!(follow(body), Ok(body.len()), "{body:?}");
            assert_eq!(follow(&format!("{body}GET / HTTP/1.1\r\n")), Ok(body.len()), "{body:?}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        for (body, at) in [
            ("\r\n", 0),
            ("-1\r\n", 0),
            ("+1\r\n", 0),
            ("0x1\r\n", 1),
            ("1 \r\n", 1),
            (" 1\r\n", 0),
            ("1\n", 1),
            ("1\rx", 2),
            ("1\r\nab", 4),
            ("1\r\na\n", 4),
            ("1\r\na\rx", 5),
            ("g\r\n", 0),
            (";x\r\n", 0),
            ("1;\n", 2),
            ("1;a\0\r\n", 3),
            ("1234567890abcdef\r\n", 15),
            ("0\r\n\n", 3),
            ("0\r\n x: y\r\n", 3),
            ("0\r\nx\r\n", 4),
            ("0\r\nx : y\r\n", 4),
            ("0\r\n: y\r\n", 3),
            ("0\r\nx: y\n", 7),
            ("0\r\nx: y\rz", 8),
            ("0\r\n\rx", 4),
        ] {
            assert_eq!(follow(body), Err(at), "{body:?}");
        }
        let long = format!("1;{}\r\n", "x".repeat(ChunkLimits::REQUEST.extension + 1));
        assert_eq!(follow(&long), Err(2 + ChunkLimits::REQUEST.extension));
        let long = format!("0\r\nx: {}", "x".repeat(ChunkLimits::REQUEST.trailers + 1));
        assert!(follow(&long).is_err_and(|at| at < ChunkLimits::REQUEST.trailers + 8));
    }

    #[test]
    fn responses_may_pad_sizes_and_carry_longer_extensions() {
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(ChunkLimits::REQUEST.extension + 1));
        for body in ["5 \r\nhello\r\n0\t ;a\r\n\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n", &long] {
            assert!(follow(body).is_err(), "{body:?}");
            let mut response = Chunked::new(&ChunkLimits::RESPONSE);
            assert_eq!(response.follow(body.as_bytes()), Ok(body.len()), "{body:?}");
            assert!(response.is_at_end());
        }
        for body in ["5 x\r\n", " 5\r\n", "5\r\r\n", "5 \n", "12345678901234567\r\n"] {
            assert!(Chunked::new(&ChunkLimits::RESPONSE).follow(body.as_bytes()).is_err(), "{body:?}");
        }
    }

    #[test]
    fn spans_tell_data_from_what_frames_it() {
        let (mut chunked, mut rest) =
            (Chunked::new(&ChunkLimits::REQUEST), b"2;x\r\nhi\r\n0\r\na: b\r\n\r\nrest".as_slice());
        let mut spans = Vec::new();
        while !chunked.is_at_end() {
            let span = chunked.next(rest).unwrap();
            let (Span::Framing(length) | Span::Data(length) | Span::Trailers(length)) = span;
            rest = &rest[length..];
            spans.push(span);
        }
        assert_eq!(spans, [Span::Framing(5), Span::Data(2), Span::Framing(5), Span::Trailers(8)]);
        assert_eq!(rest, b"rest");
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(body in "([0-9a-f]{1,2}(;[a-z]{0,3})?\r\n[a-z]{0,20}\r?\n){0,3}0\r\n(x: y\r\n)?\r\n", cut in 0usize..60) {
            let mut whole = Chunked::new(&ChunkLimits::REQUEST);
            let expected = whole.follow(body.as_bytes());
            let (first, second) = body.as_bytes().split_at(cut.min(body.len()));
            let mut pieces = Chunked::new(&ChunkLimits::REQUEST);
            let found = match pieces.follow(first) {
                Ok(length) if length == first.len() => match pieces.follow(second) {
                    Ok(more) => Ok(length + more),
                    Err((at, malformed)) => Err((length + at, malformed)),
                },
                other => other,
            };
            prop_assert_eq!(found, expected);
            prop_assert_eq!(pieces, whole);
        }
    }
}
