//! Where the door keeps what outlives it: certificates, keys, files of earlier builds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

/// Of the name of an app's folder, in characters: for people, who know it by that.
const MAX_NAME: usize = 100;

/// What systemd gives (`StateDirectory=`), else the user's own: `doorway` in `XDG_STATE_HOME`, or in `~/.local/state`.
/// `None` where there is neither a home nor one of these.
pub fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let first = |paths: OsString| std::env::split_paths(&paths).next();
    set("STATE_DIRECTORY")
        .and_then(first)
        .or_else(|| Some(PathBuf::from(set("XDG_STATE_HOME")?).join("doorway")))
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state/doorway")))
}

/// What is kept for the app in the folder `written`, as a config has it, is called so: two apps never share a name, and one
/// app keeps its name when a link in its path is turned. `None` where there is no current folder to begin from.
pub fn app_folder_name(written: &Path) -> Option<String> {
    // Without a slash at its end.
    let app: PathBuf = std::path::absolute(written).ok()?.components().collect();
    let digest = digest(&SHA256, app.as_os_str().as_encoded_bytes());
    let key: String = digest.as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = app.file_name().unwrap_or_default().to_string_lossy();
    Some(format!("{}-{key}", plain_name(&name)))
}

/// `name` as a folder's: letters, digits, `-` and `_`, 100 of them at most.
pub fn plain_name(name: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    name.chars().take(MAX_NAME).map(|char| if is_plain(char) { char } else { '_' }).collect()
}
