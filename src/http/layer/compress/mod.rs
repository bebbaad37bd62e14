//! Compression at the door: answers of the app are coded on their way out, chunk by chunk as they come.
//!
//! BREACH: where a page holds a secret *and* repeats what the client sent, its compressed length tells one about the
//! other. Next.js compresses such pages too; `except` names paths that must not be.

mod body;
mod config;
mod encoder;
mod forms;
mod headers;
mod kind;
mod precompress;
mod zstandard;

use std::ops::ControlFlow;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Semaphore;
use tracing::warn;

pub use config::Config;
pub use encoder::{Encoder, Use};
pub use forms::{Forms, KeptBody};
pub use headers::vary_on_encoding;
pub use kind::{MediaKind, covered, essence};
pub use precompress::{Precompressed, Precompressor};
pub use zstandard::Contexts;

use super::{After, Answer, Middleware};
use crate::http::encoding::{Accepted, Encoding};
use crate::http::routed::may_begin_with;
use crate::http::{Body, Failure, Request, Response};
use crate::settings::Live;
use crate::telemetry::{Registry, labelled};
use body::{Bytecount, Coded};
use headers::{are_settled, describe, forbids_transforming, varies_on_encoding, weaken_as_known};

/// Put into an answer's extensions by whoever knows that it will not get smaller.
#[derive(Debug, Clone, Copy)]
pub struct Settled;

/// The layer; clones share its metrics, its budget and its settings.
#[derive(Clone)]
pub struct Compress {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Live<Settings>,
    bytes: Bytecount,
    /// One an encoding.
    answers: [Counter; 3],
    refused: Counter,
    contexts: Contexts,
    precompressor: Precompressor,
}

struct Settings {
    config: Arc<Config>,
    /// KiB for encoders. When it is empty, answers go out as they are.
    budget: Arc<Semaphore>,
    /// Streams that stay open for long leave at least this much to pages.
    reserve: usize,
}

impl Settings {
    fn new(config: &Config) -> Settings {
        let kib = usize::try_from(config.memory.0 / 1024).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Settings { config: Arc::new(config.clone()), budget: Arc::new(Semaphore::new(kib)), reserve: kib / 2 }
    }
}

impl Compress {
    pub fn new(config: &Config, precompressor: &Precompressor, registry: &mut Registry) -> Compress {
        let registry = registry.sub_registry_with_prefix("compress");
        let help = "Answers compressed at the door, by encoding";
        let answers = labelled(registry, "answers", help, "encoding", Encoding::ALL.map(Encoding::token));
        let kept = Counter::default();
        let shared = Shared {
            settings: Live::new(Settings::new(config)),
            bytes: Bytecount::default(),
            answers,
            refused: Counter::default(),
            contexts: Contexts::default(),
            precompressor: precompressor.counting(&kept),
        };
        registry.register("kept", "Compressed forms made once of answers that are kept", kept);
        registry.register("in_bytes", "Bytes of answers before compression", shared.bytes.plain.clone());
        registry.register("out_bytes", "Bytes of the same answers after it", shared.bytes.coded.clone());
        registry.register("refused", "Answers left as they were for want of memory", shared.refused.clone());
        Compress { shared: Arc::new(shared) }
    }

    /// Takes over another section of the config (SIGHUP). What is under way ends as it began.
    pub fn reload(&self, config: &Config) {
        self.shared.settings.set(Settings::new(config));
    }
}

/// Put into a request's extensions: its answer will be coded at the door, so the app is to be asked for a plain one.
#[derive(Debug, Clone, Copy)]
pub struct CompressedHere;

impl Middleware for Compress {
    type After = Coding;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Coding>, Coding> {
        let settings = self.shared.settings.get();
        if !settings.config.enabled || request.method() == Method::CONNECT || settings.excepts(request.uri().path()) {
            return ControlFlow::Continue(Coding(None));
        }
        let info = RequestInfo::of(request);
        request.extensions_mut().insert(CompressedHere);
        ControlFlow::Continue(Coding(Some((settings, info, Arc::clone(&self.shared)))))
    }
}

/// By what an answer is coded, if it may be.
pub struct Coding(Option<(Arc<Settings>, RequestInfo, Arc<Shared>)>);

impl After for Coding {
    type InnerError = Failure;
    type Error = Failure;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Failure> {
        let response = answer?;
        Ok(match self.0 {
            Some((settings, info, shared)) => settings.apply(info, response, &shared),
            None => response,
        })
    }
}

/// What of a request matters for the coding of its answer.
struct RequestInfo {
    accepted: Accepted,
    is_head: bool,
    no_transform: bool,
    known: Option<HeaderValue>,
}

impl RequestInfo {
    fn of(request: &Request) -> RequestInfo {
        let headers = request.headers();
        RequestInfo {
            accepted: Accepted::of(headers),
            is_head: request.method() == Method::HEAD,
            no_transform: forbids_transforming(headers),
            known: headers.get(IF_NONE_MATCH).cloned(),
        }
    }
}

impl Settings {
    fn excepts(&self, path: &str) -> bool {
        self.config.except.iter().any(|prefix| path.starts_with(prefix.as_str()) || may_begin_with(path, prefix))
    }

    fn apply(&self, info: RequestInfo, mut response: Response, shared: &Shared) -> Response {
        if response.status() == StatusCode::NOT_MODIFIED {
            weaken_as_known(response.headers_mut(), info.known.as_ref());
            return response;
        }
        let coding = info.accepted.choose(&self.config.encodings);
        if coding.is_none() && info.accepted.accepts_identity() && varies_on_encoding(response.headers()) {
            // Nothing would be changed, whatever it is.
            return response;
        }
        let Some(is_live) = self.compressible(&response, info.no_transform) else { return response };
        vary_on_encoding(response.headers_mut());
        let length = length(&response, info.is_head);
        if info.accepted.accepts_identity() && length.is_some_and(|length| length < self.config.min_size.0) {
            return response;
        }
        let Some(encoding) = coding else { return response };
        let purpose = if is_live { Use::Live } else { Use::Page(length) };
        if info.is_head {
            describe(response.headers_mut(), encoding);
            // Its length is not that of the coded form, which nobody knows.
            *response.body_mut() = Body::Empty;
            return response;
        }
        if http_body::Body::is_end_stream(response.body()) {
            return response;
        }
        if let Some(kept) = response.extensions().get::<Arc<KeptBody>>()
            && let Some(forms) = kept.forms()
        {
            if let Some(form) = forms.made(encoding).cloned() {
                shared.answers[encoding as usize].inc();
                describe(response.headers_mut(), encoding);
                *response.body_mut() = Body::from(form);
                return response;
            }
            if forms.is_at_its_smallest(encoding) {
                return response;
            }
            shared.precompressor.order(kept, encoding, &self.config);
        }
        let cost = Encoder::cost(encoding, purpose, &self.config);
        let has_room = !is_live || self.budget.available_permits() > self.reserve;
        let permit = if has_room { Arc::clone(&self.budget).try_acquire_many_owned(cost).ok() } else { None };
        let Some(permit) = permit else {
            shared.refused.inc();
            return response;
        };
        let encoder = match Encoder::new(encoding, purpose, &self.config, &shared.contexts) {
            Ok(encoder) => encoder,
            Err(error) => {
                warn!(%error, coding = encoding.token(), "cannot compress");
                return response;
            }
        };
        shared.answers[encoding as usize].inc();
        describe(response.headers_mut(), encoding);
        response.map(|body| Body::boxed(Coded::new(body, encoder, shared.bytes.clone(), permit)))
    }

    /// Whether the answer may be coded at all, and if so whether it is a stream that stays.
    fn compressible(&self, response: &Response, no_transform: bool) -> Option<bool> {
        let (status, headers) = (response.status(), response.headers());
        let has_content = !status.is_informational()
            && !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT);
        let is_settled = are_settled(headers) || response.extensions().get::<Settled>().is_some();
        if !has_content || is_settled || no_transform || forbids_transforming(headers) {
            return None;
        }
        let kind = essence(headers.get(CONTENT_TYPE)?);
        covered(&self.config.types, kind).then(|| kind.eq_ignore_ascii_case("text/event-stream"))
    }
}

/// The length of the content where it is known. What the app says of a HEAD is what a GET would get; what the door itself
/// answers still has its content here.
fn length(response: &Response, is_head: bool) -> Option<u64> {
    let said = || response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    let body = response.body();
    if is_head && http_body::Body::is_end_stream(body) { said() } else { http_body::Body::size_hint(body).exact() }
}
