//! How a session begins, and how one that polls gets a WebSocket.
#![expect(clippy::disallowed_methods, reason = "a session holds a guard, and so does what opens one")]

use std::sync::Arc;

use http::header::SET_COOKIE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::error_code::ErrorCode;
use super::requests;
use super::transport::{self, Engine, PollingSession, Sid};
use crate::callbacks::EventKind;
use crate::drain::Guard;
use crate::http::connection::switch::{self, Switching};
use crate::http::{Facts, Failure, Request, Response};
use crate::realtime::entrance::rejection::{Rejection, RejectionClose};
use crate::realtime::entrance::{self, AuthorizeAt};
use crate::realtime::link::websocket::{self, Agreed, Offer};
use crate::realtime::peer::{RequestHead, is_from_peer};
use crate::realtime::session::{Abroad, ResumeLimits, Session};
use crate::realtime::socketio::machine::Config;
use crate::realtime::socketio::{DIALECT, Endpoint, SocketIoDoor};
use crate::realtime::vocabulary::{CloseFrame, Moment};
use crate::shares::Holder;

/// What a WebSocket of an endpoint may bring.
pub(super) fn limits(config: &entrance::Config, transport: &transport::Config) -> websocket::Config {
    let longest = transport.max_payload;
    websocket::Config { max_message: longest, max_frame: longest, ..config.websocket }
}

impl SocketIoDoor {
    fn sid(&self) -> Result<Sid, Failure> {
        let missing = || {
            let reason = "Internal error: the system gives no random numbers. Try again.";
            Failure::us(StatusCode::INTERNAL_SERVER_ERROR, reason).detail("no randomness")
        };
        self.transports.new_id().ok_or_else(missing)
    }

    /// A session that begins by polling.
    ///
    /// # Errors
    /// 429 and 503 where there is no place.
    pub(super) async fn open_polling(
        &self,
        config: &entrance::Config,
        endpoint: &Endpoint,
        request: &Parts,
        facts: &Facts,
    ) -> Result<Response, Failure> {
        let session = self.begin(config, endpoint, request, facts.clone()).await?;
        let sid = self.sid()?;
        let (link, open) = Engine::polling(sid, &self.transports, &endpoint.transport, Moment::now().instant);
        tokio::spawn(session.run(Box::new(link), config.websocket.close_timeout));
        let mut response = requests::packets(open);
        if let Some(name) = &endpoint.config.cookie
            && let Ok(cookie) = HeaderValue::from_str(&format!("{name}={sid}; Path=/; HttpOnly; SameSite=Lax"))
        {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        Ok(response)
    }

    /// A session that begins as a WebSocket.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade; 429 and 503 where there is no place.
    pub(super) async fn open_socket(
        &self,
        config: &entrance::Config,
        endpoint: &Endpoint,
        mut request: Request,
        facts: Facts,
    ) -> Result<Response, Failure> {
        let limits = limits(config, &endpoint.transport);
        let offer = Offer::read(&request, &limits)?;
        let upgrade = switch::on(&mut request);
        let (request, _) = request.into_parts();
        let session = self.begin(config, endpoint, &request, facts).await?;
        let opening = Opening { upgrade, agreed: offer.agreed().cloned(), limits };
        let transport = Arc::clone(&endpoint.transport);
        tokio::spawn(open(opening, session, self.sid()?, Arc::clone(&self.transports), transport));
        Ok(offer.accept(offer.protocols().next()))
    }

    pub(super) async fn begin(
        &self,
        config: &entrance::Config,
        endpoint: &Endpoint,
        request: &Parts,
        facts: Facts,
    ) -> Result<Session, Failure> {
        let admitted = self.entrance.admit(config, request, &facts, DIALECT, AuthorizeAt::Protocol).await?;
        let id = admitted.client.id();
        let asked = admitted.authorizer.is_some() && self.app.wants(EventKind::Message, None);
        let mut machine = Box::new(endpoint.dialect.machine(id, asked, Moment::now()));
        let Config { recovery_clients: clients, recovery_bytes_total, .. } = &endpoint.config.dialect;
        let most = ResumeLimits { clients: *clients, held: recovery_bytes_total.bytes() };
        let holder = Holder::of(facts.client);
        let key = machine.recoverable(holder);
        let mut resume = key.map(|key| self.resume_registry.register(key, &endpoint.place, (id, holder), most));
        if let (Some(resume), Some(peers)) = (&mut resume, self.peers.as_ref().filter(|_| !is_from_peer(request))) {
            let head = RequestHead::of(request, &facts);
            resume.abroad = Some(Box::new(Abroad::new(peers, head, &self.drain)));
        }
        Ok(self.sessions.begin(admitted, machine).await.resumable_by(resume))
    }

    /// A WebSocket for a session that polls. Where one is being tried already, this one is closed.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade.
    pub(super) fn upgrade_session(
        &self,
        config: &entrance::Config,
        shared: &Arc<PollingSession>,
        mut request: Request,
    ) -> Result<Response, Failure> {
        let limits = limits(config, &shared.config);
        let offer = Offer::read(&request, &limits)?;
        if !shared.claim() {
            return self.close_redundant(limits, request);
        }
        let opening = Opening { upgrade: switch::on(&mut request), agreed: offer.agreed().cloned(), limits };
        tokio::spawn(hand_over(opening, Arc::clone(shared), self.drain.guard()));
        Ok(offer.accept(offer.protocols().next()))
    }

    /// Opens a WebSocket that its session has no use for, to close it, as the Node server does: to a client that is told
    /// so with a status it is an error that some do not catch.
    ///
    /// # Errors
    /// 400, 405, 426 for what is no right upgrade; 400 also where too many are being closed so just now.
    pub(super) fn close_redundant(&self, limits: websocket::Config, mut request: Request) -> Result<Response, Failure> {
        let offer = Offer::read(&request, &limits)?;
        let rejections = self.entrance.rejections();
        rejections.count(ErrorCode::BadRequest.label());
        let failure = Failure::client(StatusCode::BAD_REQUEST, "This session has a WebSocket.");
        let close = Some(RejectionClose { close: CloseFrame::new(1000, ""), pages_only: false });
        let upgrade = switch::on(&mut request);
        rejections.on_socket(Rejection { failure, close }, request.headers(), &offer, upgrade, limits)
    }
}

/// A connection that is about to be a WebSocket.
struct Opening {
    upgrade: Switching,
    agreed: Option<Agreed>,
    limits: websocket::Config,
}

/// Waits until the connection is the socket's, and serves it.
async fn open(
    opening: Opening,
    session: Session,
    sid: Sid,
    sessions: Arc<transport::PollingSessions>,
    config: Arc<transport::Config>,
) {
    match opening.upgrade.await {
        Ok(upgraded) => {
            let link = websocket::open(upgraded, opening.agreed.as_ref(), &opening.limits);
            let link = Engine::socket(link, sid, &sessions, &config, Moment::now().instant);
            // A task of its own, which holds nothing but the session.
            tokio::spawn(session.run(Box::new(link), opening.limits.close_timeout));
        }
        Err(_) => session.abandon(),
    }
}

/// Waits until the connection is the socket's, and gives it to the session. Its deadline begins only then; before,
/// the connection's own time-outs hold.
async fn hand_over(opening: Opening, shared: Arc<PollingSession>, _guard: Guard) {
    match opening.upgrade.await {
        Ok(upgraded) => shared.hand_over(websocket::open(upgraded, opening.agreed.as_ref(), &opening.limits)),
        Err(_) => shared.release(),
    }
}
