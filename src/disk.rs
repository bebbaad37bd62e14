//! A file that is written whole or not at all, whatever ends in the midst of it: this process, or the machine.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Puts `contents` in the place of `file`, with `mode`; on the disk when this returns. Blocks.
///
/// # Errors
/// Those of the system: then what was there before is there still.
pub fn replace(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(file, contents, mode)?;
    fs::rename(&draft, file).inspect_err(|_| drop(fs::remove_file(&draft)))?;
    sync(folder_of(file))
}

/// Puts `contents` where there is no `file` yet, as [`replace`] does; another's is left as it is. Blocks.
///
/// # Errors
/// Those of the system.
pub fn place(file: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let draft = draft(file, contents, mode)?;
    let linked = fs::hard_link(&draft, file);
    let _ = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync(folder_of(file)),
    }
}

/// Waits until what was made or moved in `folder` is on the disk. Blocks.
///
/// # Errors
/// Those of the system.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The contents beside where they are to be, on the disk. Each process has its own, so that two never write into one.
fn draft(file: &Path, contents: &[u8], mode: u32) -> io::Result<PathBuf> {
    let mut name = file.file_name().map(OsString::from).unwrap_or_default();
    name.push(format!(".{}.new", std::process::id()));
    let draft = file.with_file_name(name);
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft);
    let written = opened.and_then(|mut opened| {
        opened.write_all(contents)?;
        opened.sync_all()
    });
    written.inspect_err(|_| drop(fs::remove_file(&draft)))?;
    Ok(draft)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for text in ["a longer one", "short"] {
            replace(&file, text.as_bytes(), 0o600).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        place(&file, b"another's", 0o644).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "short");
        let other = folder.path().join("other");
        place(&other, b"first", 0o644).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        // A folder in its place: nothing is left of the draft.
        fs::create_dir_all(folder.path().join("full/of")).unwrap();
        replace(&folder.path().join("full"), b"", 0o600).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
