//! Names that wait for their certificate: an authority is answered over http (RFC 8555 section 8.3), all others are asked
//! to come back.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};

use super::{Answer, Middleware, PassOn};
use crate::http::{Body, Facts, Failure, Request, Response};
use crate::tls::challenges::Challenges;

/// An order takes some seconds.
const COME_BACK: Duration = Duration::from_secs(5);

const SENTENCE: &str = "The certificate of this site is being ordered. It will be here in a moment.";

/// The layer.
#[derive(Debug, Clone)]
pub struct Certification {
    /// `None` where there is no TLS.
    challenges: Option<Arc<Challenges>>,
}

impl Certification {
    pub fn new(challenges: Option<Arc<Challenges>>) -> Certification {
        Certification { challenges }
    }

    /// What is answered here, if anything.
    fn answer(&self, request: &Request) -> Option<Result<Response, Failure>> {
        let challenges = self.challenges.as_ref()?;
        // A token that is not ours is for whoever else knows it.
        if matches!(*request.method(), Method::GET | Method::HEAD)
            && let Some(key_authorization) = challenges.answer(request.uri().path())
        {
            let mut response = Response::new(Body::from(key_authorization));
            let media_type = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, media_type);
            return Some(Ok(response));
        }
        let host = request.extensions().get::<Facts>()?.authority.host();
        if challenges.is_waiting(host) {
            // Neither plain http, where cookies are seen, nor a certificate that nobody vouches for.
            // Not the client's fault; but why there is none is in the log already, and is not to be said of each request.
            return Some(Err(Failure::client(StatusCode::SERVICE_UNAVAILABLE, SENTENCE).retry_after(COME_BACK)));
        }
        None
    }
}

impl Middleware for Certification {
    type After = PassOn;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<PassOn>, PassOn> {
        self.answer(request).map_or(ControlFlow::Continue(PassOn), ControlFlow::Break)
    }
}
