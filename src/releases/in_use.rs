//! From which folders processes run: such a release is not deleted, however old it is.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders that processes of this user run in, as far as the system says so: nowhere else than on Linux. Blocks.
pub fn folders() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|process| fs::read_link(process.path().join("cwd")).ok()).collect()
}

/// Whether one of `folders` is `release`, or lies in it.
pub fn is_in_use(release: &Path, folders: &[PathBuf]) -> bool {
    let release = release.canonicalize().unwrap_or_else(|_| release.to_owned());
    folders.iter().any(|folder| folder.starts_with(&release))
}
