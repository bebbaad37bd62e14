//! From a file and a request to an answer.

use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::conditional::{self, Precondition};
use super::disk::FilePart;
use super::entry::{Entry, FileContent, Representation};
use super::range::{self, Wanted};
use crate::http::encoding::{Accepted, Encoding};
use crate::http::layer::compress::{Config as CompressConfig, Precompressor, Settled};
use crate::http::{Body, Failure, Response};

/// What is made once is made as small as it gets, whatever answers that pass by are worth.
static LEVELS: LazyLock<Arc<CompressConfig>> = LazyLock::new(Arc::default);

/// An answer with all but its content, and what that is.
pub struct Draft<'a> {
    response: Response,
    content: Option<(&'a FileContent, Range<u64>)>,
}

impl Draft<'_> {
    /// The answer, where its content is in memory; else the draft back.
    pub fn in_memory(self) -> Result<Response, Box<Self>> {
        let Draft { mut response, content } = self;
        match content {
            None => Ok(response),
            Some((FileContent::Memory(bytes), part)) => {
                // What is in memory fits into its addresses.
                *response.body_mut() = Body::from(bytes.slice(part.start as usize..part.end as usize));
                Ok(response)
            }
            Some(content) => Err(Box::new(Draft { response, content: Some(content) })),
        }
    }

    /// The answer, wherever its content is.
    ///
    /// # Errors
    /// [`Failure`] with 500 when the disk fails.
    pub async fn whole(self) -> Result<Response, Failure> {
        let Draft { mut response, content } = match self.in_memory() {
            Ok(response) => return Ok(response),
            Err(draft) => *draft,
        };
        if let Some((FileContent::Disk { path, .. }, part)) = content {
            let opened = FilePart::open(path.clone(), part).await.map_err(|error| broken(&error))?;
            *response.body_mut() = Body::Carried(Box::pin(opened));
        }
        Ok(response)
    }
}

/// The answer about `entry`.
///
/// # Errors
/// [`Failure`] with 405, 412 or 416.
pub fn draft<'a>(
    entry: &'a Arc<Entry>,
    method: &Method,
    headers: &HeaderMap,
    offered: &[Encoding],
    precompressor: &Precompressor,
) -> Result<Draft<'a>, Failure> {
    let is_head = method == Method::HEAD;
    if !is_head && method != Method::GET {
        return Err(Failure::client(StatusCode::METHOD_NOT_ALLOWED, "This address can only be read: use GET or HEAD.")
            .header(ALLOW, HeaderValue::from_static("GET, HEAD")));
    }
    let accepted = Accepted::of(headers);
    let (form, settled) = choose(entry, &accepted, offered, precompressor);
    if conditional::has_any(headers) {
        match conditional::evaluate(headers, &tags(entry, &accepted, form), entry.modified) {
            Precondition::Proceed => {}
            Precondition::NotModified(tag) => return Ok(Draft { response: not_modified(form, tag), content: None }),
            Precondition::Failed => {
                return Err(Failure::client(
                    StatusCode::PRECONDITION_FAILED,
                    "The file is not the version that If-Match or If-Unmodified-Since names: fetch it again.",
                ));
            }
        }
    }
    let length = form.content.length();
    let part = if !is_head && conditional::range_counts(headers, &form.tag, entry.modified, SystemTime::now()) {
        range::wanted(headers, length)
    } else {
        Wanted::Whole
    };
    let mut draft = match part {
        Wanted::Whole if is_head => Draft { response: head(form), content: None },
        Wanted::Whole => Draft { response: head(form), content: Some((&form.content, 0..length)) },
        Wanted::Part(part) => Draft { response: partial(form, &part)?, content: Some((&form.content, part)) },
        Wanted::Nothing => {
            let unsatisfied = HeaderValue::try_from(format!("bytes */{length}")).map_err(|error| broken(&error))?;
            return Err(Failure::client(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "The file has no such range: Content-Range says how long it is.",
            )
            .header(CONTENT_RANGE, unsatisfied));
        }
    };
    if settled {
        draft.response.extensions_mut().insert(Settled);
    }
    Ok(draft)
}

/// The form to send, and whether nothing better can be made of it. A form that is not there yet is ordered; until it is
/// made, the plain one goes out, for the compression layer to do what it can.
fn choose<'a>(
    entry: &'a Arc<Entry>,
    accepted: &Accepted,
    offered: &[Encoding],
    precompressor: &Precompressor,
) -> (&'a Representation, bool) {
    let Some(wanted) = accepted.choose(offered) else { return (&entry.plain, false) };
    if let Some(form) = entry.coded(wanted) {
        return (form, false);
    }
    if !entry.is_at_its_smallest(wanted) {
        precompressor.order(entry, wanted, &LEVELS);
        return (&entry.plain, false);
    }
    let other = offered.iter().filter(|other| accepted.accepts(**other)).find_map(|other| entry.coded(*other));
    (other.unwrap_or(&entry.plain), true)
}

/// The tag of the form to send, then those of the other forms that the client would take.
fn tags<'a>(entry: &'a Entry, accepted: &Accepted, form: &'a Representation) -> Vec<&'a str> {
    let coded = Encoding::ALL.into_iter().filter(|encoding| accepted.accepts(*encoding));
    let others = coded.filter_map(|encoding| entry.coded(encoding)).chain([&entry.plain]);
    [form].into_iter().chain(others).map(|form| form.tag.as_str()).collect()
}

fn head(form: &Representation) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.headers_mut() = form.headers.clone();
    response
}

fn partial(form: &Representation, part: &Range<u64>) -> Result<Response, Failure> {
    let mut response = head(form);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    let said = HeaderValue::try_from(format!("bytes {}-{}/{}", part.start, part.end - 1, form.content.length()));
    headers.insert(CONTENT_RANGE, said.map_err(|error| broken(&error))?);
    Ok(response)
}

/// 304 with the tag that the client holds (RFC 9110 section 15.4.5) and without what describes a content.
fn not_modified(form: &Representation, tag: &str) -> Response {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    *headers = form.headers.clone();
    for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING] {
        headers.remove(name);
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::us(StatusCode::INTERNAL_SERVER_ERROR, "The file cannot be read.").detail(error)
}
