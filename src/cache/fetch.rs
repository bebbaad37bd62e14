//! Fetching an answer for keeping: the door's own request, made of the key alone. No cookie, no address and no other
//! header of a visitor is in it, so that what is kept can be nobody's own, and nothing unkeyed can poison it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, ETAG, HOST, IF_NONE_MATCH, USER_AGENT};
use http::response::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::admission::{NotKept, Wanted, admit, is_nexts_own, is_stale};
use super::freshness::{Bounds, Exchanged};
use super::heard;
use super::key::Selected;
use super::making;
use super::purges::{Origin, Place, Purges};
use super::store::{Hit, Key, Stored};
use crate::http::facts::RequestId;
use crate::http::layer::compress::CompressedHere;
use crate::http::{Body, Facts, Request};
use crate::upstream::Upstream;

/// For the whole of an answer: what takes longer is a stream, which nobody waits for.
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Errand {
    pub base: Key,
    pub key: Key,
    /// Headers besides Next's that the key has.
    pub names: Vec<HeaderName>,
    /// As it is sent to the app.
    pub target: String,
    /// In its canonical spelling.
    pub path: String,
    pub scheme: Scheme,
    pub authority: Authority,
    pub selected: Selected,
    pub is_rsc: bool,
    /// The config names its path: else it is kept only where Next.js keeps it itself.
    pub is_vouched: bool,
    /// Nobody was answered yet: the build, or others beside it, let one expect that there is something to be kept.
    pub is_expected: bool,
    /// What there is already: the app may say that it still holds.
    pub previous: Option<Hit>,
}

/// What became of it.
#[derive(Debug)]
pub enum Fetched {
    Kept(Box<Stored>, Bytes),
    /// The app answered, and not for everybody.
    Refused(NotKept),
    /// It was of no use, which says nothing about the next time.
    Failed,
}

/// What is fetched with.
pub struct Fetching<'a> {
    pub upstream: &'a Upstream,
    pub purges: &'a Purges,
    pub bounds: Bounds,
    /// The longest body, in bytes.
    pub longest: usize,
    /// Where the cache's clock began.
    pub epoch: Instant,
}

/// Milliseconds since `epoch`.
pub fn since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Fetching<'_> {
    /// Asks the app.
    pub async fn fetch(&self, errand: &Errand) -> Fetched {
        // Both before the app is asked: what is declared old meanwhile concerns this answer too.
        let (number, generation) = (self.purges.last(), self.upstream.generation());
        let asked = since(self.epoch);
        let answered = timeout(FETCH_TIMEOUT, async {
            let response = self.upstream.send(request(errand)).await.ok()?;
            let exchanged = Exchanged { asked, received: since(self.epoch), wall: SystemTime::now() };
            let (mut head, body) = response.into_parts();
            heard::tell_age(&mut head.headers, head.extensions.get(), exchanged.wall);
            let body = self.read(body).await?;
            Some((exchanged, head, body))
        });
        let Ok(Some((exchanged, head, body))) = answered.await else { return Fetched::Failed };
        if head.status.is_server_error() || self.upstream.generation() != generation {
            return Fetched::Failed;
        }
        let Some(body) = body else { return Fetched::Refused(NotKept::Expired) };
        let origin = |tags| Origin { asked: number, generation, path: self.purges.place(&errand.path), tags };
        match self.decide(errand, head, body, &exchanged, origin) {
            Ok((stored, body)) => Fetched::Kept(Box::new(stored), body),
            // The app makes another this very moment.
            Err(NotKept::Stale) => Fetched::Failed,
            Err(reason) => Fetched::Refused(reason),
        }
    }

    fn decide(
        &self,
        errand: &Errand,
        head: Parts,
        mut body: Bytes,
        exchanged: &Exchanged,
        origin: impl FnOnce(Box<[Place]>) -> Origin,
    ) -> Result<(Stored, Bytes), NotKept> {
        let Parts { mut status, mut headers, extensions, .. } = head;
        if status == StatusCode::NOT_MODIFIED {
            let previous = errand.previous.as_ref().ok_or(NotKept::Status)?;
            headers = making::renewed(&previous.stored, &headers).ok_or(NotKept::Status)?;
            status = previous.stored.status;
            body = previous.body.plain().clone();
        }
        if !errand.is_vouched && !is_nexts_own(extensions.get(), &headers) {
            return Err(if is_stale(&headers) { NotKept::Stale } else { NotKept::NotNexts });
        }
        let wanted = Wanted::of(&errand.path, errand.is_rsc);
        let admission = admit(wanted, status, &headers, exchanged, &self.bounds)?;
        // Chosen by what was not sent: nobody can tell for whom it is right.
        if admission.vary.iter().any(|name| !errand.names.contains(name)) {
            return Err(NotKept::Vary);
        }
        let tags = heard::tags(extensions.get(), making::tags(&headers).ok_or(NotKept::Control)?);
        let origin = origin(making::places(&tags, self.purges));
        let stored = making::stored(status, headers, &body, admission.freshness, origin, tags, exchanged.wall);
        Ok((stored, body))
    }

    /// A whole body; `None` inside where it is too long to be kept, outside where it broke off.
    async fn read(&self, mut body: Body) -> Option<Option<Bytes>> {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            // Trailers have no place in what is kept.
            let Ok(data) = frame.ok()?.into_data() else { return Some(None) };
            if whole.len() + data.len() > self.longest {
                return Some(None);
            }
            whole.extend_from_slice(&data);
        }
        // What it grew by is not kept with it.
        Some(Some(if whole.capacity() > whole.len() + whole.len() / 8 {
            Bytes::copy_from_slice(&whole)
        } else {
            whole.freeze()
        }))
    }
}

/// The request that is made of a key.
fn request(errand: &Errand) -> Request {
    let mut request = Request::new(Body::Empty);
    // It was one when it came.
    *request.uri_mut() = errand.target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = HeaderValue::try_from(errand.authority.as_str()) {
        headers.insert(HOST, host);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static("Doorway"));
    for (name, value) in &errand.selected {
        headers.append(name.clone(), value.clone());
    }
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let known = errand.previous.as_ref().filter(|known| known.stored.is_tag_the_apps);
    if let Some(tag) = known.and_then(|known| known.stored.headers.get(ETAG)) {
        headers.insert(IF_NONE_MATCH, tag.clone());
    }
    let extensions = request.extensions_mut();
    extensions.insert(CompressedHere);
    extensions.insert(Facts {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scheme: errand.scheme.clone(),
        authority: errand.authority.clone(),
        forwarded_for: HeaderValue::from_static("127.0.0.1"),
        request_id: RequestId::new(),
        received: Instant::now(),
        trace: None,
    });
    request
}

impl Errand {
    /// For what `base` alone stands for: a page, by no header of a client's.
    pub fn new(base: Key, target: String, path: String, (scheme, authority): (Scheme, Authority)) -> Errand {
        Errand {
            key: Arc::clone(&base),
            base,
            names: Vec::new(),
            target,
            path,
            scheme,
            authority,
            selected: Vec::new(),
            is_rsc: false,
            is_vouched: false,
            is_expected: false,
            previous: None,
        }
    }

    /// The same, knowing what there is.
    pub fn renewing(mut self, previous: Hit) -> Errand {
        self.previous = Some(previous);
        self
    }

    /// The key without what Next.js and the client's headers add to it.
    pub fn address(&self) -> &[u8] {
        let ends = memchr::memchr_iter(0, &self.base).nth(2);
        &self.base[..ends.unwrap_or(self.base.len())]
    }

    pub fn key(&self) -> Key {
        Arc::clone(&self.key)
    }
}
