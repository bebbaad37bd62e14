//! The dialect of Ably, protocol 2 and later: what npm `ably` and its siblings speak.
//!
//! A channel of an app is the hub's channel of that name behind the app's prefix, which is empty for the first app. A
//! connection is the client's, and outlives links: what of it does is in [`Connections`]; what was missed is in the channels.

mod attachment;
mod presence;
mod publishing;
mod reasons;
mod stream;
mod subscribing;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use attachment::qualified;
pub use publishing::check_size;
pub use reasons::{DISPLACED, REVOKED, refused};
pub use stream::{StreamChannel, StreamMachine, StreamOpening, positions};

use attachment::Attachments;
use publishing::Pending;

use super::apps::{AblyApp, AblyApps, Authenticated, ClientId, Credentials};
use super::connections::{Connections, Opened, STATE_TTL};
use super::wire::Format;
use super::wire::encode::Hears;
use super::wire::error::AblyError;
use super::wire::protocol::{AuthDetails, ConnectionDetails, Details, SaidFrame, ToldFrame, action};
use crate::realtime::dialect::heartbeat::{Beat, Heartbeat};
use crate::realtime::dialect::{Dialect, Encoding, Step};
use crate::realtime::vocabulary::{
    Breach, Channel, Command, ConnectionId, DisconnectReason, Event, Frame, Identity, Moment, Ref, TokenBucket,
    Violation,
};

/// The longest silence that a client is told to expect; it gives up ten seconds later.
pub const MAX_IDLE: Duration = Duration::from_secs(15);
/// The longest frame, as clients are told.
pub const MAX_FRAME: usize = 512 * 1024;
/// How long before its token expires a client is asked for another.
const RENEWAL: Duration = Duration::from_secs(30);

/// Of the ping to who takes a connection over. An answer is enough there: whoever is displaced comes back at once, by the key
/// before, and the two must not take turns for ever.
const DISPLACING: &[u8] = b"displacing";

const ATTACH: Ref = 1;
const DETACH: Ref = 2;
const IDENTIFY: Ref = 3;
const DROP: Ref = 4;
const SYNC: Ref = 5;
/// Tickets of what has a `msgSerial` begin here.
const NUMBERED: Ref = 16;

/// How a client comes.
pub struct Opening {
    pub apps: Arc<AblyApps>,
    pub connections: Arc<Connections>,
    pub app: Arc<AblyApp>,
    pub auth: Authenticated,
    /// Who it is, if anybody.
    pub client: Option<Arc<str>>,
    pub link: ConnectionId,
    pub opened: Opened,
    pub greeting: Option<Box<Greeting>>,
}

/// What is said once, when it opens.
pub struct Greeting {
    /// Why it is not the connection that it asked for.
    pub error: Option<AblyError>,
    /// How long it stays present without a link.
    pub grace: Duration,
    /// Ends the link that its connection had until now. Not before it is known to have come: a request that nobody waits for
    /// any more takes nothing from who came after it, and who is put off does not come back before.
    pub displace: Option<Displace>,
}

/// Ends another link.
pub type Displace = Box<dyn FnOnce() + Send + Sync>;

/// What a client says of itself in its query.
#[derive(Debug, Clone, PartialEq)]
pub struct Manner {
    pub format: Format,
    /// It hears what it says.
    pub echo: bool,
    /// It cannot see pings, and wants frames.
    pub heartbeats: bool,
}

/// One client of an app.
pub struct AblyMachine {
    opening: Box<Opening>,
    manner: Manner,
    heartbeat: Heartbeat,
    channels: Attachments,
    /// What was said and is not acknowledged yet, in its order.
    #[expect(clippy::box_collection, reason = "most clients say nothing")]
    pending: Option<Box<VecDeque<Pending>>>,
    next_ticket: Ref,
    bucket: Option<Box<TokenBucket>>,
    renewal: Renewal,
    is_over: bool,
    /// Nothing shows yet that the client has its key: by the one before it may come back as well.
    has_old_key: bool,
}

/// The client's token, and whether it was asked for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// It has none that ends, or was asked.
    Never,
    At(Instant),
}

impl AblyMachine {
    pub fn new(opening: Opening, manner: Manner, now: Moment) -> AblyMachine {
        let renewal = Renewal::of(&opening.auth, now);
        let has_old_key = opening.opened.is_resumed;
        AblyMachine {
            opening: Box::new(opening),
            manner,
            heartbeat: Heartbeat::new(MAX_IDLE, MAX_IDLE, now.instant),
            channels: Attachments::default(),
            pending: None,
            next_ticket: NUMBERED,
            bucket: None,
            renewal,
            is_over: false,
            has_old_key,
        }
    }

    /// Whether `frame` shows that the client has its key. What it says does. That something came which was sent behind the key
    /// does not: it may have given up this link before it read it.
    fn is_answer(frame: &Frame) -> bool {
        match frame {
            Frame::Text(_) | Frame::Binary(_) => true,
            Frame::Pong(payload) => payload == DISPLACING,
            Frame::Ping(_) | Frame::Close(_) => false,
        }
    }

    /// By which its connection is resumed: nobody else's.
    pub fn key(&self) -> &str {
        &self.opening.opened.key
    }

    fn tell(&self, told: &ToldFrame, step: &mut Step) {
        step.send(self.manner.format.frame(told));
    }

    fn connected(&self, error: Option<&AblyError>, step: &mut Step) {
        let Opening { app, client, opened, auth, .. } = &*self.opening;
        let settings = app.settings();
        let client_id = if auth.client_id == ClientId::Any { Some("*") } else { client.as_deref() };
        let connection_details = Details {
            client_id,
            connection_key: &opened.key,
            max_message_size: settings.max_message.bytes(),
            max_frame_size: MAX_FRAME,
            max_inbound_rate: settings.message_rate,
            max_idle_interval: u64::try_from(MAX_IDLE.as_millis()).unwrap_or(u64::MAX),
            connection_state_ttl: u64::try_from(STATE_TTL.as_millis()).unwrap_or(u64::MAX),
        };
        let connection = Some(ConnectionDetails { connection_id: &opened.id, connection_details });
        self.tell(&ToldFrame { action: action::CONNECTED, connection, error, ..ToldFrame::default() }, step);
    }

    fn hear(&mut self, said: SaidFrame, now: Moment, step: &mut Step) {
        match said.action {
            action::HEARTBEAT => {
                self.tell(
                    &ToldFrame { action: action::HEARTBEAT, id: said.id.as_deref(), ..ToldFrame::default() },
                    step,
                );
            }
            action::ATTACH => self.attach(said, step),
            action::DETACH => self.detach(said.channel.as_deref().unwrap_or_default(), step),
            action::MESSAGE => self.publish(said, now, step),
            action::PRESENCE => self.present(said, now, step),
            action::SYNC => self.sync_again(said.channel.as_deref().unwrap_or_default(), step),
            action::ANNOTATION => self.annotate(said, now, step),
            action::OBJECT => {
                let error = AblyError::new(40160, 401, "LiveObjects are not available here");
                self.not_done(said.msg_serial, error, step);
            }
            action::AUTH => {
                let token = said.auth.and_then(|auth| auth.access_token);
                self.authenticate(token.as_deref().unwrap_or_default(), now, step);
            }
            action::CLOSE => {
                self.is_over = true;
                step.command(Command::SetGrace(Duration::ZERO));
                step.close(DisconnectReason::Done);
            }
            action::DISCONNECT => {
                // It means to come back: nothing is said of an end.
                step.send(Frame::Close(None));
                step.close(DisconnectReason::Done);
            }
            _ => {}
        }
    }

    /// Another token in band.
    fn authenticate(&mut self, token: &str, now: Moment, step: &mut Step) {
        let Opening { apps, app, client, .. } = &*self.opening;
        let auth = apps.authenticate(Credentials::Token(token), now).and_then(|auth| {
            if auth.app.id() != app.id() {
                return Err(AblyError::new(40102, 401, "The token is another app's"));
            }
            let named = auth.assume(client.as_deref())?;
            Ok((auth, named))
        });
        let (auth, named) = match auth {
            Ok(both) => both,
            Err(error) => {
                self.tell(&ToldFrame { action: action::ERROR, error: Some(&error), ..ToldFrame::default() }, step);
                self.is_over = true;
                step.close(DisconnectReason::Done);
                return;
            }
        };
        step.command(Command::Grant(Box::new(auth.rights(now))));
        self.renewal = Renewal::of(&auth, now);
        self.opening.auth = auth;
        if let Some(client) = named.filter(|named| self.opening.client.as_ref() != Some(named)) {
            self.opening.connections.identify(&self.opening.opened.id, Some(Arc::clone(&client)));
            let identity = Identity { user: Arc::clone(&client), info: None };
            self.opening.client = Some(client);
            step.command(Command::Identify { ticket: IDENTIFY, identity });
        }
        self.connected(None, step);
        self.revisit(step);
    }

    /// Its token may be revoked: at once, or with time to come by another.
    fn is_revoked(&mut self, now: Moment, step: &mut Step) -> bool {
        let Opening { apps, auth, .. } = &*self.opening;
        if apps.is_revoked(auth, now) {
            step.close(DisconnectReason::Kicked { code: Some(REVOKED), reason: "Token revoked".into() });
            return true;
        }
        if matches!(self.renewal, Renewal::At(_)) && apps.is_revoked(auth, now + RENEWAL) {
            self.renewal = Renewal::At(now.instant);
        }
        false
    }

    fn ask_for_renewal(&mut self, now: Moment, step: &mut Step) {
        if let Renewal::At(at) = self.renewal
            && at <= now.instant
        {
            self.renewal = Renewal::Never;
            self.tell(
                &ToldFrame { action: action::AUTH, auth: Some(AuthDetails::default()), ..ToldFrame::default() },
                step,
            );
        }
    }
}

impl Renewal {
    fn of(auth: &Authenticated, now: Moment) -> Renewal {
        let Some(expires) = auth.expires else { return Renewal::Never };
        let left = Duration::from_millis(expires.saturating_sub(now.unix_ms));
        // One that is shorter is asked for when it is over.
        if left > RENEWAL { Renewal::At(now.instant + (left - RENEWAL)) } else { Renewal::Never }
    }
}

impl Dialect for AblyMachine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        let Some(mut greeting) = self.opening.greeting.take() else { return };
        step.command(Command::SetGrace(greeting.grace));
        self.connected(greeting.error.take().as_ref(), step);
        if greeting.displace.is_some() {
            step.send(Frame::Ping(DISPLACING.into()));
            self.opening.greeting = Some(greeting);
        }
    }

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        self.heartbeat.heard(now.instant);
        if self.has_old_key && AblyMachine::is_answer(&frame) {
            self.has_old_key = false;
            let Opening { connections, opened, link, .. } = &*self.opening;
            connections.confirm(&opened.id, *link);
            if let Some(displace) = self.opening.greeting.take().and_then(|greeting| greeting.displace) {
                displace();
            }
        }
        let format = self.manner.format;
        let bytes = match (&frame, format) {
            (Frame::Text(text), Format::Json) => text.as_bytes(),
            (Frame::Binary(bytes), Format::Msgpack) => &bytes[..],
            (Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_), _) => return Ok(()),
            _ => {
                return Err(Violation::new(
                    Breach::Unsupported,
                    "This is not the format that the connection asked for",
                ));
            }
        };
        let said = format.read_object::<SaidFrame>(bytes);
        let said =
            said.map_err(|error| Violation::new(Breach::Policy, format!("Invalid protocol message: {error}")))?;
        self.hear(said, now, step);
        Ok(())
    }

    fn deliver(&mut self, event: &Event, now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(subscribed) => self.subscribed(subscribed, step),
            Event::Refused { ticket: ATTACH, channel: Some(channel), refusal } => {
                self.not_attached(channel, &refused(refusal), step);
            }
            Event::Refused { ticket, refusal, .. } => self.settled(*ticket, Err(refused(refusal)), step),
            Event::Unsubscribed { ticket, channel, .. } => self.detached(*ticket, channel, step),
            Event::Published { ticket, receipts } => self.settled(*ticket, Ok(receipts), step),
            Event::Accepted { ticket, .. } => self.settled(*ticket, Ok(&[]), step),
            Event::Lost { channel, upto, .. } => self.lost(channel, *upto, step),
            Event::Occupancy { channel, occupancy } => self.occupied(channel, *occupancy, now, step),
            Event::Members { channel, members, .. } => self.sync(channel, members, step),
            _ => {}
        }
    }

    fn encoding(&self, channel: &Channel) -> Encoding {
        let own = self.channels.get(channel).and_then(|attachment| attachment.encoding().cloned());
        own.unwrap_or_else(|| self.opening.app.encodings().of(self.manner.format, Hears::MESSAGES).clone())
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if self.is_revoked(now, step) {
            return;
        }
        self.ask_for_renewal(now, step);
        match self.heartbeat.beat(now.instant) {
            Beat::Nothing => {}
            Beat::Ping => {
                step.send(Frame::Ping(bytes::Bytes::new()));
                if self.manner.heartbeats {
                    self.tell(&ToldFrame { action: action::HEARTBEAT, ..ToldFrame::default() }, step);
                }
            }
            Beat::Dead => step.close(DisconnectReason::Dead),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let renewal = if let Renewal::At(at) = self.renewal { Some(at) } else { None };
        self.heartbeat.next().into_iter().chain(renewal).min()
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        let (action, error) = reasons::last_word(why);
        if matches!(why, DisconnectReason::Kicked { .. }) && action == action::ERROR {
            self.is_over = true;
        }
        self.tell(&ToldFrame { action, error: error.as_ref(), ..ToldFrame::default() }, step);
    }
}

impl Drop for AblyMachine {
    fn drop(&mut self) {
        let Opening { connections, opened, link, .. } = &*self.opening;
        connections.leave(&opened.id, *link, self.is_over, Moment::now().instant);
    }
}

/// The last words to a client that is not let in: the error, and a close.
pub fn refusal(format: Format, error: &AblyError) -> [Frame; 2] {
    let action =
        if (40140..40150).contains(&error.code) || error.status >= 500 { action::DISCONNECTED } else { action::ERROR };
    [format.frame(&ToldFrame { action, error: Some(error), ..ToldFrame::default() }), Frame::Close(None)]
}
