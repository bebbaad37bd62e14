//! Tells whether the files of the certificates have changed.

use std::os::unix::fs::MetadataExt;

use super::Config;

/// What tells one state of the files from another, without reading them. Links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<Option<[i64; 6]>>);

impl Fingerprint {
    pub fn of(config: &Config) -> Fingerprint {
        Fingerprint(
            config.files().into_iter().map(|file| std::fs::metadata(file).ok().map(|found| marks(&found))).collect(),
        )
    }
}

fn marks(found: &std::fs::Metadata) -> [i64; 6] {
    let signed = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
    let (device, inode, size) = (signed(found.dev()), signed(found.ino()), signed(found.size()));
    [device, inode, size, found.mtime(), found.mtime_nsec(), found.ctime_nsec()]
}
