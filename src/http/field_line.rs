//! Field lines as bytes (RFC 9112 section 5), of requests' heads and of trailers. Without input, output or clock.

use memchr::memchr;

/// The name and the value of one field line; the value without white space around it.
///
/// `None` where there is no colon, or the name is no token: a space is none, which refuses folded lines and spaces
/// before the colon too. Controls in the value are for the caller to judge.
pub fn read(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (name, rest) = line.split_at(memchr(b':', line)?);
    let is_name = !name.is_empty() && name.iter().copied().all(is_token);
    is_name.then(|| (name, trim(&rest[1..])))
}

/// Lines without their ends, which are known to be CRLF; the last one is empty.
pub struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    pub fn of(bytes: &'a [u8]) -> Lines<'a> {
        Lines { rest: bytes }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\n', self.rest)?;
        let line = &self.rest[..end.saturating_sub(1)];
        self.rest = &self.rest[end + 1..];
        Some(line)
    }
}

/// Digits and nothing else, as RFC 9110 section 8.6 has it; `None` when the number overflows too.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// `value` without spaces and tabs around it.
pub fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// `tchar` of RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut token = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            token[byte] = (byte as u8).is_ascii_alphanumeric()
                || matches!(
                    byte as u8,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        token
    };
    TOKEN[usize::from(byte)]
}
