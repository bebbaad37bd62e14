//! Releases in folders of their own, and `current`, which leads to one of them.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::Stub;

pub struct Releases {
    pub folder: TempDir,
}

impl Releases {
    pub fn leading_to(release: &Stub) -> Releases {
        let releases = Releases { folder: tempfile::tempdir().unwrap() };
        releases.lead_to(release);
        releases
    }

    pub fn current(&self) -> PathBuf {
        self.folder.path().join("current")
    }

    /// In one step, as `ln -sfn` and `mv -T` do.
    pub fn lead_to(&self, release: &Stub) {
        let next = self.folder.path().join("next");
        std::os::unix::fs::symlink(release.path(), &next).unwrap();
        fs::rename(next, self.current()).unwrap();
    }

    pub fn config(&self) -> String {
        format!("[app]\ndir = {:?}\nrestart_delay = \"50ms\"\n", self.current())
    }
}
