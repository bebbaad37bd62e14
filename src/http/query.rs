//! The query of a request's target, read as a form (`application/x-www-form-urlencoded`, the URL standard section 5.1).

use percent_encoding::percent_decode_str;

/// The value of `key`, decoded; the first where there are several. `None` where the query has no such key.
pub fn parameter(query: Option<&str>, key: &str) -> Option<String> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(known, _)| *known == key)?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_of_a_key_is_given_decoded() {
        let of = |query, key| parameter(Some(query), key);
        assert_eq!(of("a=1&b=x+y%2Bz&b=2", "b").as_deref(), Some("x y+z"));
        assert_eq!(of("a&b=2", "a").as_deref(), Some(""));
        assert_eq!(of("a=1", "b"), None);
        assert_eq!(parameter(None, "a"), None);
    }
}
