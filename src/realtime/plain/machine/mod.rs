//! The plain dialect: a stock `WebSocket` or `EventSource`, one channel, text in and `{"type":…}` out.

mod encode;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

pub use encode::PlainEncoder;
use encode::{member, payload, typed};

use super::config::{Broadcast, Config};
use crate::realtime::dialect::heartbeat::{Beat, Heartbeat};
use crate::realtime::dialect::{Dialect, Encoding, Step, server_sent};
use crate::realtime::vocabulary::{
    Audience, Breach, Channel, Command, DisconnectReason, Draft, Event, Frame, JsonWriter, Moment, Payload, Publish,
    Recovery, Ref, Refusal, Since, Subscribe, Subscribed, Text, Violation, users,
};

const SUBSCRIBE: Ref = 1;
const PUBLISH: Ref = 2;
const RENEW: Ref = 3;

/// What all plain clients of one config share: its settings and its encodings.
#[derive(Debug)]
pub struct Plain {
    config: Config,
    json: Encoding,
    positioned: Encoding,
    verbatim: Encoding,
    stream: Encoding,
}

impl Plain {
    pub fn new(config: Config) -> Plain {
        let stream = PlainEncoder::EventStream { verbatim: config.verbatim };
        Plain {
            config,
            json: Encoding::new(PlainEncoder::Json),
            positioned: Encoding::new(PlainEncoder::Positioned),
            verbatim: Encoding::new(PlainEncoder::Verbatim),
            stream: Encoding::new(stream),
        }
    }

    /// The channel of a client that names none.
    pub fn channel(&self) -> &Channel {
        &self.config.channel
    }

    /// Reads a message as a client with positions does, for answers outside a conversation.
    pub fn positioned(&self) -> &Encoding {
        &self.positioned
    }

    /// The machine of one WebSocket client. `since` where the client asked for the past, and so for positions.
    pub fn socket(self: &Arc<Self>, channel: Channel, since: Option<Since>, now: Moment) -> Machine {
        let encoder = match (self.config.verbatim, since) {
            (true, _) => PlainEncoder::Verbatim,
            (false, Some(_)) => PlainEncoder::Positioned,
            (false, None) => PlainEncoder::Json,
        };
        self.machine(channel, since, encoder, now)
    }

    /// The machine of one `EventSource` client, which only listens.
    pub fn event_stream(self: &Arc<Self>, channel: Channel, since: Option<Since>, now: Moment) -> Machine {
        self.machine(channel, since, PlainEncoder::EventStream { verbatim: self.config.verbatim }, now)
    }

    fn machine(
        self: &Arc<Self>,
        channel: Channel,
        since: Option<Since>,
        encoder: PlainEncoder,
        now: Moment,
    ) -> Machine {
        let Config { ping_interval, ping_timeout, .. } = self.config;
        // A stream cannot answer a ping: writing to it is what finds out that it is gone.
        let timeout = if matches!(encoder, PlainEncoder::EventStream { .. }) { None } else { Some(ping_timeout) };
        Machine {
            plain: Arc::clone(self),
            channel,
            since: since.map(Box::new),
            encoder,
            has_token: false,
            answers_pings: timeout.is_some(),
            heartbeat: Heartbeat::new(ping_interval, timeout.unwrap_or_default(), now.instant),
            spoke: now.instant,
        }
    }
}

/// One plain client.
pub struct Machine {
    plain: Arc<Plain>,
    channel: Channel,
    /// Where it asked for the past.
    since: Option<Box<Since>>,
    encoder: PlainEncoder,
    /// It came with a token, and may send another.
    has_token: bool,
    answers_pings: bool,
    heartbeat: Heartbeat,
    /// When its last message came.
    spoke: Instant,
}

impl Machine {
    /// Whether the client came with a token: then `{"type":"token","token":…}` is no message, but another token.
    pub fn with_token(self, has_token: bool) -> Machine {
        Machine { has_token: has_token && !self.encoder.is_verbatim(), ..self }
    }

    fn hear(&mut self, data: Payload, now: Moment, step: &mut Step) {
        self.spoke = now.instant;
        let config = &self.plain.config;
        if config.echo {
            step.send(match (&data, self.encoder.is_verbatim()) {
                (Payload::Binary(bytes), _) => Frame::Binary(bytes.clone()),
                (Payload::Text(text) | Payload::Json(text), true) => Frame::Text(text.clone()),
                (data, false) => {
                    let mut json = typed("echo", data.len());
                    payload(&mut json, "data", data);
                    json.raw("timestamp", now.unix_ms);
                    Frame::text(json.end())
                }
            });
        }
        let echo = match config.broadcast {
            Broadcast::All => true,
            Broadcast::Others => false,
            Broadcast::Off => return,
        };
        let audience = Audience::Channel(self.channel.clone());
        step.command(Command::Publish(Box::new(Publish { ticket: PUBLISH, audience, draft: Draft::new(data), echo })));
    }

    /// Says something besides messages; in verbatim there are no words for it.
    fn say(&self, json: JsonWriter, step: &mut Step) {
        if !self.encoder.is_verbatim() {
            step.send(self.encoder.say(json.end(), None));
        }
    }

    fn subscribed(&self, subscribed: &Subscribed, step: &mut Step) {
        let impossible = subscribed.recovery == Recovery::Impossible;
        if impossible && self.encoder == PlainEncoder::Verbatim {
            step.close(DisconnectReason::Violation(Violation::new(
                Breach::Policy,
                "what you missed is no longer kept",
            )));
            return;
        }
        if let PlainEncoder::EventStream { .. } = self.encoder {
            // An id without data moves the client's Last-Event-ID and shows it nothing.
            step.send(Frame::text(server_sent::id_alone(&subscribed.start())));
        }
        if self.since.is_some() {
            let mut json = typed("subscribed", 0);
            json.plain_text("id", subscribed.start());
            match subscribed.recovery {
                Recovery::Live => {}
                Recovery::Complete(missed) => {
                    json.raw("recovered", true);
                    json.raw("missed", missed);
                }
                Recovery::Impossible => json.raw("recovered", false),
            }
            self.say(json, step);
        }
        let members = users(&subscribed.members);
        if !members.is_empty() {
            let mut json = typed("presence", 0);
            json.list("members", &members, |json, each| member(json, each));
            self.say(json, step);
        }
    }
}

impl Dialect for Machine {
    fn open(&mut self, _now: Moment, step: &mut Step) {
        step.command(Command::Subscribe(Subscribe {
            ticket: SUBSCRIBE,
            since: self.since.as_deref().copied().unwrap_or_default(),
            notices: !self.encoder.is_verbatim(),
            publishes: !matches!(self.encoder, PlainEncoder::EventStream { .. }),
            ..Subscribe::to(self.channel.clone())
        }));
    }

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        self.heartbeat.heard(now.instant);
        match frame {
            Frame::Text(text)
                if self.has_token
                    && let Some(token) = renewal(&text) =>
            {
                self.spoke = now.instant;
                step.command(Command::RefreshToken { ticket: RENEW, token });
            }
            // Neither broadcast nor counted as a message: who sends nothing else is idle.
            Frame::Text(text) if self.plain.config.heartbeat.as_deref() == Some(&*text) => {
                step.send(Frame::text("pong".to_owned()));
            }
            Frame::Text(text) => self.hear(Payload::Text(text), now, step),
            Frame::Binary(bytes) if self.encoder.is_verbatim() => self.hear(Payload::Binary(bytes), now, step),
            Frame::Binary(_) => return Err(Violation::new(Breach::Unsupported, "only text is spoken here")),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => {}
        }
        Ok(())
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Subscribed(subscribed) => self.subscribed(subscribed, step),
            Event::Refused { ticket: SUBSCRIBE, refusal: Refusal::App { code, reason, .. }, .. } => {
                step.close(DisconnectReason::Kicked { code: *code, reason: reason.clone() });
            }
            Event::Refused { ticket: SUBSCRIBE, refusal: Refusal::Unavailable | Refusal::TooMany { .. }, .. } => {
                step.close(DisconnectReason::Overloaded);
            }
            Event::Refused { ticket: SUBSCRIBE, refusal, .. } => {
                step.close(DisconnectReason::Violation(Violation::new(Breach::Policy, refusal.to_string())));
            }
            Event::Refused { refusal, .. } => {
                let mut json = typed("error", 0);
                json.text("error", refusal.label());
                json.text("message", &refusal.to_string());
                self.say(json, step);
            }
            Event::Direct(draft) => match (self.encoder, &draft.data) {
                (PlainEncoder::Verbatim, Payload::Text(text) | Payload::Json(text)) => {
                    step.send(Frame::Text(text.clone()))
                }
                (PlainEncoder::Verbatim, Payload::Binary(bytes)) => step.send(Frame::Binary(bytes.clone())),
                (encoder, data) => {
                    let mut json = typed("message", data.len());
                    if let Some(name) = &draft.name {
                        json.text("name", name);
                    }
                    payload(&mut json, "data", data);
                    step.send(encoder.say(json.end(), None));
                }
            },
            Event::Accepted { ticket: RENEW, .. } => self.say(typed("authorized", 0), step),
            Event::Lost { .. } if self.encoder.is_verbatim() => step.close(DisconnectReason::Slow),
            Event::Lost { after, upto, .. } => {
                let mut json = typed("lost", 0);
                json.plain_text("after", after);
                json.plain_text("upto", upto);
                self.say(json, step);
            }
            Event::Unsubscribed { why: Some(_), .. } => step.close(DisconnectReason::Done),
            // The rest answers commands that a plain client has no words for.
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        match self.encoder {
            PlainEncoder::Json => &self.plain.json,
            PlainEncoder::Positioned => &self.plain.positioned,
            PlainEncoder::Verbatim => &self.plain.verbatim,
            PlainEncoder::EventStream { .. } => &self.plain.stream,
        }
        .clone()
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        let idle = self.plain.config.idle_timeout;
        if self.answers_pings && !idle.is_zero() && now.instant.saturating_duration_since(self.spoke) >= idle {
            step.close(DisconnectReason::Idle);
            return;
        }
        match self.heartbeat.beat(now.instant) {
            Beat::Nothing => {}
            // A ping that could be written is all the life a stream shows.
            _ if !self.answers_pings => {
                self.heartbeat.heard(now.instant);
                step.send(self.encoder.ping());
            }
            Beat::Ping => step.send(self.encoder.ping()),
            Beat::Dead => step.close(DisconnectReason::Dead),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let idle = self.plain.config.idle_timeout;
        let idle = (self.answers_pings && !idle.is_zero()).then(|| self.spoke + idle);
        [self.heartbeat.next(), idle].into_iter().flatten().min()
    }

    fn close_frames(&mut self, why: &DisconnectReason, _now: Moment, step: &mut Step) {
        if let PlainEncoder::EventStream { .. } = self.encoder {
            // EventSource comes back by itself; one that must not is told with a status, not here.
            let mut json = typed("closing", 0);
            json.text("reason", why.label());
            self.say(json, step);
            return;
        }
        step.send(Frame::Close(Some(why.close())));
    }
}

/// The token of a message that is nothing else.
fn renewal(text: &str) -> Option<Text> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Renewal {
        r#type: String,
        token: String,
    }
    if !text.starts_with('{') || !text.contains("\"token\"") {
        return None;
    }
    let renewal: Renewal = crate::json::from_str(text).ok()?;
    (renewal.r#type == "token").then(|| renewal.token.into())
}
