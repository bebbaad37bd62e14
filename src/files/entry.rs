//! One file, ready to be sent: its bytes or its place, its headers, and its compressed forms.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::media;
use super::site::{FileKind, Found, Site};
use crate::http::encoding::Encoding;
use crate::http::layer::compress::{Forms, Precompressed, Use, vary_on_encoding};

/// Below this a compressed form is not worth its own existence: head and packet stay as they are.
const WORTH_COMPRESSING: u64 = 512;
/// What an entry takes besides its content, in bytes, roughly.
const ENTRY_OVERHEAD: u64 = 2048;

/// A file, and what has been made of it.
#[derive(Debug)]
pub struct Entry {
    pub plain: Representation,
    pub modified: SystemTime,
    pub from_earlier_build: bool,
    /// The build whose headers it carries.
    site: Arc<Site>,
    path: PathBuf,
    stamp: Stamp,
    tag: String,
    coded: Option<Forms<Representation>>,
    /// When the disk was last asked, in milliseconds of the caller's clock.
    checked: AtomicU64,
}

/// One of the forms a file can be sent in.
#[derive(Debug)]
pub struct Representation {
    /// Of a 200 with all of it.
    pub headers: HeaderMap,
    /// With its quotes.
    pub tag: String,
    pub content: FileContent,
}

/// The bytes of a file, or where they lie.
#[derive(Debug)]
pub enum FileContent {
    Memory(Bytes),
    /// Too large to be held.
    Disk {
        path: PathBuf,
        length: u64,
    },
}

impl FileContent {
    pub fn length(&self) -> u64 {
        match self {
            FileContent::Memory(bytes) => bytes.len() as u64,
            FileContent::Disk { length, .. } => *length,
        }
    }
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Entry {
    /// Reads a file that was found; `held` is the longest that is held in memory, in bytes. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is being written right now.
    pub fn load(
        site: &Arc<Site>,
        kind: FileKind,
        found: Found,
        rules: HeaderMap,
        held: u64,
        now: u64,
    ) -> io::Result<Entry> {
        let Found { path, metadata, from_earlier_build } = found;
        let stamp = Stamp::of(&metadata);
        // To the second, as headers say it: comparing anything finer with what a client sends would never agree.
        let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(metadata.mtime()).unwrap_or(0));
        let (content, tag) = if stamp.length <= held {
            let bytes = read(&path, stamp)?;
            let hash = digest::digest(&digest::SHA256, &bytes);
            // 96 bits: nobody gains anything from two files with one tag.
            let tag = BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]);
            (FileContent::Memory(Bytes::from(bytes)), tag)
        } else {
            let tag = format!("{:x}-{:x}-{:x}", stamp.length, stamp.modified.0, stamp.modified.1);
            (FileContent::Disk { path: path.clone(), length: stamp.length }, tag)
        };
        let content_type = media::content_type(&path);
        let is_held = matches!(content, FileContent::Memory(_));
        let is_compressible = media::is_compressible(&content_type) && stamp.length >= WORTH_COMPRESSING;
        let headers = headers(site, kind, content_type, modified, is_compressible, rules);
        Ok(Entry {
            plain: Representation::new(&headers, content, &tag, None),
            modified,
            from_earlier_build,
            site: Arc::clone(site),
            path,
            stamp,
            tag,
            coded: (is_held && is_compressible).then(Default::default),
            checked: AtomicU64::new(now),
        })
    }

    /// What it takes of the memory for files, all its forms included: no form is kept that would make it more.
    pub fn weight(&self) -> u64 {
        ENTRY_OVERHEAD
            + match &self.plain.content {
                FileContent::Memory(bytes) if self.coded.is_some() => 2 * bytes.len() as u64,
                FileContent::Memory(bytes) => bytes.len() as u64,
                FileContent::Disk { .. } => 0,
            }
    }

    /// True when it is `interval` ms or more since the disk was last asked.
    pub fn is_old(&self, now: u64, interval: u64) -> bool {
        now.saturating_sub(self.checked.load(Ordering::Relaxed)) >= interval
    }

    /// The same, for one caller alone.
    pub fn is_due(&self, now: u64, interval: u64) -> bool {
        let checked = self.checked.load(Ordering::Relaxed);
        self.is_old(now, interval)
            && self.checked.compare_exchange(checked, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether its headers are those of `site`: another build has other rules.
    pub fn is_of(&self, site: &Arc<Site>) -> bool {
        Arc::ptr_eq(&self.site, site)
    }

    /// Whether it is a page that an address means which names no file.
    pub fn is_page(&self, name: &str) -> bool {
        self.path.extension().is_some_and(|end| end == "html") && !name.ends_with(".html")
    }

    /// Whether the disk still has what this is. Blocks.
    pub fn is_current(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
    }

    /// The form in `encoding`, if it was made and kept.
    pub fn coded(&self, encoding: Encoding) -> Option<&Representation> {
        self.coded.as_ref()?.made(encoding)
    }

    /// True when it will not get smaller than it is, so that nobody need try again.
    pub fn is_at_its_smallest(&self, encoding: Encoding) -> bool {
        self.coded.as_ref().is_some_and(|coded| coded.is_at_its_smallest(encoding))
    }
}

impl Precompressed for Entry {
    fn bytes(&self) -> Option<&Bytes> {
        match &self.plain.content {
            FileContent::Memory(bytes) => Some(bytes),
            FileContent::Disk { .. } => None,
        }
    }

    fn purpose(&self) -> Use {
        Use::Keep(self.plain.content.length())
    }

    fn ask(&self, encoding: Encoding) -> bool {
        self.coded.as_ref().is_some_and(|coded| coded.ask(encoding))
    }

    fn unask(&self, encoding: Encoding) {
        if let Some(coded) = &self.coded {
            coded.unask(encoding);
        }
    }

    fn keep(&self, encoding: Encoding, bytes: Bytes) {
        let (Some(coded), Some(plain)) = (&self.coded, self.bytes()) else { return };
        let length = bytes.len();
        let form = Representation::new(&self.plain.headers, FileContent::Memory(bytes), &self.tag, Some(encoding));
        // What is held in memory fits into its addresses.
        coded.keep(encoding, form, length, plain.len(), |form| form.content.length() as usize);
    }
}

impl Representation {
    fn new(headers: &HeaderMap, content: FileContent, tag: &str, encoding: Option<Encoding>) -> Representation {
        let tag = match encoding {
            Some(encoding) => format!("\"{tag}-{}\"", encoding.token()),
            None => format!("\"{tag}\""),
        };
        let mut headers = headers.clone();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.token()));
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(content.length()));
        headers.insert(ETAG, HeaderValue::try_from(&tag).expect("a tag of ours is visible ASCII"));
        Representation { headers, tag, content }
    }
}

fn read(path: &PathBuf, stamp: Stamp) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; usize::try_from(stamp.length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    if Stamp::of(&file.metadata()?) != stamp {
        return Err(io::Error::other("changed while it was read"));
    }
    Ok(bytes)
}

fn headers(
    site: &Site,
    kind: FileKind,
    content_type: HeaderValue,
    modified: SystemTime,
    varies: bool,
    rules: HeaderMap,
) -> HeaderMap {
    // As in Next.js, what a rule of the app sets holds; the rest is added.
    let mut headers = rules;
    let cache_control = match kind {
        FileKind::Static => "public, max-age=31536000, immutable",
        FileKind::ServiceWorker => "public, max-age=0, must-revalidate",
        FileKind::Public => "public, max-age=0",
        // Asked for again each time, and mostly answered by 304.
        FileKind::Page => "public, max-age=0, must-revalidate",
    };
    let root = if site.base_path.is_empty() { "/" } else { &site.base_path };
    let mut add = |name: HeaderName, value: HeaderValue| {
        headers.entry(name).or_insert(value);
    };
    add(CONTENT_TYPE, content_type);
    add(CACHE_CONTROL, HeaderValue::from_static(cache_control));
    add(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(modified)) {
        add(LAST_MODIFIED, date);
    }
    if let (FileKind::ServiceWorker, Ok(root)) = (kind, HeaderValue::try_from(root)) {
        add(HeaderName::from_static("service-worker-allowed"), root);
    }
    if varies {
        vary_on_encoding(&mut headers);
    }
    headers
}
