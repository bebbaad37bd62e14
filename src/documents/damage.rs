//! A store that cannot be read: told from one that cannot be had, and set aside by the operator's word, never otherwise.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::opened::Opened;
use super::{StoreError, failed};
use crate::disk;

/// Why a store is not set aside.
#[derive(Debug, thiserror::Error)]
pub enum SetAsideError {
    #[error("{0:?} is not damaged: all of it can be read, and nothing was set aside")]
    Sound(PathBuf),
    #[error("there are no documents in {0:?}")]
    Absent(PathBuf),
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// Whether it is the files that are wrong. What this process may not do, or the disk has no room for, is none of it.
pub(super) fn is_damage(error: &fjall::Error) -> bool {
    use fjall::Error as E;
    match error {
        E::Io(error) | E::Storage(fjall::LsmError::Io(error)) => is_wrong(error.kind()),
        E::Locked | E::Poisoned | E::KeyspaceDeleted => false,
        _ => true,
    }
}

/// Files are missing, or end too early, or say what cannot be.
fn is_wrong(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::UnexpectedEof | ErrorKind::InvalidData)
}

/// Renames a damaged store, so that the next begins with nothing, and says what it is called now.
///
/// # Errors
/// [`SetAsideError`]: it stays where it is.
pub fn set_aside(folder: &Path, now: SystemTime) -> Result<PathBuf, SetAsideError> {
    if !folder.exists() {
        return Err(SetAsideError::Absent(folder.to_owned()));
    }
    let read = Opened::new(folder).and_then(|opened| opened.copy(|_, _| true));
    match read {
        Ok(_) => return Err(SetAsideError::Sound(folder.to_owned())),
        Err(error) if is_damage(&error) => {}
        Err(error) => return Err(failed(folder, &error).into()),
    }
    // A colon is no sign for a file's name everywhere.
    let date = humantime::format_rfc3339_seconds(now).to_string().replace(':', "-");
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".damaged-{date}"));
    let aside = folder.with_file_name(name);
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let renamed = fs::rename(folder, &aside).and_then(|()| disk::sync(above));
    let refused = |error: std::io::Error| StoreError::Failed { folder: folder.to_owned(), what: error.to_string() };
    renamed.map_err(refused)?;
    Ok(aside)
}
