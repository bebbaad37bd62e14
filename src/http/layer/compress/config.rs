//! The section `[compress]`: what is compressed on its way out, and at which price.

use crate::http::encoding::Encoding;
use crate::http::path::misspelt;
use crate::settings::{Section, Size};

use super::kind::MediaKind;

/// The section `[compress]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Compress answers of the app. The app is then asked for plain ones. Default true.
    pub enabled: bool,
    /// Codings on offer, best first; a client's own preference comes before it. Default zstd, br, gzip.
    pub encodings: Vec<Encoding>,
    /// Answers known to be shorter go out as they are. Bytes. Default 1 KiB.
    pub min_size: Size,
    /// Media types worth it; `text/*` and `*+json` stand for many. Default [`MediaKind::COMMON`].
    pub types: Vec<MediaKind>,
    /// Paths that begin with one of these are left alone. Default none.
    pub except: Vec<String>,
    /// Brotli's effort, 0 to 6. Default 5.
    pub br_level: u32,
    /// Zstandard's effort, 1 to 6. Default 3.
    pub zstd_level: u32,
    /// gzip's effort, 1 to 9. Default 5.
    pub gzip_level: u32,
    /// For all encoders at work together; answers beyond it go out as they are. Default 128 MiB.
    pub memory: Size,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            encodings: vec![Encoding::Zstd, Encoding::Brotli, Encoding::Gzip],
            min_size: Size::kib(1),
            types: MediaKind::common(),
            except: Vec::new(),
            br_level: 5,
            zstd_level: 3,
            gzip_level: 5,
            memory: Size::mib(128),
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let level = |key: &'static str, least: u32, most: u32, default: u32| {
            let level = section.value(key, default);
            if (least..=most).contains(&level) {
                return level;
            }
            section.problem(key, format!("compress.{key} must be from {least} to {most}"), None);
            default
        };
        let except = section.value("except", default.except);
        for path in &except {
            if let Some(better) = misspelt(path) {
                let what = format!("compress.except has {path:?}; requests are compared in another spelling");
                section.problem("except", what, Some(&format!("write {better:?}")));
            }
        }
        Config {
            enabled: section.value("enabled", default.enabled),
            encodings: section.value("encodings", default.encodings),
            min_size: section.value("min_size", default.min_size),
            types: section.value("types", default.types),
            except,
            br_level: level("br_level", 0, 6, default.br_level),
            zstd_level: level("zstd_level", 1, 6, default.zstd_level),
            gzip_level: level("gzip_level", 1, 9, default.gzip_level),
            memory: section.value("memory", default.memory),
        }
    }
}
