//! Lists that a peer sends, of so many items at most: each may be a byte there, and hundreds of them here.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Items of one list, at most.
pub const MAX_ITEMS: usize = 1_000;

/// A list within bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Few<T>(pub Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Few<T>, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "a list of at most {MAX_ITEMS} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few<T>, A::Error> {
        // What a peer says of a length is not believed.
        let mut few = Vec::new();
        while let Some(item) = items.next_element()? {
            if few.len() == MAX_ITEMS {
                return Err(A::Error::custom(format_args!("a list has at most {MAX_ITEMS} items")));
            }
            few.push(item);
        }
        Ok(Few(few))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::ably::wire::Format;

    #[test]
    fn longer_ones_are_refused() {
        for format in [Format::Json, Format::Msgpack] {
            let read = |items: usize| format.read::<Few<u8>>(&format.bytes(&vec![7; items])).map(|few| few.0.len());
            assert_eq!((read(0), read(MAX_ITEMS)), (Ok(0), Ok(MAX_ITEMS)));
            assert!(read(MAX_ITEMS + 1).unwrap_err().contains("1000 items"));
            assert_eq!(format.read::<Option<Few<u8>>>(&format.bytes(&())), Ok(None));
        }
    }
}
