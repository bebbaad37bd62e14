//! Names with stars in them, as in `room-*`.

use std::fmt;

use toml::de::DeValue;

use super::{Expected, Setting};

/// A name in which `*` stands for any characters, also none.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern(text.into())
    }

    /// Whether `name` is one of those it stands for. Takes time in proportion to both lengths, whatever they are.
    pub fn fits(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // Each part at its first place leaves the most for those after it.
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Setting for Pattern {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        match value.as_str() {
            Some(text) if !text.is_empty() => Ok(Pattern::new(text)),
            _ => Err(Expected("a name, in which * stands for any characters".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*", "room", true),
            ("room-*", "room-1", true),
            ("room-*", "room-", true),
            ("room-*", "rooms", false),
            ("*-1", "room-1", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("room", "room", true),
            ("room", "room-1", false),
            ("**", "x", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(name), expected, "{pattern} {name}");
        }
    }
}
