//! Which media types are worth compressing.

use http::HeaderValue;
use toml::de::DeValue;

use crate::settings::{Expected, Setting};

/// A media type without parameters, or a family of them. Lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaKind {
    One(Box<str>),
    /// `text/*`: what they begin with.
    Begins(Box<str>),
    /// `*+json`: what they end with.
    Ends(Box<str>),
}

impl MediaKind {
    /// Text in all its forms. Images, video, archives and WOFF fonts are compressed already.
    pub const COMMON: [&str; 15] = [
        "text/*",
        "*+json",
        "*+xml",
        "*+text",
        "application/json",
        "application/x-ndjson",
        "application/javascript",
        "application/xml",
        "application/wasm",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
        "image/bmp",
        "image/x-icon",
        "image/vnd.microsoft.icon",
    ];

    pub fn common() -> Vec<MediaKind> {
        MediaKind::COMMON.iter().map(|kind| MediaKind::of(kind)).collect()
    }

    fn of(text: &str) -> MediaKind {
        match (text.strip_suffix('*'), text.strip_prefix('*')) {
            (Some(start), _) => MediaKind::Begins(start.into()),
            (None, Some(end)) => MediaKind::Ends(end.into()),
            (None, None) => MediaKind::One(text.into()),
        }
    }

    fn covers(&self, essence: &str) -> bool {
        let essence = essence.as_bytes();
        let (part, wanted) = match self {
            MediaKind::One(kind) => (Some(essence), kind),
            MediaKind::Begins(start) => (essence.get(..start.len()), start),
            MediaKind::Ends(end) => (essence.len().checked_sub(end.len()).and_then(|at| essence.get(at..)), end),
        };
        part.is_some_and(|part| part.eq_ignore_ascii_case(wanted.as_bytes()))
    }
}

/// The media type without its parameters.
pub fn essence(content_type: &HeaderValue) -> &str {
    let text = content_type.to_str().unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// True when one of `kinds` covers the media type `essence`.
pub fn covered(kinds: &[MediaKind], essence: &str) -> bool {
    kinds.iter().any(|kind| kind.covers(essence))
}

impl Setting for MediaKind {
    fn parse(value: &DeValue) -> Result<Self, Expected> {
        let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
        let right = match text.split_once('/') {
            Some((family, kind)) => !family.is_empty() && !family.contains('*') && (kind == "*" || plain(kind)),
            None => text.strip_prefix("*+").is_some_and(plain),
        };
        if right {
            Ok(MediaKind::of(&text))
        } else {
            Err(Expected("media types, as in \"text/*\" or \"*+json\"".into()))
        }
    }
}

fn plain(part: &str) -> bool {
    !part.is_empty() && !part.contains(['*', ';', '/', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_covered_and_pictures_are_not() {
        let kinds = MediaKind::common();
        for kind in ["text/html; charset=utf-8", "text/x-component", "TEXT/CSS", "application/ld+json", "image/svg+xml"]
        {
            assert!(covered(&kinds, essence(&HeaderValue::from_static(kind))), "{kind}");
        }
        for kind in ["image/png", "font/woff2", "application/octet-stream", "", ";", "text", "é"] {
            assert!(!covered(&kinds, kind), "{kind}");
        }
    }

    #[test]
    fn kinds_that_are_not_media_types_are_refused() {
        for wrong in ["", "*", "*/*", "text", "*+", "text/", "/html", "text/html;q=1", "te*/html"] {
            assert!(MediaKind::parse(&DeValue::String(wrong.into())).is_err(), "{wrong:?}");
        }
        for right in ["text/*", "Application/JSON", "*+json"] {
            assert!(MediaKind::parse(&DeValue::String(right.into())).is_ok(), "{right:?}");
        }
    }
}
