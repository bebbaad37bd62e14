//! The files that keys name: secrets, tokens, keys.

use std::io;
use std::path::Path;

use super::Section;

/// Editors of Windows write a byte-order mark at a file's beginning, and it is no part of what is written there.
const MARK: char = '\u{feff}';

/// The text of a file, without a byte-order mark before it.
///
/// # Errors
/// It cannot be read, or is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.strip_prefix(MARK).map(str::to_owned).unwrap_or(text))
}

impl Section<'_> {
    /// The text of the file that `key` names; a problem where it cannot be read.
    pub fn text_of(&self, key: &'static str, path: &Path) -> Option<String> {
        let read = read_text(path);
        read.map_err(|error| self.problem(key, format!("cannot read {}: {error}", path.display()), None)).ok()
    }
}
