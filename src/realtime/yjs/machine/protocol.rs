//! The frames of y-protocols: numbers of seven bits a byte, and what is counted by them.
//!
//! A frame is a type and what belongs to it: 0 sync (0 the state vector of who asks, 1 what it lacks, 2 an update),
//! 1 awareness, 2 what is not permitted, 3 a question for all awareness.

use bytes::{BufMut, Bytes, BytesMut};

use crate::realtime::vocabulary::Mark;

/// A frame that either side sends.
#[derive(Debug, Clone, PartialEq)]
pub enum YFrame {
    /// What the sender has: it wants what it lacks.
    Vector(Bytes),
    /// What the other side lacked.
    Lacking(Bytes),
    Update(Bytes),
    Awareness(Vec<Mark>),
    /// Why what the client did is not taken.
    Denied(&'static str),
    /// The client wants to know the awareness of all.
    WhoIsThere,
}

/// The largest number that JavaScript counts by ones.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// What is shown no longer, as JSON.
const NOTHING: &[u8] = b"null";

impl YFrame {
    /// Reads a frame.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(mut bytes: Bytes) -> Result<YFrame, &'static str> {
        match number(&mut bytes)? {
            0 => {
                let step = number(&mut bytes)?;
                let content = counted(&mut bytes)?;
                match step {
                    0 => Ok(YFrame::Vector(content)),
                    1 => Ok(YFrame::Lacking(content)),
                    2 => Ok(YFrame::Update(content)),
                    _ => Err("a sync message is of type 0, 1 or 2"),
                }
            }
            1 => marks(counted(&mut bytes)?).map(YFrame::Awareness),
            3 => Ok(YFrame::WhoIsThere),
            _ => Err("a message is of type 0, 1 or 3"),
        }
    }

    /// As bytes.
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        match self {
            YFrame::Vector(content) => put_sync(&mut out, 0, content),
            YFrame::Lacking(content) => put_sync(&mut out, 1, content),
            YFrame::Update(content) => put_sync(&mut out, 2, content),
            YFrame::Awareness(marks) => {
                let mut inner = BytesMut::new();
                put_number(&mut inner, marks.len() as u64);
                for mark in marks {
                    put_number(&mut inner, mark.id);
                    put_number(&mut inner, mark.version);
                    put_counted(&mut inner, mark.data.as_deref().unwrap_or(NOTHING));
                }
                put_number(&mut out, 1);
                put_counted(&mut out, &inner);
            }
            YFrame::Denied(reason) => {
                put_number(&mut out, 2);
                put_number(&mut out, 0);
                put_counted(&mut out, reason.as_bytes());
            }
            YFrame::WhoIsThere => put_number(&mut out, 3),
        }
        out.freeze()
    }
}

fn marks(mut bytes: Bytes) -> Result<Vec<Mark>, &'static str> {
    let count = number(&mut bytes)?;
    let mut marks = Vec::new();
    for _ in 0..count {
        let (id, version) = (number(&mut bytes)?, number(&mut bytes)?);
        let data = counted(&mut bytes)?;
        std::str::from_utf8(&data).map_err(|_| "awareness is JSON")?;
        let data = (*data != *NOTHING).then_some(data);
        marks.push(Mark { id, version, data });
    }
    Ok(marks)
}

fn number(bytes: &mut Bytes) -> Result<u64, &'static str> {
    let mut number = 0;
    for (place, byte) in bytes.iter().enumerate().take(8) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let _ = bytes.split_to(place + 1);
            return if number <= MAX_NUMBER { Ok(number) } else { Err("a number is larger than 2^53 - 1") };
        }
    }
    Err("a number does not end")
}

fn counted(bytes: &mut Bytes) -> Result<Bytes, &'static str> {
    let length = usize::try_from(number(bytes)?).map_err(|_| "a length is too large")?;
    if length > bytes.len() {
        return Err("there is less than it says");
    }
    Ok(bytes.split_to(length))
}

fn put_sync(out: &mut BytesMut, step: u64, content: &[u8]) {
    out.reserve(content.len() + 8);
    put_number(out, 0);
    put_number(out, step);
    put_counted(out, content);
}

fn put_counted(out: &mut BytesMut, content: &[u8]) {
    put_number(out, content.len() as u64);
    out.put_slice(content);
}

fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    out.put_u8(u8::try_from(number).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_was_written() {
        let mark = |id, data: Option<&'static str>| Mark { id, version: 300, data: data.map(Bytes::from) };
        for frame in [
            YFrame::Vector(Bytes::new()),
            YFrame::Lacking(vec![7; 200].into()),
            YFrame::Update(vec![1, 2, 3].into()),
            YFrame::Awareness(vec![mark(MAX_NUMBER, Some(r#"{"x":1}"#)), mark(0, None)]),
            YFrame::WhoIsThere,
        ] {
            assert_eq!(YFrame::read(frame.write()), Ok(frame));
        }
    }

    #[test]
    fn what_is_cut_or_lies_is_refused() {
        let whole = YFrame::Awareness(vec![Mark { id: 1, version: 2, data: Some("3".into()) }]).write();
        for end in 0..whole.len() {
            assert!(YFrame::read(whole.slice(..end)).is_err(), "{end}");
        }
        for bytes in [&[0xff; 20][..], &[0, 3, 0], &[9], &[1, 1, 0xff], &[0, 0, 0xff, 0xff, 0xff, 0x7f]] {
            assert!(YFrame::read(Bytes::copy_from_slice(bytes)).is_err(), "{bytes:?}");
        }
    }
}
