//! Who is asked before a client's command is carried out: the seam where the app comes in.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};

use crate::http::Facts;
use crate::realtime::vocabulary::{
    Command, ConnectionId, Extras, Identity, Inquiry, LeaveKind, Payload, Refusal, Rights,
};
use crate::telemetry::trace::Trace;

/// Judges commands of clients. Sessions ask one at a time and in order, and go on delivering while they wait; different
/// connections ask in parallel, which the authorizer bounds.
pub trait Authorizer: Send + Sync {
    /// The verdict on `command`, in time; `None` where nobody need be asked. It fails closed and ends by itself: what
    /// it resolves to after a time-out is the authorizer's to decide.
    fn authorize(
        &self,
        connection: &Arc<ConnectionInfo>,
        identity: Option<&Arc<Identity>>,
        command: &Command,
    ) -> Option<Deciding>;

    /// Puts the app's own question to clients, at once; when they have answered, or their time is over, the app hears it
    /// and what it wants done then is ordered from the hub. Holds nobody up.
    fn ask_clients(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, inquiry: Inquiry);

    /// A client has left. Called once for each connection, or each scope of one, that was let in; where it is only
    /// away, once more when it is forgotten, unless it is let in again before that.
    fn disconnected(&self, connection: &Arc<ConnectionInfo>, identity: Option<&Arc<Identity>>, left: Left);
}

/// Who has left, and why.
#[derive(Debug, Clone)]
pub struct Left {
    /// Empty where the dialect has none: the whole connection.
    pub scope: Arc<str>,
    /// What the client was called there.
    pub alias: Option<Arc<str>>,
    pub reason: &'static str,
    pub kind: LeaveKind,
}

impl Left {
    /// Of a connection without scopes.
    pub fn whole(reason: &'static str) -> Left {
        Left { scope: Arc::from(""), alias: None, reason, kind: LeaveKind::Final }
    }
}

/// A question under way.
pub type Deciding = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// What is known of a connection from its request.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    pub connection: ConnectionId,
    pub dialect: &'static str,
    pub client: IpAddr,
    pub scheme: Scheme,
    pub authority: Authority,
    pub target: PathAndQuery,
    /// Those of the request, as they came.
    pub headers: HeaderMap,
    pub request_id: String,
    /// Its place in the trace of that request.
    pub trace: Option<Trace>,
}

impl ConnectionInfo {
    /// That of a connection that came, or now asks, by this request; `headers` are what is kept of the request's.
    pub fn of(
        connection: ConnectionId,
        dialect: &'static str,
        request: &Parts,
        facts: &Facts,
        headers: HeaderMap,
    ) -> ConnectionInfo {
        let root = || PathAndQuery::from_static("/");
        ConnectionInfo {
            connection,
            dialect,
            client: facts.client,
            scheme: facts.scheme.clone(),
            authority: facts.authority.clone(),
            target: request.uri.path_and_query().cloned().unwrap_or_else(root),
            headers,
            request_id: facts.request_id.as_str().to_owned(),
            trace: facts.trace.clone(),
        }
    }
}

/// What becomes of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub outcome: Result<Allow, Refusal>,
    /// Carried out after that on the app's authority, in order.
    pub then: Vec<Command>,
}

/// Yes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Allow {
    /// Carried out in place of what was asked about.
    pub instead: Option<Command>,
    /// Who the client is from now on.
    pub identity: Option<Identity>,
    /// What a `Connect` or a `Rpc` is answered with.
    pub data: Option<Payload>,
    pub extras: Extras,
    /// What bounds the client from now on.
    pub rights: Option<Rights>,
}
