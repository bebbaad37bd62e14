//! A store made of another's rows. It is in its place when it is whole, or not at all.

use std::fs::{self, DirBuilder};
use std::io;
use std::mem;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::opened::Opened;
use super::{StoreError, StoredRow, failed};
use crate::disk;

/// Bytes that are written at once.
const BATCH: usize = 1 << 20;

/// A store in the making.
pub struct Backup {
    folder: PathBuf,
    draft: PathBuf,
    /// `None` when it is done.
    opened: Option<Opened>,
    waiting: Vec<StoredRow>,
    bytes: usize,
    rows: u64,
}

impl Backup {
    /// Begins one that is to be `folder`: there is nothing yet, or an empty folder.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin(folder: &Path) -> Result<Backup, StoreError> {
        let wrong = |what: String| StoreError::Failed { folder: folder.to_owned(), what };
        let is_free = match fs::read_dir(folder) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(wrong(error.to_string())),
        };
        if !is_free {
            return Err(wrong("there is something already: a backup wants a folder of its own".to_owned()));
        }
        let name = folder.file_name().ok_or_else(|| wrong("this is no name for a folder".to_owned()))?;
        let mut draft = name.to_owned();
        draft.push(format!(".{}.new", std::process::id()));
        let draft = folder.with_file_name(draft);
        // Nobody else may look into it, not even while it is made.
        DirBuilder::new().mode(0o700).create(&draft).map_err(|error| wrong(error.to_string()))?;
        let opened = Opened::new(&draft).map_err(|error| failed(folder, &error));
        let opened = opened.inspect_err(|_| drop(fs::remove_dir_all(&draft)))?;
        let folder = folder.to_owned();
        Ok(Backup { folder, draft, opened: Some(opened), waiting: Vec::new(), bytes: 0, rows: 0 })
    }

    /// One more row, by the store's own key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.bytes += key.len() + value.len();
        self.rows += 1;
        self.waiting.push((key, value));
        if self.bytes < BATCH { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.bytes = 0;
        let rows = mem::take(&mut self.waiting);
        let Some(opened) = &self.opened else { return Ok(()) };
        opened.put(rows).map_err(|error| failed(&self.folder, &error))
    }

    /// Puts it in its place, and says how many rows it has.
    ///
    /// # Errors
    /// [`StoreError`]: nothing is there then.
    pub fn finish(mut self) -> Result<u64, StoreError> {
        self.write()?;
        if let Some(opened) = self.opened.take() {
            let closed = opened.sync();
            closed.map_err(|error| failed(&self.folder, &error))?;
        }
        let _ = fs::remove_dir(&self.folder);
        let above = self.folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let placed = fs::rename(&self.draft, &self.folder).and_then(|()| disk::sync(above));
        placed.map_err(|error| StoreError::Failed { folder: self.folder.clone(), what: error.to_string() })?;
        Ok(self.rows)
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        self.opened = None;
        // Gone already where it is in its place.
        let _ = fs::remove_dir_all(&self.draft);
    }
}
