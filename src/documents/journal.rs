//! The store's log, looked at before it is opened: what is behind a broken place in it would be cut off as if it had never been
//! written whole. A last write that was torn is no broken place: nothing whole is behind it.
//!
//! A batch is a start (1, how many items, its number), items (2: kind, packing, keyspace, three lengths, key, value; 4: keyspace)
//! and an end (3, checksum, four signs). The rest of the file is zeros.

use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::Path;

/// The last four signs of each batch.
const SIGNS: &[u8] = b"FJL\x03";

/// An end: its tag, the checksum and the signs.
const END: usize = 1 + 8 + SIGNS.len();

/// What a disk writes at once: where one is empty, the machine lost its power before it was written.
const SECTOR: usize = 512;

/// Looks at each log in the folder of a store.
///
/// # Errors
/// [`ErrorKind::InvalidData`]: one is broken, and has whole changes behind that place. Nothing was done to it.
pub fn check(folder: &Path) -> Result<()> {
    for entry in folder.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "jnl")
            && let Some(place) = broken(File::open(&path)?)?
        {
            let name = path.file_name().unwrap_or_default();
            let what = format!("{} is broken at byte {place}, and there are changes behind it", name.display());
            return Err(Error::new(ErrorKind::InvalidData, what));
        }
    }
    Ok(())
}

/// Where the first batch begins that cannot be read, if there is something whole behind.
fn broken(file: File) -> Result<Option<u64>> {
    let long = file.metadata()?.len();
    let mut log = BufReader::new(file);
    let mut end = 0;
    while let Some(next) = batch(&mut log, end, long)? {
        end = next;
    }
    log.seek(SeekFrom::Start(end))?;
    let sector = SECTOR as u64;
    let mut first = vec![0; usize::try_from(sector - end % sector).unwrap_or(SECTOR)];
    let mut read = fill(&mut log, &mut first)?;
    let mut behind = first[..read].to_vec();
    // What was written before the first empty sector.
    while read > 0 && behind[behind.len() - read..].iter().any(|byte| *byte != 0) {
        if behind.windows(END).any(|bytes| bytes[0] == 3 && bytes.ends_with(SIGNS)) {
            return Ok(Some(end));
        }
        // The beginning of an end may be the last that was read.
        behind.drain(..behind.len().saturating_sub(END));
        let mut next = [0; SECTOR];
        read = fill(&mut log, &mut next)?;
        behind.extend_from_slice(&next[..read]);
    }
    Ok(None)
}

/// Where the batch ends that begins at `place`; `None` where there is none.
fn batch(log: &mut BufReader<File>, place: u64, long: u64) -> Result<Option<u64>> {
    let mut place = place;
    let mut is_open = false;
    loop {
        let mut head = [0; 1 + 1 + 1 + 8 + 2 + 4 + 4];
        let tag = byte(log)?.unwrap_or_default();
        let bytes = match (tag, is_open) {
            (1, false) => 4 + 8,
            (2, true) => head.len() - 1,
            (3, true) => END - 1,
            (4, true) => 8,
            _ => return Ok(None),
        };
        if fill(log, &mut head[1..=bytes])? < bytes {
            return Ok(None);
        }
        place += 1 + bytes as u64;
        is_open = true;
        if tag == 3 {
            return Ok(head[1..=bytes].ends_with(SIGNS).then_some(place));
        }
        if tag == 2 {
            let key = u16::from_le_bytes([head[11], head[12]]);
            let value = u32::from_le_bytes([head[17], head[18], head[19], head[20]]);
            let content = i64::from(key) + i64::from(value);
            place += content.unsigned_abs();
            if place > long {
                return Ok(None);
            }
            log.seek_relative(content)?;
        }
    }
}

fn byte(log: &mut BufReader<File>) -> Result<Option<u8>> {
    let mut tag = [0];
    Ok((fill(log, &mut tag)? == 1).then_some(tag[0]))
}

/// Reads until `into` is full, or the file is at its end; how many bytes that were.
fn fill(log: &mut BufReader<File>, into: &mut [u8]) -> Result<usize> {
    let mut read = 0;
    while read < into.len() {
        match log.read(&mut into[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
