//! Reading: markers by `rmp`, lengths checked before anything is taken.

use rmp::Marker;

/// What stands next. Of arrays and maps their length only: their items follow, one by one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MsgpackItem<'a> {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero, or written in a signed format.
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// So many items follow, or that is a lie: each takes a byte at least.
    Array(usize),
    /// So many pairs follow, or that is a lie.
    Map(usize),
    /// Bytes of a type that the application gives a meaning. `is_fixed` when it came as one of the `fixext` formats.
    Extension {
        kind: i8,
        data: &'a [u8],
        is_fixed: bool,
    },
}

/// It is no MessagePack: cut short, a marker without meaning, or text that is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not MessagePack")]
pub struct Malformed;

/// Reads items from bytes that were not copied.
#[derive(Debug)]
pub struct MsgpackReader<'a>(&'a [u8]);

impl<'a> MsgpackReader<'a> {
    pub fn new(bytes: &'a [u8]) -> MsgpackReader<'a> {
        MsgpackReader(bytes)
    }

    /// True when nothing is left.
    pub fn is_done(&self) -> bool {
        self.0.is_empty()
    }

    /// The next item.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn item(&mut self) -> Result<MsgpackItem<'a>, Malformed> {
        Ok(match Marker::from_u8(self.number::<1>()?[0]) {
            Marker::Null => MsgpackItem::Nil,
            Marker::True => MsgpackItem::Bool(true),
            Marker::False => MsgpackItem::Bool(false),
            Marker::FixPos(number) => MsgpackItem::Unsigned(number.into()),
            Marker::FixNeg(number) => MsgpackItem::Signed(number.into()),
            Marker::U8 => MsgpackItem::Unsigned(u8::from_be_bytes(self.number()?).into()),
            Marker::U16 => MsgpackItem::Unsigned(u16::from_be_bytes(self.number()?).into()),
            Marker::U32 => MsgpackItem::Unsigned(u32::from_be_bytes(self.number()?).into()),
            Marker::U64 => MsgpackItem::Unsigned(u64::from_be_bytes(self.number()?)),
            Marker::I8 => MsgpackItem::Signed(i8::from_be_bytes(self.number()?).into()),
            Marker::I16 => MsgpackItem::Signed(i16::from_be_bytes(self.number()?).into()),
            Marker::I32 => MsgpackItem::Signed(i32::from_be_bytes(self.number()?).into()),
            Marker::I64 => MsgpackItem::Signed(i64::from_be_bytes(self.number()?)),
            Marker::F32 => MsgpackItem::Float(f32::from_be_bytes(self.number()?).into()),
            Marker::F64 => MsgpackItem::Float(f64::from_be_bytes(self.number()?)),
            Marker::FixStr(length) => self.text(length.into())?,
            Marker::Str8 => self.length8().and_then(|length| self.text(length))?,
            Marker::Str16 => self.length16().and_then(|length| self.text(length))?,
            Marker::Str32 => self.length32().and_then(|length| self.text(length))?,
            Marker::Bin8 => self.length8().and_then(|length| self.take(length)).map(MsgpackItem::Binary)?,
            Marker::Bin16 => self.length16().and_then(|length| self.take(length)).map(MsgpackItem::Binary)?,
            Marker::Bin32 => self.length32().and_then(|length| self.take(length)).map(MsgpackItem::Binary)?,
            Marker::FixArray(length) => MsgpackItem::Array(length.into()),
            Marker::Array16 => MsgpackItem::Array(self.length16()?),
            Marker::Array32 => MsgpackItem::Array(self.length32()?),
            Marker::FixMap(length) => MsgpackItem::Map(length.into()),
            Marker::Map16 => MsgpackItem::Map(self.length16()?),
            Marker::Map32 => MsgpackItem::Map(self.length32()?),
            Marker::FixExt1 => self.extension(1, true)?,
            Marker::FixExt2 => self.extension(2, true)?,
            Marker::FixExt4 => self.extension(4, true)?,
            Marker::FixExt8 => self.extension(8, true)?,
            Marker::FixExt16 => self.extension(16, true)?,
            Marker::Ext8 => self.length8().and_then(|length| self.extension(length, false))?,
            Marker::Ext16 => self.length16().and_then(|length| self.extension(length, false))?,
            Marker::Ext32 => self.length32().and_then(|length| self.extension(length, false))?,
            Marker::Reserved => return Err(Malformed),
        })
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number<const WIDTH: usize>(&mut self) -> Result<[u8; WIDTH], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length8(&mut self) -> Result<usize, Malformed> {
        Ok(u8::from_be_bytes(self.number()?).into())
    }

    fn length16(&mut self) -> Result<usize, Malformed> {
        Ok(u16::from_be_bytes(self.number()?).into())
    }

    fn length32(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::from_be_bytes(self.number()?)).map_err(|_| Malformed)
    }

    fn text(&mut self, length: usize) -> Result<MsgpackItem<'a>, Malformed> {
        std::str::from_utf8(self.take(length)?).map(MsgpackItem::Text).map_err(|_| Malformed)
    }

    fn extension(&mut self, length: usize, is_fixed: bool) -> Result<MsgpackItem<'a>, Malformed> {
        let kind = i8::from_be_bytes(self.number()?);
        Ok(MsgpackItem::Extension { kind, data: self.take(length)?, is_fixed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::msgpack::write;
    use proptest::prelude::*;

    fn item(bytes: &[u8]) -> Result<MsgpackItem<'_>, Malformed> {
        let mut reader = MsgpackReader::new(bytes);
        let item = reader.item();
        assert!(item.is_err() || reader.is_done(), "{bytes:?}");
        item
    }

    #[test]
    fn lies_are_found_out() {
        for bytes in
            [&b""[..], b"\xc1", b"\xa2a", b"\xdb\xff\xff\xff\xffa", b"\xa1\xff", b"\xcf\0", b"\xd4\0", b"\xc7\x02\0a"]
        {
            assert_eq!(item(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(item(b"\xdd\xff\xff\xff\xff"), Ok(MsgpackItem::Array(0xffff_ffff)), "taken from nothing");
        assert_eq!(item(b"\xd4\x05a"), Ok(MsgpackItem::Extension { kind: 5, data: b"a", is_fixed: true }));
        assert_eq!(item(b"\xc7\x01\xffa"), Ok(MsgpackItem::Extension { kind: -1, data: b"a", is_fixed: false }));
        assert_eq!(item(b"\xd0\x01"), Ok(MsgpackItem::Signed(1)));
        assert_eq!(item(b"\xca\x3f\x80\0\0"), Ok(MsgpackItem::Float(1.0)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in any::<i64>(), unsigned in any::<u64>(), text in any::<String>(), long in 0..70_000_usize) {
            let mut out = Vec::new();
            write::signed(&mut out, number);
            let read = item(&out).unwrap();
            let is_same = match read {
                MsgpackItem::Unsigned(found) => i64::try_from(found) == Ok(number),
                found => found == MsgpackItem::Signed(number),
            };
            prop_assert!(is_same);
            let bytes = vec![7; long];
            let mut out = Vec::new();
            write::unsigned(&mut out, unsigned);
            write::text(&mut out, &text);
            write::binary(&mut out, &bytes);
            write::array(&mut out, long);
            write::map(&mut out, long);
            let mut reader = MsgpackReader::new(&out);
            prop_assert_eq!(reader.item(), Ok(MsgpackItem::Unsigned(unsigned)));
            prop_assert_eq!(reader.item(), Ok(MsgpackItem::Text(&text)));
            prop_assert_eq!(reader.item(), Ok(MsgpackItem::Binary(&bytes)));
            prop_assert_eq!(reader.item(), Ok(MsgpackItem::Array(long)));
            prop_assert_eq!(reader.item(), Ok(MsgpackItem::Map(long)));
            prop_assert!(reader.is_done());
        }
    }
}
