//! What the app is asked when there is no traffic, to know whether it answers: something that costs it nothing, and that it
//! writes no line about.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use http::{HeaderMap, HeaderName};

use crate::build::{Build, Framework};

/// Next says 404 without rendering anything.
const OF_NEXT: &str = "/_next/static/doorway";
const POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");
const NEXT_CACHE: HeaderName = HeaderName::from_static("x-nextjs-cache");
/// How deep the files that never change may lie below their folder.
const MAX_DEPTH: usize = 3;

/// What is asked where the config does not say.
#[derive(Debug)]
pub struct SignOfLife {
    /// A file of the build that runs, which the app answers without waking a page: where it is on disk, and its URL path.
    /// Others log what they do not find, some with a stack trace.
    file: Option<(PathBuf, String)>,
    /// It is Next.js, as far as anybody knows yet.
    is_next: AtomicBool,
}

impl SignOfLife {
    /// Of an app of which nobody knows what it is.
    pub fn unknown() -> SignOfLife {
        SignOfLife { file: None, is_next: AtomicBool::new(false) }
    }

    /// Of an app of `framework`, whose process reads `build`. Blocks.
    pub fn of(framework: &'static Framework, build: Option<&Build>) -> SignOfLife {
        let is_next = AtomicBool::new(framework.is_next());
        let file = build.filter(|_| !framework.is_next()).and_then(|build| {
            let (folder, prefix) = framework.output.immutable?;
            let folder = build.dist.join(folder);
            let file = first_file(&folder, MAX_DEPTH)?;
            let name = file.strip_prefix(&folder).ok()?.to_str()?;
            let is_plain = name.chars().all(|char| char.is_ascii_alphanumeric() || "-_./".contains(char));
            let path = is_plain.then(|| format!("{prefix}{name}"))?;
            Some((file, path))
        });
        SignOfLife { file, is_next }
    }

    /// The path to ask for; `None`: that it takes a connection is all that can be known for free. Blocks.
    pub fn path(&self) -> Option<String> {
        if self.is_next.load(Ordering::Relaxed) {
            return Some(OF_NEXT.to_owned());
        }
        // While another build takes the place of that which runs, its files are gone, and asking for one is an error.
        self.file.as_ref().filter(|(file, _)| file.is_file()).map(|(_, path)| path.clone())
    }

    /// Takes note of what an answer says about who gave it; on the path of every request, so it looks until it knows.
    pub fn learn(&self, headers: &HeaderMap) {
        if self.file.is_none() && !self.is_next.load(Ordering::Relaxed) && is_of_next(headers) {
            self.is_next.store(true, Ordering::Relaxed);
        }
    }
}

impl Clone for SignOfLife {
    fn clone(&self) -> SignOfLife {
        let is_next = AtomicBool::new(self.is_next.load(Ordering::Relaxed));
        SignOfLife { file: self.file.clone(), is_next }
    }
}

/// By the name that it gives itself, or where that is switched off (`poweredByHeader`) by what its cache says.
fn is_of_next(headers: &HeaderMap) -> bool {
    headers.get(POWERED_BY).is_some_and(|name| name == "Next.js") || headers.contains_key(NEXT_CACHE)
}

/// The first by name that is JavaScript or CSS, so that each start of one build asks for the same.
fn first_file(folder: &Path, depth: usize) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let is_code = |path: &Path| path.extension().is_some_and(|kind| kind == "js" || kind == "css");
    let own = entries.iter().find(|path| is_code(path) && path.is_file()).cloned();
    own.or_else(|| {
        let below = depth.checked_sub(1)?;
        entries.iter().filter(|path| path.is_dir()).find_map(|path| first_file(path, below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::NEXT;

    #[test]
    fn who_calls_itself_next_is_known_from_then_on() {
        let sign = SignOfLife::unknown();
        assert_eq!(sign.path(), None);
        let mut headers = HeaderMap::new();
        headers.insert("x-powered-by", "Express".parse().unwrap());
        sign.learn(&headers);
        assert_eq!(sign.path(), None);
        headers.insert("x-powered-by", "Next.js".parse().unwrap());
        sign.learn(&headers);
        assert_eq!(sign.path().as_deref(), Some(OF_NEXT));
        assert_eq!(SignOfLife::of(&NEXT, None).path().as_deref(), Some(OF_NEXT));
    }

    #[test]
    fn the_first_file_may_lie_deeper() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(first_file(folder.path(), MAX_DEPTH), None);
        fs::create_dir_all(folder.path().join("chunks")).unwrap();
        for name in ["chunks/b.js", "chunks/a.js", "chunks/a.js.br", "note.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(first_file(folder.path(), MAX_DEPTH), Some(folder.path().join("chunks/a.js")));
    }
}
