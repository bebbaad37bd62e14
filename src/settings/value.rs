//! The kinds of value a key can have, each with the words that say what was expected.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

/// What a value should have been, to finish "`key` must be …".
pub struct Expected(pub Cow<'static, str>);

/// A type that a key of `proxy.toml` can have.
pub trait Setting: Sized {
    /// # Errors
    /// [`Expected`], in words a person understands.
    fn parse(value: &DeValue) -> Result<Self, Expected>;
}

fn expected<T>(words: impl Into<Cow<'static, str>>) -> Result<T, Expected> {
    Err(Expected(words.into()))
}

/// A number of bytes: `"12KiB"`, `"1MB"` or a plain integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    pub const fn kib(n: u64) -> Size {
        Size(n * 1024)
    }

    pub const fn mib(n: u64) -> Size {
        Size(n * 1024 * 1024)
    }

    /// As a length in memory; saturates where the address space is smaller.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Setting for Size {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        if let Some(size) = value.as_str().and_then(|text| text.parse::<bytesize::ByteSize>().ok()) {
            return Ok(Size(size.0));
        }
        match value.as_integer() {
            Some(_) => u64::parse(value).map(Size),
            None => expected("a size in bytes, as in \"64KiB\", \"1MiB\" or 4096"),
        }
    }
}

impl Setting for Duration {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        match value.as_str().map(humantime::parse_duration) {
            Some(Ok(duration)) => Ok(duration),
            _ => expected("a duration with its unit, as in \"500ms\", \"30s\" or \"2m\""),
        }
    }
}

impl Setting for bool {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        value.as_bool().map_or_else(|| expected("true or false"), Ok)
    }
}

impl Setting for f64 {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let text = value.as_float().map(|float| float.as_str().to_owned());
        let text = text.or_else(|| value.as_integer().map(|integer| integer.as_str().to_owned()));
        match text.and_then(|text| text.replace('_', "").parse().ok()) {
            Some(number) => Ok(number),
            None => expected("a number"),
        }
    }
}

impl Setting for String {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        value.as_str().map_or_else(|| expected("a string, in quotes"), |text| Ok(text.to_owned()))
    }
}

impl Setting for PathBuf {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        match value.as_str() {
            Some(text) if !text.is_empty() => Ok(PathBuf::from(text)),
            _ => expected("a path, in quotes"),
        }
    }
}

macro_rules! integers {
    ($($kind:ty),*) => {$(
        impl Setting for $kind {
            fn parse(value: &DeValue) -> Result<Self, Expected> {
                let number = value.as_integer().and_then(|integer| {
                    <$kind>::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
                });
                match number {
                    Some(number) => Ok(number),
                    None => expected(format!("a whole number from {} to {}", <$kind>::MIN, <$kind>::MAX)),
                }
            }
        }
    )*};
}
integers!(u16, u32, u64, usize);

macro_rules! from_text {
    ($($kind:ty => $words:literal),*) => {$(
        impl Setting for $kind {
            fn parse(value: &DeValue) -> Result<Self, Expected> {
                match value.as_str().and_then(|text| text.parse().ok()) {
                    Some(parsed) => Ok(parsed),
                    None => expected($words),
                }
            }
        }
    )*};
}
from_text! {
    SocketAddr => "an address with a port, as in \"0.0.0.0:8080\" or \"[::]:8080\"",
    http::Uri => "a URL, as in \"http://127.0.0.1:3000\"",
    http::HeaderName => "a header name",
    http::Method => "an HTTP method"
}

impl Setting for IpNet {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let text = value.as_str().unwrap_or_default();
        match text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) {
            Ok(net) => Ok(net),
            Err(_) => expected("an address or a network, as in \"10.0.0.0/8\" or \"::1\""),
        }
    }
}

/// A table with names of the file's own choice, as in `{ NAME = "value" }`.
impl Setting for BTreeMap<String, String> {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let words = "a table of strings, as in { NAME = \"value\" }";
        let Some(table) = value.as_table() else { return expected(words) };
        let entry = |(key, value): (&toml::Spanned<Cow<'_, str>>, &toml::Spanned<DeValue>)| {
            Some((key.get_ref().to_string(), value.get_ref().as_str()?.to_owned()))
        };
        table.iter().map(entry).collect::<Option<_>>().map_or_else(|| expected(words), Ok)
    }
}

/// One value or a list of them: `"a"` is `["a"]`.
impl<T: Setting> Setting for Vec<T> {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        match value.as_array() {
            Some(items) => items.iter().map(|item| T::parse(item.get_ref())).collect(),
            None => Ok(vec![T::parse(value)?]),
        }
    }
}

/// The word of `known` that somebody who wrote `word` may have meant.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    closest(&word.to_ascii_lowercase(), known)
}

/// The same where large and small letters differ.
pub fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (strsim::damerau_levenshtein(known, word), *known)).min()?;
    (near.0 <= 1 + near.1.len() / 3).then_some(near.1)
}

/// Which words there are, and which of them may have been meant.
pub fn keyword(said: Option<&str>, known: &[&str]) -> Expected {
    let all = known.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ");
    let near = said.and_then(|said| nearest(said, known)).map(|near| format!(" (did you mean {near:?}?)"));
    Expected(format!("one of: {all}{}", near.unwrap_or_default()).into())
}

/// Makes an enum a [`Setting`]: `keywords!(Broadcast { "all" => All, "off" => Off });`
#[doc(hidden)]
#[macro_export]
macro_rules! keywords {
    ($kind:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::settings::Setting for $kind {
            fn parse(value: &toml::de::DeValue) -> Result<Self, $crate::settings::Expected> {
                match value.as_str() {
                    $(Some($word) => Ok($kind::$variant),)+
                    other => Err($crate::settings::keyword(other, &[$($word),+])),
                }
            }
        }
    };
}
pub use keywords;
