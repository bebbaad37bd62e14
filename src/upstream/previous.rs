//! The app of before a deploy, while it is kept: it is asked for what a page of its own build asks, and for nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::pool::Pool;

/// By which the client of Next.js says of which build its page is: with each of its own requests, not with `fetch`.
pub const DEPLOYMENT: HeaderName = HeaderName::from_static("x-deployment-id");
/// The same in the addresses of what a page names: chunks, pictures.
const DEPLOYMENT_IN_QUERY: &str = "dpl";

/// One app at most, and when it was last asked.
pub struct Previous {
    /// Saves the lock where there is none, which is nearly always.
    is_there: AtomicBool,
    pool: Mutex<Option<Arc<Pool>>>,
    epoch: Instant,
    /// In ms since `epoch`.
    asked: AtomicU64,
}

impl Previous {
    pub fn new() -> Previous {
        Previous {
            is_there: AtomicBool::new(false),
            pool: Mutex::new(None),
            epoch: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }

    /// The one to be asked what `parts` ask, if that names its build.
    pub fn find(&self, parts: &Parts) -> Option<Arc<Pool>> {
        if !self.is_there.load(Ordering::Relaxed) {
            return None;
        }
        let named = named(parts)?;
        let pool = self.pool.lock().clone()?;
        if pool.deployment.as_deref() != Some(named) {
            return None;
        }
        self.asked.store(self.now(), Ordering::Relaxed);
        Some(pool)
    }

    pub fn is(&self, pool: &Arc<Pool>) -> bool {
        self.is_there.load(Ordering::Relaxed) && self.pool.lock().as_ref().is_some_and(|kept| Arc::ptr_eq(kept, pool))
    }

    /// Keeps `pool` from now on, in place of any other.
    pub fn keep(&self, pool: &Arc<Pool>) {
        pool.becomes_earlier();
        self.asked.store(self.now(), Ordering::Relaxed);
        *self.pool.lock() = Some(Arc::clone(pool));
        self.is_there.store(true, Ordering::Relaxed);
    }

    /// Nobody is sent to `pool` any more; says whether it was the one.
    pub fn forget(&self, pool: &Arc<Pool>) -> bool {
        let mut kept = self.pool.lock();
        let was_it = kept.take_if(|kept| Arc::ptr_eq(kept, pool)).is_some();
        if was_it {
            self.is_there.store(false, Ordering::Relaxed);
        }
        was_it
    }

    /// How long nobody has asked it.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.asked.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The build that a request says its page is of. A page itself is always of the newest one, whatever its address says.
pub fn named(parts: &Parts) -> Option<&str> {
    let header = parts.headers.get(DEPLOYMENT).and_then(|named| named.to_str().ok());
    if let Some(named) = header.filter(|named| !named.is_empty()) {
        return Some(named);
    }
    let is_page = parts.headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    if is_page { None } else { in_query(parts.uri.query()?) }
}

/// The build that an address names.
pub fn in_query(query: &str) -> Option<&str> {
    let mut parameters = query.split('&').filter_map(|parameter| parameter.split_once('='));
    parameters.find(|(name, _)| *name == DEPLOYMENT_IN_QUERY).map(|(_, named)| named).filter(|named| !named.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_build_by_header_or_address() {
        let named = |uri: &str, header: Option<&str>, mode: Option<&str>| {
            let mut request = http::Request::get(uri);
            for (name, value) in [("x-deployment-id", header), ("sec-fetch-mode", mode)] {
                request = value.into_iter().fold(request, |request, value| request.header(name, value));
            }
            named(&request.body(()).unwrap().into_parts().0).map(str::to_owned)
        };
        for (uri, header, mode, expected) in [
            ("/", None, None, None),
            ("/?_rsc=1", Some("a"), None, Some("a")),
            ("/_next/image?url=x&dpl=a", None, Some("no-cors"), Some("a")),
            ("/?dpl=a", Some("b"), None, Some("b")),
            ("/?dpl=a", None, Some("navigate"), None),
            ("/?dpl=", None, None, None),
            ("/?xdpl=a&dpl", None, None, None),
            ("/", Some(""), None, None),
            ("/?dpl=a", Some(""), None, Some("a")),
        ] {
            assert_eq!(named(uri, header, mode).as_deref(), expected, "{uri} {header:?}");
        }
    }
}
