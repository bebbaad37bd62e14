//! Documents that another door has: what is asked of them is forwarded there.

use std::time::Duration;

use http::StatusCode;
use tracing::debug;

use super::forwarding::Way;
use super::listening::is_asked;
use super::{PeerError, Peers};
use crate::documents::RoomOwner;
use crate::http::{Failure, Request, Response};
use crate::realtime::broker::NodeId;
use crate::realtime::hub::documents::{Documents, OpenError, RoomLease};
use crate::realtime::vocabulary::{Channel, DisconnectReason};

/// Doors that turn out to be gone, one after another, at most.
const MAX_TRIES: usize = 3;

/// Whose documents are.
pub enum DocumentOwner {
    /// This door's, or nobody's; or nobody knows, and whoever asks for them finds out.
    Here,
    /// This door's, as long as this is held.
    Held(RoomLease),
    /// Another's, and the way there.
    There(Way),
}

impl Peers {
    /// Whose the documents of `channel` are.
    ///
    /// # Errors
    /// 503 where that door lives, and is not reached.
    pub async fn documents_of(&self, documents: &Documents, channel: &Channel) -> Result<DocumentOwner, Failure> {
        for _ in 0..MAX_TRIES {
            let Ok(Some(owner)) = documents.owner(channel).await else { return Ok(DocumentOwner::Here) };
            if let Some(way) = self.way_to(documents, channel, owner).await? {
                return Ok(DocumentOwner::There(way));
            }
        }
        Err(away("its door changes all the time"))
    }

    /// The same, and where nobody has them this door does.
    ///
    /// # Errors
    /// As [`Peers::documents_of`].
    pub async fn hold_documents(&self, documents: &Documents, channel: &Channel) -> Result<DocumentOwner, Failure> {
        for _ in 0..MAX_TRIES {
            match documents.open(channel).await {
                Ok(lease) => return Ok(DocumentOwner::Held(lease)),
                Err(OpenError::Elsewhere(_, owner)) => {
                    if let Some(way) = self.way_to(documents, channel, owner).await? {
                        return Ok(DocumentOwner::There(way));
                    }
                }
                // Whoever asks for them is told why not.
                Err(_) => return Ok(DocumentOwner::Here),
            }
        }
        Err(away("its door changes all the time"))
    }

    /// The way to the door that has them; nothing where it is gone, and has them no longer.
    async fn way_to(&self, documents: &Documents, channel: &Channel, owner: RoomOwner) -> Result<Option<Way>, Failure> {
        let node = NodeId(owner.door);
        let why = match self.reach(node).await {
            Ok(way) => return Ok(Some(way)),
            Err(PeerError::Gone) if self.is_silent(node).await => "it does not say yet where it is".to_owned(),
            Err(PeerError::Gone) => {
                let deposed = documents.depose(channel, owner, DisconnectReason::Failed).await;
                return deposed.map(|()| None).map_err(|error| away(&error.to_string()));
            }
            Err(PeerError::Away(why)) => why,
        };
        debug!(channel = channel.as_str(), door = %node, why, "the door that has documents is not reached");
        Err(away(&why))
    }

    /// Whether a door lives that cannot be reached by anybody.
    async fn is_silent(&self, node: NodeId) -> bool {
        let found = self.directory.find(|doors| doors.get(&node).map(Option::is_none)).await;
        found.ok().flatten().unwrap_or_default()
    }

    /// Forwards `request` to the door that has the documents of `channel`, or gives it back where that is this one.
    ///
    /// # Errors
    /// 503 where that door lives, and does not answer.
    pub async fn pass(
        &self,
        documents: &Documents,
        channel: &Channel,
        request: Request,
    ) -> Result<Result<Response, Request>, Failure> {
        if is_asked(request.extensions()) {
            return Ok(Err(request));
        }
        match self.documents_of(documents, channel).await? {
            DocumentOwner::There(way) => Ok(Ok(forward(way, request).await?)),
            DocumentOwner::Here | DocumentOwner::Held(_) => Ok(Err(request)),
        }
    }
}

/// Forwards a request to the door that has documents.
///
/// # Errors
/// 503 where it does not answer.
pub async fn forward(way: Way, request: Request) -> Result<Response, Failure> {
    way.forward(request).await?.ok_or_else(|| away("it has died"))
}

fn away(detail: &str) -> Failure {
    let reason = "The door that has these documents does not answer just now: try again.";
    Failure::us(StatusCode::SERVICE_UNAVAILABLE, reason).retry_after(Duration::from_secs(1)).detail(detail)
}
