//! A JSON object read field by field, like a section of the config: every fault is noted with a JSON pointer, unknown
//! fields too, and what is JSON to its reader stays as it was written.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json;
use crate::realtime::api::problem::Wrong;
use crate::settings::closest;

/// Faults that are told of one body: an answer is not to be longer than what it answers.
const MAX_WRONGS: usize = 100;

/// One object, and where it is.
pub struct Object<'a, 'w> {
    pointer: String,
    fields: ObjectFields<'a>,
    asked: RefCell<Vec<&'static str>>,
    wrongs: &'w RefCell<Vec<Wrong>>,
}

/// The fields in their order; a field that is there twice is two.
struct ObjectFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for ObjectFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectReader;
        impl<'de> Visitor<'de> for ObjectReader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(ObjectReader).map(ObjectFields)
    }
}

impl<'a, 'w> Object<'a, 'w> {
    /// Reads `text` at `pointer`; notes what is wrong where it is no object.
    pub fn read(text: &'a [u8], pointer: String, wrongs: &'w RefCell<Vec<Wrong>>) -> Option<Object<'a, 'w>> {
        match serde_json::from_slice(text) {
            Ok(fields) => Some(Object { pointer, fields, asked: RefCell::default(), wrongs }),
            Err(error) => {
                note(wrongs, pointer, error.to_string());
                None
            }
        }
    }

    /// The value of `key`, unless it is absent or null.
    pub fn raw(&self, key: &'static str) -> Option<&'a RawValue> {
        self.any(key).filter(|raw| raw.get() != "null")
    }

    /// The value of `key`, also null.
    pub fn any(&self, key: &'static str) -> Option<&'a RawValue> {
        self.asked.borrow_mut().push(key);
        let mut found = self.fields.0.iter().filter(|(name, _)| name == key);
        let (_, raw) = found.next()?;
        if found.next().is_some() {
            self.wrong(key, "is given twice");
        }
        Some(raw)
    }

    /// The value of `key` as a `T`; `what` says in words what that is.
    pub fn value<T: DeserializeOwned>(&self, key: &'static str, what: &str) -> Option<T> {
        let read = json::from_str(self.raw(key)?.get());
        read.map_err(|_| self.wrong(key, format!("must be {what}"))).ok()
    }

    pub fn text(&self, key: &'static str) -> Option<String> {
        self.value(key, "a string")
    }

    /// The entries of the list `key`.
    pub fn list(&self, key: &'static str) -> Option<Vec<&'a RawValue>> {
        let read = serde_json::from_str(self.raw(key)?.get());
        read.map_err(|_| self.wrong(key, "must be a list")).ok()
    }

    /// The entries of the list of strings `key`, or of the one string.
    pub fn texts(&self, key: &'static str) -> Option<Vec<String>> {
        if self.raw(key)?.get().starts_with('"') {
            return self.text(key).map(|text| vec![text]);
        }
        let texts =
            self.list(key)?.into_iter().enumerate().map(|(place, raw)| {
                json::from_str(raw.get()).map_err(|_| self.wrong_at(key, place, "must be a string"))
            });
        texts.collect::<Result<_, _>>().ok()
    }

    pub fn wrong(&self, key: &str, detail: impl Into<String>) {
        let key = key.replace('~', "~0").replace('/', "~1");
        self.note(format!("{}/{key}", self.pointer), detail.into());
    }

    /// Of an entry of the list `key`.
    pub fn wrong_at(&self, key: &str, place: usize, detail: impl Into<String>) {
        self.note(format!("{}/{key}/{place}", self.pointer), detail.into());
    }

    /// Of the whole.
    pub fn wrong_here(&self, detail: impl Into<String>) {
        self.note(self.pointer.clone(), detail.into());
    }

    fn note(&self, pointer: String, detail: String) {
        note(self.wrongs, pointer, detail);
    }
}

/// Notes a fault; of more than [`MAX_WRONGS`], that there are more.
fn note(wrongs: &RefCell<Vec<Wrong>>, pointer: String, detail: String) {
    let mut wrongs = wrongs.borrow_mut();
    match wrongs.len() {
        count if count < MAX_WRONGS => wrongs.push(Wrong { pointer, detail }),
        MAX_WRONGS => {
            wrongs.push(Wrong { pointer: "#".to_owned(), detail: format!("has more faults than these {MAX_WRONGS}") });
        }
        _ => {}
    }
}

impl Drop for Object<'_, '_> {
    fn drop(&mut self) {
        let asked = self.asked.borrow();
        for (name, _) in self.fields.0.iter().filter(|(name, _)| !asked.contains(&name.as_str())) {
            if self.wrongs.borrow().len() > MAX_WRONGS {
                return;
            }
            self.wrong(
                name,
                match closest(name, &asked) {
                    Some(known) => format!("is not known here; did you mean {known:?}?"),
                    None => format!("is not known here; what is: {}", asked.join(", ")),
                },
            );
        }
    }
}
