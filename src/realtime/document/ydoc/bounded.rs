//! A reader of updates that refuses values too deep: `yrs` reads them by recursion, and a stack that overflows ends the process.

use std::collections::HashMap;
use std::sync::Arc;

use yrs::any::Number;
use yrs::encoding::read::{Cursor, Error, Read};
use yrs::encoding::varint::VarInt;
use yrs::updates::decoder::Decoder;
use yrs::{Any, ClientID, ID};

/// Arrays and maps within each other, at most.
const MAX_DEPTH: usize = 200;

/// A decoder whose values are bounded, and whether what it calls JSON is such a value too, as in the second coding. In the
/// first it is text, read by a parser with bounds of its own.
pub struct Bounded<D> {
    inner: D,
    json_is_any: bool,
    /// The types that it has read: maps, arrays, texts, elements.
    pub types: usize,
    /// How many editors it may say it has: no more than it has bytes. Room is made for as many as it says, at once.
    editors: Option<u64>,
    /// What comes next is where an editor's changes begin.
    is_clock: bool,
    /// How long all of them are together.
    long: u32,
    /// Where the last deletion begins.
    deleted: u32,
}

/// Where an editor's changes begin, and how long all of them are, at most: added up they stay numbers.
const FARTHEST: u32 = 1 << 30;

/// Whether a state vector says of no more editors than it has bytes.
pub fn is_counted(vector: &[u8]) -> bool {
    Cursor::new(vector).read_var::<u32>().is_ok_and(|editors| editors as usize <= vector.len())
}

impl<D: Decoder> Bounded<D> {
    /// Reads an update of so many bytes.
    pub fn new(inner: D, json_is_any: bool, bytes: usize) -> Bounded<D> {
        let editors = Some(bytes as u64);
        Bounded { inner, json_is_any, types: 0, editors, is_clock: false, long: 0, deleted: 0 }
    }

    fn any(&mut self, depth: usize) -> Result<Any, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::UnexpectedValue);
        }
        Ok(match self.inner.read_u8()? {
            127 => Any::Undefined,
            126 => Any::Null,
            125 => Any::Number(Number::Int(self.inner.read_var::<i64>()?)),
            124 => Any::Number(Number::Float(f64::from(self.inner.read_f32()?))),
            123 => Any::Number(Number::Float(self.inner.read_f64()?)),
            122 => Any::Number(Number::Int(self.inner.read_i64()?)),
            121 => Any::Bool(false),
            120 => Any::Bool(true),
            119 => Any::String(Arc::from(self.text()?)),
            118 => {
                let length: u32 = self.inner.read_var()?;
                // Grows as it is read: nobody is believed how long it will be.
                let mut map = HashMap::new();
                for _ in 0..length {
                    let key = self.text()?;
                    map.insert(key, self.any(depth + 1)?);
                }
                Any::Map(Arc::new(map))
            }
            117 => {
                let length: u32 = self.inner.read_var()?;
                let mut array = Vec::new();
                for _ in 0..length {
                    array.push(self.any(depth + 1)?);
                }
                Any::Array(Arc::from(array))
            }
            116 => Any::Buffer(Arc::from(self.inner.read_buf()?)),
            _ => return Err(Error::UnexpectedValue),
        })
    }

    /// Not `read_string`, which in the second coding reads elsewhere.
    fn text(&mut self) -> Result<String, Error> {
        std::str::from_utf8(self.inner.read_buf()?).map(str::to_owned).map_err(|_| Error::UnexpectedValue)
    }
}

impl<D: Decoder> Read for Bounded<D> {
    fn read_exact(&mut self, len: usize) -> Result<&[u8], Error> {
        self.inner.read_exact(len)
    }

    fn read_u8(&mut self) -> Result<u8, Error> {
        self.inner.read_u8()
    }

    fn read_string(&mut self) -> Result<&str, Error> {
        self.inner.read_string()
    }

    /// The first that is read of an update is how many editors it has, and behind each of them is where its changes begin.
    fn read_var<T: VarInt>(&mut self) -> Result<T, Error> {
        let number: T = self.inner.read_var()?;
        let clock = std::mem::take(&mut self.is_clock).then_some(u64::from(FARTHEST));
        if let Some(most) = self.editors.take().or(clock) {
            let mut written = Vec::new();
            number.write(&mut written);
            if Cursor::new(&written).read_var::<u64>()? > most {
                return Err(Error::UnexpectedValue);
            }
        }
        Ok(number)
    }
}

impl<D: Decoder> Decoder for Bounded<D> {
    fn reset_ds_cur_val(&mut self) {
        self.inner.reset_ds_cur_val();
    }

    fn read_ds_clock(&mut self) -> Result<u32, Error> {
        self.deleted = self.inner.read_ds_clock()?;
        Ok(self.deleted)
    }

    fn read_ds_len(&mut self) -> Result<u32, Error> {
        let long = self.inner.read_ds_len()?;
        self.deleted.checked_add(long).ok_or(Error::UnexpectedValue)?;
        Ok(long)
    }

    fn read_left_id(&mut self) -> Result<ID, Error> {
        self.inner.read_left_id()
    }

    fn read_right_id(&mut self) -> Result<ID, Error> {
        self.inner.read_right_id()
    }

    fn read_client(&mut self) -> Result<ClientID, Error> {
        self.is_clock = true;
        self.inner.read_client()
    }

    fn read_info(&mut self) -> Result<u8, Error> {
        self.inner.read_info()
    }

    fn read_parent_info(&mut self) -> Result<bool, Error> {
        self.inner.read_parent_info()
    }

    fn read_type_ref(&mut self) -> Result<u8, Error> {
        self.types += 1;
        self.inner.read_type_ref()
    }

    fn read_len(&mut self) -> Result<u32, Error> {
        let long = self.inner.read_len()?;
        self.long = self.long.saturating_add(long);
        if self.long > FARTHEST { Err(Error::UnexpectedValue) } else { Ok(long) }
    }

    fn read_any(&mut self) -> Result<Any, Error> {
        self.any(0)
    }

    fn read_json(&mut self) -> Result<Any, Error> {
        if self.json_is_any { self.any(0) } else { self.inner.read_json() }
    }

    fn read_key(&mut self) -> Result<Arc<str>, Error> {
        self.inner.read_key()
    }

    fn read_to_end(&mut self) -> Result<&[u8], Error> {
        self.inner.read_to_end()
    }
}
