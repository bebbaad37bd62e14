//! Media types by the end of a name.

use std::path::Path;

use http::HeaderValue;

use crate::http::layer::compress::{MediaKind, covered};

/// The `Content-Type` of a file; text says its charset, and what nobody knows is bytes.
pub fn content_type(path: &Path) -> HeaderValue {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    if path.extension().is_some_and(|extension| extension == "map") {
        return HeaderValue::from_static("application/json; charset=utf-8");
    }
    // RFC 9239 has one name for scripts, whatever their ending.
    let essence = match guess.essence_str() {
        "application/javascript" => "text/javascript",
        essence => essence,
    };
    let is_text = essence.starts_with("text/")
        || matches!(essence, "application/json" | "application/manifest+json")
        || guess.suffix().is_some_and(|suffix| suffix == "xml" || suffix == "json");
    let text = if is_text { format!("{essence}; charset=utf-8") } else { essence.to_owned() };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// True when files of this type get smaller by compression.
pub fn is_compressible(content_type: &HeaderValue) -> bool {
    covered(&MediaKind::common(), crate::http::layer::compress::essence(content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_next_builds_has_its_type() {
        for (name, expected, compressible) in [
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.mjs", "text/javascript; charset=utf-8", true),
            ("a.css", "text/css; charset=utf-8", true),
            ("a.js.map", "application/json; charset=utf-8", true),
            ("a.json", "application/json; charset=utf-8", true),
            ("a.txt", "text/plain; charset=utf-8", true),
            ("a.html", "text/html; charset=utf-8", true),
            ("a.svg", "image/svg+xml; charset=utf-8", true),
            ("a.wasm", "application/wasm", true),
            ("a.webmanifest", "application/manifest+json; charset=utf-8", true),
            ("a.ttf", "font/ttf", true),
            ("a.woff2", "font/woff2", false),
            ("a.png", "image/png", false),
            ("a.avif", "image/avif", false),
            ("a.webp", "image/webp", false),
            ("a.ico", "image/x-icon", true),
            ("a.mp4", "video/mp4", false),
            ("a.PNG", "image/png", false),
            ("LICENSE", "application/octet-stream", false),
            ("a.unheardof", "application/octet-stream", false),
        ] {
            let found = content_type(Path::new(name));
            assert_eq!(found, expected, "{name}");
            assert_eq!(is_compressible(&found), compressible, "{name}");
        }
    }
}
