//! Who only listens, to a stream of events: channels that it has named from the start, and where it goes on in each.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::attachment::{Asked, Wish, mode};
use super::reasons::{REVOKED, last_word, refused};
use super::{ATTACH, DROP, MAX_IDLE};
use crate::realtime::ably::apps::{AblyApp, AblyApps, Authenticated};
use crate::realtime::ably::wire::error::AblyError;
use crate::realtime::ably::wire::stream::{StreamEncoder, StreamStyle};
use crate::realtime::dialect::heartbeat::{Beat, Heartbeat};
use crate::realtime::dialect::{Dialect, Encoding, Step};
use crate::realtime::vocabulary::{
    Channel, Command, DisconnectReason, Event, Frame, Message, Moment, Position, Recovery, Subscribe, Subscribed,
    Violation,
};

/// Between the positions in an id of several channels.
const SEPARATOR: char = ',';

/// What a client says of the stream that it wants.
pub struct StreamOpening {
    pub apps: Arc<AblyApps>,
    pub auth: Authenticated,
    pub style: StreamStyle,
    /// It wants to be told of heartbeats as of events.
    pub hears_heartbeats: bool,
    /// In its order, each once.
    pub channels: Vec<StreamChannel>,
    /// Why it may not listen after all, where that is known before it is answered.
    pub refused: Arc<OnceLock<AblyError>>,
}

/// One channel of a stream.
pub struct StreamChannel {
    channel: Channel,
    written: Box<str>,
    wish: Wish,
    /// Up to where it has heard; `None` until it is in.
    at: Option<Position>,
    encoding: Option<Encoding>,
}

impl StreamChannel {
    /// The channel that the client writes so, from where `id` says, which is what it heard last there.
    ///
    /// # Errors
    /// 40010, 40160, and 40000 for a rewind that is none.
    pub fn read(
        auth: &Authenticated,
        written: &str,
        rewind: Option<String>,
        id: Option<&str>,
    ) -> Result<StreamChannel, AblyError> {
        let (mut said, name) = super::qualified(written)?;
        let channel = auth.app.channel(name)?;
        if let Some(rewind) = rewind {
            said.entry("rewind".to_owned()).or_insert(rewind);
        }
        let wanted = mode::SUBSCRIBE | mode::PRESENCE_SUBSCRIBE;
        let wish = Wish::read(name, &auth.capability, wanted, said, Default::default(), id)?;
        if wish.modes & mode::SUBSCRIBE == 0 {
            return Err(AblyError::new(40160, 401, "A stream needs the mode subscribe"));
        }
        Ok(StreamChannel { channel, written: written.into(), wish, at: None, encoding: None })
    }

    /// What it listens to.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

/// The positions that `id` says, one for each of so many channels.
pub fn positions(id: &str, channels: usize) -> Vec<Option<&str>> {
    let parts: Vec<&str> = id.split(SEPARATOR).collect();
    if parts.len() != channels {
        // It is of other channels: nobody knows it.
        return vec![Some(id); channels];
    }
    parts.into_iter().map(|part| Some(part).filter(|part| !part.is_empty())).collect()
}

/// One client that listens.
pub struct StreamMachine {
    opening: Box<StreamOpening>,
    app: Arc<AblyApp>,
    heartbeat: Heartbeat,
}

impl StreamMachine {
    pub fn new(opening: StreamOpening, now: Moment) -> StreamMachine {
        let app = Arc::clone(&opening.auth.app);
        let mut machine = StreamMachine {
            opening: Box::new(opening),
            app,
            heartbeat: Heartbeat::new(MAX_IDLE, MAX_IDLE, now.instant),
        };
        let is_alone = machine.opening.channels.len() == 1;
        for index in 0..machine.opening.channels.len() {
            let style = machine.opening.style;
            let known = &machine.opening.channels[index];
            let is_plain = machine.app.name(&known.channel) == Some(&*known.written);
            let encoding = if is_alone && is_plain {
                machine.app.stream_encoding(style).clone()
            } else {
                let written = Some(known.written.clone());
                Encoding::new(StreamEncoder { style, prefix: machine.app.prefix().into(), written, is_alone })
            };
            machine.opening.channels[index].encoding = Some(encoding);
        }
        machine
    }

    fn find(&mut self, channel: &Channel) -> Option<&mut StreamChannel> {
        self.opening.channels.iter_mut().find(|known| known.channel == *channel)
    }

    /// Where it goes on: in each channel, in their order.
    fn id(&self) -> String {
        let at = |known: &StreamChannel| known.at.map(|at| at.to_string()).unwrap_or_default();
        self.opening.channels.iter().map(at).collect::<Vec<_>>().join(&SEPARATOR.to_string())
    }

    fn tell(&self, error: &AblyError, step: &mut Step) {
        step.send(self.opening.style.error(error));
    }

    fn subscribed(&mut self, subscribed: &Subscribed, step: &mut Step) {
        let Some(known) = self.find(&subscribed.channel).filter(|_| subscribed.ticket == ATTACH) else {
            // The app's wish, of which a stream has no word.
            step.command(Command::Unsubscribe { ticket: DROP, channel: subscribed.channel.clone() });
            return;
        };
        known.at = Some(subscribed.start());
        let is_lost = match known.wish.asked {
            Asked::Continuity => subscribed.recovery == Recovery::Impossible,
            Asked::Unknown => true,
            Asked::Nothing | Asked::Rewind => false,
        };
        if is_lost {
            let words = "Unable to resume the stream: messages since then are no longer kept";
            self.tell(&AblyError::new(80018, 400, words), step);
        }
        if self.opening.channels.iter().all(|known| known.at.is_some()) {
            self.opening.style.start(&self.id()).into_iter().for_each(|frame| step.send(frame));
        }
    }

    fn message(&mut self, message: &Message, step: &mut Step) {
        let Some(known) = self.find(&message.channel) else { return };
        known.at = Some(message.position);
        let written = known.written.clone();
        let frame = self.opening.style.message(&written, message, &self.id());
        frame.into_iter().for_each(|frame| step.send(frame));
    }

    /// It may not listen: nothing of it comes to be.
    fn refused(&mut self, error: AblyError, step: &mut Step) {
        self.tell(&error, step);
        self.opening.refused.get_or_init(|| error);
        step.close(DisconnectReason::Done);
    }

    /// The app has taken it out of a channel.
    fn put_out(&mut self, channel: &Channel, step: &mut Step) {
        if self.find(channel).is_none() {
            return;
        }
        self.tell(&AblyError::new(40160, 401, "The app has taken this client out of a channel"), step);
        step.close(DisconnectReason::Done);
    }
}

impl Dialect for StreamMachine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        for known in &self.opening.channels {
            step.command(Command::Subscribe(Subscribe {
                ticket: ATTACH,
                since: known.wish.since,
                notices: known.wish.modes & mode::PRESENCE_SUBSCRIBE != 0,
                publishes: false,
                retain: self.app.settings().retain,
                ..Subscribe::to(known.channel.clone())
            }));
        }
    }

    fn receive(&mut self, _frame: Frame, _now: Moment, _step: &mut Step) -> Result<(), Violation> {
        Ok(())
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(subscribed) => self.subscribed(subscribed, step),
            Event::Message(message) => self.message(message, step),
            Event::Refused { ticket: ATTACH, refusal, .. } => self.refused(refused(refusal), step),
            Event::Unsubscribed { ticket, channel, .. } if *ticket != DROP => self.put_out(channel, step),
            Event::Lost { channel, upto, .. } => {
                if let Some(known) = self.find(channel) {
                    known.at = Some(*upto);
                }
                self.tell(&AblyError::new(80020, 503, "Continuity is lost: the client read too slowly"), step);
            }
            _ => {}
        }
    }

    fn encoding(&self, channel: &Channel) -> Encoding {
        let own = self.opening.channels.iter().find(|known| known.channel == *channel);
        let own = own.and_then(|known| known.encoding.clone());
        own.unwrap_or_else(|| self.app.stream_encoding(self.opening.style).clone())
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if self.opening.apps.is_revoked(&self.opening.auth, now) {
            let reason = "Token revoked".into();
            step.close(DisconnectReason::Kicked { code: Some(REVOKED), reason });
            return;
        }
        if self.heartbeat.beat(now.instant) != Beat::Nothing {
            // One that could be written is all the life a stream shows.
            self.heartbeat.heard(now.instant);
            step.send(self.opening.style.keepalive(self.opening.hears_heartbeats));
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        self.heartbeat.next()
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        // Who need only come back does so by itself, and is not told of an error.
        let comes_back = matches!(why, DisconnectReason::GoingAway | DisconnectReason::Restarting);
        if let (_, Some(error)) = last_word(why)
            && !comes_back
        {
            self.tell(&error, step);
        }
    }
}
