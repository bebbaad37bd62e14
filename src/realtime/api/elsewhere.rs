//! Documents that another door has: it answers, as if it had been asked.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http_body_util::{BodyExt, Limited};

use super::idempotency::StoredResponse;
use super::problem::ApiProblem;
use super::{Api, Completed, JSON};
use crate::http::facts::RequestId;
use crate::http::{Body, Facts, Request};
use crate::realtime::hub::documents::RoomLease;
use crate::realtime::peer::{self, DocumentOwner, Way, is_from_peer};
use crate::realtime::vocabulary::Channel;

/// The longest answer of another door, in bytes: a document as JSON, and as an update.
const LONGEST_ANSWER: usize = 512 << 20;

/// Who answers what is asked of documents.
pub enum Answerer {
    /// This door, as long as it holds this.
    This(Option<RoomLease>),
    /// Another has.
    Other(Completed),
}

impl Api {
    /// Has the door answer a request with this `head` and `body` that has the documents of `channel`. Where nobody has them
    /// this door does, and holds them if they are to be changed.
    ///
    /// # Errors
    /// 503 where that door lives, and does not answer.
    pub(super) async fn answer_elsewhere(
        &self,
        channel: &Channel,
        head: &Parts,
        body: Option<&Bytes>,
    ) -> Result<Answerer, ApiProblem> {
        let (Some(peers), Some(documents)) = (&self.peers, self.hub.documents()) else {
            return Ok(Answerer::This(None));
        };
        if is_from_peer(head) {
            return Ok(Answerer::This(None));
        }
        let owner = match body {
            Some(_) => peers.hold_documents(documents, channel).await,
            None => peers.documents_of(documents, channel).await,
        };
        match owner.map_err(|_| away())? {
            DocumentOwner::There(way) => Ok(Answerer::Other(ask(way, head, body.cloned().unwrap_or_default()).await?)),
            DocumentOwner::Held(lease) => Ok(Answerer::This(Some(lease))),
            DocumentOwner::Here => Ok(Answerer::This(None)),
        }
    }
}

async fn ask(way: Way, head: &Parts, body: Bytes) -> Result<Completed, ApiProblem> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.extensions_mut().insert(head.extensions.get::<Facts>().cloned().unwrap_or_else(operators));
    let answer = peer::forward(way.for_the_app(), request).await.map_err(|_| away())?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await.map_err(|_| away())?;
    let kept = StoredResponse { status, body: body.to_bytes() };
    Ok(Completed { was_refused: !status.is_success(), ..Completed::of(kept) })
}

/// What is known of a request that came in by the operator's listener.
fn operators() -> Facts {
    Facts {
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        scheme: Scheme::HTTP,
        authority: Authority::from_static("localhost"),
        forwarded_for: HeaderValue::from_static("127.0.0.1"),
        request_id: RequestId::new(),
        trace: None,
        received: Instant::now(),
    }
}

fn away() -> ApiProblem {
    ApiProblem::unavailable("the door that has the channel's documents does not answer just now: try again")
}
