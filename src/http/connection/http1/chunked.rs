//! A chunked body as bytes (RFC 9112 section 7.1): where it ends, and whether each of its lines is what it must be.
//! Without input, output or clock.

use super::head::is_token;

/// Extensions are dropped behind us: nobody needs long ones, and they are a place to hide in.
const EXTENSION: usize = 256;
/// All extensions of one body.
const EXTENSIONS: usize = 16 * 1024;
/// Trailers are dropped too.
const TRAILERS: usize = 8 * 1024;

/// Follows one chunked body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Bytes of trailers so far.
    trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In a size of which `digits` were read.
    Size {
        digits: u8,
        size: u64,
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

/// The body is no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

impl Default for Chunked {
    fn default() -> Self {
        Chunked { at: At::Size { digits: 0, size: 0 }, extensions: 0, trailers: 0 }
    }
}

impl Chunked {
    /// Follows `bytes`; says how many of them belong to the body. Fewer than all only at its end.
    ///
    /// # Errors
    /// With how many bytes came before the fault.
    pub fn follow(&mut self, bytes: &[u8]) -> Result<usize, (usize, Malformed)> {
        let mut at = 0;
        while at < bytes.len() && self.at != At::End {
            if let At::Data { left } = self.at {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len() - at);
                at += length;
                let left = left - length as u64;
                self.at = if left == 0 { At::DataReturn } else { At::Data { left } };
                continue;
            }
            self.at = self.step(bytes[at]).ok_or((at, Malformed))?;
            at += 1;
        }
        Ok(at)
    }

    pub fn is_at_end(&self) -> bool {
        self.at == At::End
    }

    fn step(&mut self, byte: u8) -> Option<At> {
        let is_text = byte >= 0x20 && byte != 0x7f || byte == b'\t';
        Some(match self.at {
            At::Size { digits, size } => match byte {
                // Sixteen digits could be a size that others see wrapped around.
                _ if byte.is_ascii_hexdigit() && digits < 15 => {
                    let digit = char::from(byte).to_digit(16)?;
                    At::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
                }
                b';' if digits > 0 => At::Extension { size, length: 0 },
                b'\r' if digits > 0 => At::SizeEnd { size },
                _ => return None,
            },
            At::Extension { size, .. } if byte == b'\r' => At::SizeEnd { size },
            At::Extension { size, length } if is_text && length < EXTENSION && self.extensions < EXTENSIONS => {
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
        (self.trailers <= TRAILERS).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn follow(body: &str) -> Result<usize, usize> {
        let mut chunked = Chunked::default();
        match chunked.follow(body.as_bytes()) {
            Ok(length) if chunked.is_at_end() => Ok(length),
            Ok(length) => Err(length),
            Err((at, Malformed)) => Err(at),
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
        let long = format!("1;{}\r\n", "x".repeat(EXTENSION + 1));
        assert_eq!(follow(&long), Err(2 + EXTENSION));
        let long = format!("0\r\nx: {}", "x".repeat(TRAILERS + 1));
        assert!(follow(&long).is_err_and(|at| at < TRAILERS + 8));
    }

    proptest! {
        #[test]
        fn pieces_change_nothing(body in "([0-9a-f]{1,2}(;[a-z]{0,3})?\r\n[a-z]{0,20}\r?\n){0,3}0\r\n(x: y\r\n)?\r\n", cut in 0usize..60) {
            let mut whole = Chunked::default();
            let expected = whole.follow(body.as_bytes());
            let (first, second) = body.as_bytes().split_at(cut.min(body.len()));
            let mut pieces = Chunked::default();
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
