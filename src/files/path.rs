//! From the path of a URL to a path below a folder, or nothing: the one place where traversal is made impossible.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The name below the folder that `encoded` (what follows the prefix in the URL) means: decoded once, with `/` between
/// its segments. `None` for whatever could name something else: an empty, `.`, `..` or hidden segment, an encoded slash,
/// a backslash, a control character, bytes that are no UTF-8.
pub fn name(encoded: &str) -> Option<Cow<'_, str>> {
    let name = if encoded.contains('%') {
        let mut name = String::with_capacity(encoded.len());
        for (place, segment) in encoded.split('/').enumerate() {
            let segment = percent_decode_str(segment).decode_utf8().ok()?;
            if segment.contains('/') {
                return None;
            }
            if place > 0 {
                name.push('/');
            }
            name.push_str(&segment);
        }
        Cow::Owned(name)
    } else {
        Cow::Borrowed(encoded)
    };
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && !segment.contains(|char: char| char == '\\' || char.is_control())
    };
    name.split('/').all(is_plain).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};

    #[test]
    fn names_are_decoded_once() {
        for (encoded, expected) in [
            ("chunks/main.js", "chunks/main.js"),
            ("chunks/app/blog/%5Bslug%5D/page.js", "chunks/app/blog/[slug]/page.js"),
            ("chunks/app/[...all]/(group)/@modal/page.js", "chunks/app/[...all]/(group)/@modal/page.js"),
            ("media/caf%C3%A9.png", "media/café.png"),
            ("a%252e%252e", "a%2e%2e"),
            ("a..b/c.", "a..b/c."),
            ("100%", "100%"),
        ] {
            assert_eq!(name(encoded).as_deref(), Some(expected));
        }
    }

    #[test]
    fn whatever_could_leave_the_folder_is_no_name() {
        for encoded in [
            "",
            "/",
            "a//b",
            "a/",
            "/etc/passwd",
            ".",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "%2e%2e/x",
            "%2E%2e/x",
            ".%2e/x",
            "..%2fx",
            "a%2Fb",
            "a%5c..%5cb",
            "a\\b",
            "..\\x",
            "a%00.js",
            "%00",
            "a%0ab",
            "a\u{7f}",
            ".env",
            "a/.git/config",
            "%2egit",
            "a%ff",
            "%c0%ae%c0%ae/x",
            "%c0%af",
            "a/./b",
            "\u{85}",
        ] {
            assert_eq!(name(encoded), None, "{encoded:?}");
        }
    }

    proptest! {
        #[test]
        fn no_name_leaves_the_folder(encoded in "([./%2eEfF5cC\\\\a-c0]|\\PC){0,24}") {
            if let Some(name) = name(&encoded) {
                prop_assert!(Path::new(&*name).components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(!name.contains(['\0', '\\']));
            }
        }
    }
}
