//! The dialect of Pusher Channels, protocol 7: what `pusher-js` and its siblings speak.
//!
//! A channel of an app is the hub's channel of that name behind the app's prefix, which is empty for the first app.

mod app;
mod client_events;
mod code;
mod encode;
mod message;
mod events;
mod signing_in;
mod subscribing;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;

pub use app::PusherApp;
pub use code::Code;
pub use encode::{form_of, value};
pub use events::{PusherEvent, PusherListener};
pub use message::Said;

use crate::realtime::dialect::heartbeat::{Beat, Heartbeat};
use crate::realtime::dialect::{Dialect, Encoding, Step};
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::json_writer::quoted;
use crate::realtime::vocabulary::{
    Channel, ConnectionId, DisconnectReason, Draft, Event, Frame, Moment, Ref, TokenBucket, Violation,
};
use crate::shares::Share;
use encode::frame;
use signing_in::SignedInUser;
use subscribing::Subscription;

const SUBSCRIBE: Ref = 1;
const PUBLISH: Ref = 2;
const SIGN_IN: Ref = 3;
const WATCH: Ref = 4;

/// One client of an app.
pub struct Machine {
    app: Arc<PusherApp>,
    connection: ConnectionId,
    /// Among the app's clients; given back when it ends.
    _place: Share,
    heartbeat: Heartbeat,
    /// In the order of the channels' names. As many as the hub allows.
    subscriptions: Vec<Subscription>,
    /// Who has signed in, and who was about to.
    user: Option<Box<SignedInUser>>,
    signing_in: Option<Box<SignedInUser>>,
    bucket: Option<Box<TokenBucket>>,
}

impl Machine {
    fn new(app: Arc<PusherApp>, connection: ConnectionId, place: Share, now: Moment) -> Machine {
        let settings = app.settings();
        let heartbeat = Heartbeat::new(settings.activity_timeout, settings.pong_timeout, now.instant);
        Machine {
            app,
            connection,
            _place: place,
            heartbeat,
            subscriptions: Vec::new(),
            user: None,
            signing_in: None,
            bucket: None,
        }
    }

    fn socket_id(&self) -> String {
        name::socket_id(self.connection)
    }

    fn hear(&mut self, text: &str, now: Moment, step: &mut Step) {
        let tamed;
        let said = match Said::read(text) {
            Err(malformed) => match crate::json::tame(text) {
                Some(text) => {
                    tamed = text;
                    Said::read(&tamed)
                }
                None => Err(malformed),
            },
            said => said,
        };
        match said {
            Ok(Said::Ping) => step.send(Frame::text(r#"{"event":"pusher:pong","data":"{}"}"#)),
            Ok(Said::Pong | Said::Other) => {}
            Ok(Said::Subscribe(wish)) => self.subscribe(&wish, step),
            Ok(Said::Unsubscribe { channel }) => self.unsubscribe(&channel, step),
            Ok(Said::SignIn { auth, user_data }) => self.sign_in(&auth, &user_data, step),
            Ok(Said::Client { event, channel, data }) => self.client_event(&event, &channel, data, now, step),
            Err(malformed) => step.send(code::error(None, malformed.0, None)),
        }
    }

    /// What the app, or another dialect on its behalf, says to this client only.
    fn direct(&self, draft: &Draft, step: &mut Step) {
        let event = draft.name.as_deref().unwrap_or(encode::UNNAMED);
        if !name::is_reserved(event) {
            step.send(frame(event, None, Some(&quoted(&form_of(&draft.data))), None));
        }
    }
}

impl Dialect for Machine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        let timeout = self.app.settings().activity_timeout.as_secs();
        let data = json!({ "socket_id": self.socket_id(), "activity_timeout": timeout }).to_string();
        step.send(frame("pusher:connection_established", None, Some(&quoted(&data)), None));
    }

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        self.heartbeat.heard(now.instant);
        if let Some(code) = self.app.closed() {
            step.close(code.closing());
            return Ok(());
        }
        match frame {
            Frame::Text(text) => self.hear(&text, now, step),
            Frame::Binary(_) => step.send(code::error(None, "Only text is spoken here.", None)),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(subscribed) if subscribed.channel.is_reserved() => {
                self.watching(Some(subscribed), step);
            }
            Event::Subscribed(subscribed) => self.subscribed(subscribed, step),
            Event::Refused { ticket: WATCH, .. } => self.watching(None, step),
            Event::Refused { ticket: SUBSCRIBE, channel: Some(channel), refusal } => {
                self.not_subscribed(channel, refusal, step);
            }
            Event::Refused { ticket: PUBLISH, channel, refusal } => {
                let channel = channel.as_ref().and_then(|channel| self.app.name(channel));
                step.send(code::error(Some(4301), &format!("The client event is refused: {refusal}."), channel));
            }
            Event::Unsubscribed { channel, why: Some(_), .. } => {
                self.subscriptions.retain(|known| known.channel != *channel);
            }
            Event::Connected { ticket: SIGN_IN, .. } => self.signed_in(step),
            Event::Direct(draft) => self.direct(draft, step),
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        self.app.encoding().clone()
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        match self.heartbeat.beat(now.instant) {
            Beat::Nothing => {}
            Beat::Ping => match self.app.closed() {
                Some(code) => step.close(code.closing()),
                None => step.send(Frame::text(r#"{"event":"pusher:ping","data":"{}"}"#)),
            },
            Beat::Dead => step.close(DisconnectReason::Dead),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.heartbeat.next()
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        if let Some(code) = Code::of(why) {
            refusal(code).into_iter().for_each(|frame| step.send(frame));
        }
    }
}

/// The last words to a client that is not let in: the error, and a close with its code.
pub fn refusal(code: Code) -> [Frame; 2] {
    [code.error(), code.close()]
}
