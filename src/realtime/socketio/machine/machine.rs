//! One client's conversation, whatever namespaces it is in.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::config::Parser;
use super::draft::{self, SCOPE, TO};
use super::encode::Place;
use super::packet::{Args, BadPacket, Kind, Packet};
use super::recovery::Claim;
use super::relay::{self, Task};
use super::space::{Space, State};
use super::trail::Trail;
use super::{SocketIo, encode, msgpack, rooms, sid, write};
use crate::realtime::dialect::{Dialect, Encoding, Parted, Step};
use crate::realtime::vocabulary::{
    Audience, Breach, Call, Channel, Closing, Command, ConnectionId, Draft, Event, Extras, Frame, Moment, Parcel,
    Parting, Payload, Publish, Refusal, Subscribe, Text, Ticket, Violation,
};

/// One Socket.IO client.
pub struct Machine {
    pub(super) shared: Arc<SocketIo>,
    connection: ConnectionId,
    asked: bool,
    /// At most `max_namespaces`.
    pub(super) spaces: Vec<Space>,
    /// What waits for an outcome. Bounded by what a session lets wait.
    pending: Vec<(Ticket, Pending)>,
    next: Ticket,
    /// A packet whose attachments are still to come: at most `max_attachments`.
    pub(super) assembly: Option<Box<(Packet, Vec<Bytes>)>>,
    /// In a namespace by then, or closed.
    pub(super) deadline: Option<Instant>,
    /// Where clients may come back.
    pub(super) trail: Option<Box<Trail>>,
}

/// What to do about the outcome of a command.
#[derive(Debug)]
enum Pending {
    Acknowledge { scope: Arc<str>, id: u64 },
    Join { scope: Arc<str>, room: String, id: Option<u64> },
    Leave { scope: Arc<str>, room: String, id: Option<u64> },
}

impl Machine {
    pub(super) fn new(shared: Arc<SocketIo>, connection: ConnectionId, asked: bool, now: Moment) -> Machine {
        let deadline = Some(now.instant + shared.config.connect_timeout);
        Machine {
            shared,
            connection,
            asked,
            spaces: Vec::new(),
            pending: Vec::new(),
            next: 0,
            assembly: None,
            deadline,
            trail: None,
        }
    }

    #[cfg(test)]
    pub fn sids(&self) -> Vec<Arc<str>> {
        self.spaces.iter().map(|space| Arc::clone(&space.sid)).collect()
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    fn wait(&mut self, what: Pending) -> Ticket {
        let ticket = self.ticket();
        self.pending.push((ticket, what));
        ticket
    }

    fn waiting(&mut self, ticket: Ticket) -> Option<Pending> {
        let place = self.pending.iter().position(|(known, _)| *known == ticket)?;
        Some(self.pending.swap_remove(place).1)
    }

    fn place(&self, scope: &str) -> Option<usize> {
        self.spaces.iter().position(|space| &*space.scope == scope && !matches!(space.state, State::Leaving(_)))
    }

    fn joined(&self, scope: &str) -> Option<&Space> {
        self.spaces.iter().find(|space| &*space.scope == scope && space.state == State::Joined)
    }

    fn text(&mut self, text: &Text, now: Moment, step: &mut Step) -> Result<(), BadPacket> {
        if self.shared.config.parser == Parser::Msgpack {
            return Err(BadPacket::Msgpack);
        }
        if self.assembly.is_some() {
            return Err(BadPacket::Attachments);
        }
        let text = text.strip_prefix('4').and_then(|_| text.slice(1..text.len())).ok_or(BadPacket::Kind)?;
        let packet = Packet::read(&text, self.shared.config.max_attachments)?;
        if packet.attachments > 0 {
            self.assembly = Some(Box::new((packet, Vec::new())));
            return Ok(());
        }
        self.packet(packet, Vec::new(), now, step)
    }

    fn binary(&mut self, bytes: Bytes, now: Moment, step: &mut Step) -> Result<(), BadPacket> {
        let config = &self.shared.config;
        if config.parser == Parser::Msgpack {
            let decoded = msgpack::read(&bytes, config.max_nesting + 1, config.max_attachments)?;
            let kinds = [Kind::Connect, Kind::Disconnect, Kind::Event, Kind::Ack, Kind::ConnectError];
            let packet = Packet {
                kind: kinds[usize::from(decoded.kind)],
                scope: decoded.scope,
                id: decoded.id,
                attachments: decoded.attachments.len(),
                body: decoded.data.unwrap_or_default(),
            };
            return self.packet(packet.checked()?, decoded.attachments, now, step);
        }
        let Some(assembly) = &mut self.assembly else { return Err(BadPacket::Attachments) };
        assembly.1.push(bytes);
        if assembly.1.len() < assembly.0.attachments {
            return Ok(());
        }
        match self.assembly.take() {
            Some(assembly) => self.packet(assembly.0, assembly.1, now, step),
            None => Ok(()),
        }
    }

    fn packet(
        &mut self,
        packet: Packet,
        attachments: Vec<Bytes>,
        now: Moment,
        step: &mut Step,
    ) -> Result<(), BadPacket> {
        let joined = self.joined(&packet.scope).is_some();
        match packet.kind {
            Kind::Connect => match self.place(&packet.scope) {
                None => self.connect(&packet, step),
                Some(place) if matches!(self.spaces[place].state, State::Away(_)) => {
                    self.come_back(place, &packet, step)
                }
                Some(_) => Err(BadPacket::State),
            },
            Kind::Disconnect if joined => self.leave(&packet.scope, "client namespace disconnect", step),
            Kind::Event if joined => {
                let args = Args::read(packet.body, attachments, &self.shared.config)?;
                self.event(&packet.scope, packet.id, &args, now, step)
            }
            Kind::Ack if joined => {
                let args = Args::read(packet.body, attachments, &self.shared.config)?;
                if let Some(asks) = packet.id {
                    let extras = draft::attachments(&args.attachments);
                    let alias = self.joined(&packet.scope).map(|space| Arc::clone(&space.sid));
                    let data = Some(Payload::Json(args.array(0)));
                    // The app may ask while it thinks about an event of this very client.
                    step.agreed(Command::Answer { asks, alias, data, extras });
                }
                Ok(())
            }
            _ => Err(BadPacket::State),
        }
    }

    pub(super) fn check_connect(&self, packet: &Packet) -> Result<(), BadPacket> {
        let most = self.shared.config.max_nesting;
        let is_sound =
            packet.body.is_empty() || (!super::packet::is_deeper(&packet.body, most) && is_json(&packet.body));
        if is_sound { Ok(()) } else { Err(BadPacket::Payload) }
    }

    pub(super) fn connect(&mut self, packet: &Packet, step: &mut Step) -> Result<(), BadPacket> {
        self.check_connect(packet)?;
        let config = &self.shared.config;
        let scope = packet.scope.as_str();
        let exists = rooms::is_scope(scope) && config.namespaces.iter().any(|pattern| pattern.fits(scope));
        if !exists {
            self.refuse(scope, "Invalid namespace", None, step);
            return Ok(());
        }
        if self.spaces.len() >= config.max_namespaces {
            self.refuse(scope, "too many namespaces", None, step);
            return Ok(());
        }
        let ticket = self.ticket();
        let mut space = Space::new(self.shared.scope(scope), sid::sid(self.connection), ticket);
        if let Some(trail) = &mut self.trail {
            space.steps = Some(trail.begin(Claim::read(&packet.body).offset.as_deref()));
        }
        let credentials = (!packet.body.is_empty()).then(|| Payload::Json(packet.body.clone()));
        let (scope, alias) = (Arc::clone(&space.scope), Some(Arc::clone(&space.sid)));
        self.spaces.reserve_exact(usize::from(self.spaces.is_empty()));
        self.spaces.push(space);
        step.command(Command::Connect { ticket, scope, alias, credentials, recovered: false });
        Ok(())
    }

    /// `44{"message":…,"data":…}`.
    fn refuse(&self, scope: &str, message: &str, data: Option<&Payload>, step: &mut Step) {
        let mut json = String::from("{\"message\":");
        write::quote(&mut json, message);
        match data {
            Some(Payload::Json(data)) => {
                json.push_str(",\"data\":");
                json.push_str(data);
            }
            Some(Payload::Text(data)) => {
                json.push_str(",\"data\":");
                write::quote(&mut json, data);
            }
            _ => {}
        }
        json.push('}');
        step.send_parcel(self.shared.shape.notice(write::CONNECT_ERROR, scope, Some(&json)));
    }

    fn event(
        &mut self,
        scope: &str,
        id: Option<u64>,
        args: &Args,
        now: Moment,
        step: &mut Step,
    ) -> Result<(), BadPacket> {
        let name = args.name(self.shared.config.max_event_name.bytes())?;
        let Some(space) = self.joined(scope) else { return Ok(()) };
        let (scope, sid) = (Arc::clone(&space.scope), Arc::clone(&space.sid));
        if self.asked {
            let extras = draft::attachments(&args.attachments);
            let data = Payload::Json(args.array(1));
            let ticket = id.map_or(0, |id| self.wait(Pending::Acknowledge { scope: Arc::clone(&scope), id }));
            let call = Call { ticket, scope, alias: Some(sid), name, data, extras, answer: id.is_some() };
            step.command(Command::Call(Box::new(call)));
            return Ok(());
        }
        let Some(task) = relay::task(&self.shared.config.relay, &name) else { return Ok(()) };
        if task == Task::Say {
            let draft = relay::message(name, &sid, args, now);
            let ticket = id.map_or(0, |id| self.wait(Pending::Acknowledge { scope: Arc::clone(&scope), id }));
            self.publish(ticket, rooms::everyone(&scope), draft, true, step);
            return Ok(());
        }
        let (room, channel) = match relay::room(&scope, args, self.shared.config.max_room_name.bytes()) {
            Ok(found) => found,
            Err(bad) => {
                self.fail(&scope, id, &bad.to_string(), step);
                return Ok(());
            }
        };
        if task == Task::Leave {
            let ticket = self.wait(Pending::Leave { scope, room, id });
            step.command(Command::Unsubscribe { ticket, channel });
            return Ok(());
        }
        let has_room = self.joined(&scope).is_some_and(|space| space.rooms.len() < self.shared.config.max_rooms);
        if !has_room {
            self.fail(&scope, id, "too many rooms", step);
            return Ok(());
        }
        let ticket = self.wait(Pending::Join { scope, room, id });
        step.command(Command::Subscribe(Subscribe { ticket, ..Subscribe::to(channel) }));
        Ok(())
    }

    fn publish(&self, ticket: Ticket, channel: Result<Channel, impl Sized>, draft: Draft, echo: bool, step: &mut Step) {
        let Ok(channel) = channel else { return };
        let audience = Audience::Channel(channel);
        step.command(Command::Publish(Box::new(Publish { ticket, audience, draft, echo })));
    }

    /// Answers a client that waits.
    fn acknowledge(&self, scope: &str, id: u64, data: Option<&Payload>, extras: &Extras, step: &mut Step) {
        let mut attachments: Vec<Bytes> = draft::attached(extras);
        if let Some(Payload::Binary(bytes)) = data {
            attachments = vec![bytes.clone()];
        }
        let array = encode::answer(data);
        step.send_parcel(self.shared.shape.packet(write::ACK, scope, Some(id), &array, attachments));
    }

    /// Answers a client that waits with what went wrong.
    fn fail(&self, scope: &str, id: Option<u64>, what: &str, step: &mut Step) {
        let Some(id) = id else { return };
        let mut json = String::from("[{\"error\":");
        write::quote(&mut json, what);
        json.push_str("}]");
        step.send_parcel(self.shared.shape.packet(write::ACK, scope, Some(id), &json, Vec::new()));
    }

    /// The client is no longer in `scope`; the connection goes on.
    fn leave(&mut self, scope: &str, reason: &'static str, step: &mut Step) -> Result<(), BadPacket> {
        let Some(place) = self.place(scope) else { return Ok(()) };
        let space = self.spaces.remove(place);
        self.unsubscribe(&space, step);
        // After what it said before, which may still wait for the app. Of one that is away it was told before.
        let is_away = matches!(space.state, State::Away(_) | State::Returning(_));
        let parting = if is_away { Parting::Forgotten } else { Parting::Gone };
        step.command(Command::Depart { scope: space.scope, alias: Some(space.sid), reason, parting });
        Ok(())
    }

    pub(super) fn unsubscribe(&self, space: &Space, step: &mut Step) {
        let everyone = rooms::everyone(&space.scope).ok();
        for channel in everyone.into_iter().chain(space.rooms.iter().cloned()) {
            step.agreed(Command::Unsubscribe { ticket: 0, channel });
        }
    }

    /// The answers to a client's questions have nobody to go to any more.
    pub(super) fn forget_questions(&mut self) {
        self.pending.retain(|(_, what)| !matches!(what, Pending::Acknowledge { .. }));
    }

    fn connected(&mut self, ticket: Ticket, step: &mut Step) {
        if let Some(place) = self.spaces.iter().position(|space| space.state == State::Returning(ticket)) {
            return self.returned(place, step);
        }
        let Some(space) = self.spaces.iter_mut().find(|space| space.state == State::Asking(ticket)) else {
            return self.answered_late(ticket, true, step);
        };
        space.state = State::Joining(ticket);
        if let Ok(channel) = rooms::everyone(&space.scope) {
            step.agreed(Command::Subscribe(Subscribe { ticket, ..Subscribe::to(channel) }));
        }
    }

    fn subscribed(&mut self, ticket: Ticket, channel: &Channel, step: &mut Step) {
        let (scope, room) = rooms::place(channel);
        let Some(place) = self.place(scope) else {
            // It left while that waited.
            step.agreed(Command::Unsubscribe { ticket: 0, channel: channel.clone() });
            return;
        };
        let space = &mut self.spaces[place];
        if space.state == State::Joining(ticket) && room.is_none() {
            space.state = State::Joined;
            self.deadline = None;
            self.welcome(place, step);
            return;
        }
        if room.is_some() {
            space.entered(channel);
        }
        if let Some(Pending::Join { scope, room, id }) = self.waiting(ticket)
            && let Some(space) = self.joined(&scope)
        {
            let draft = relay::notice("user-joined", &space.sid, &room);
            self.publish(0, rooms::room(&scope, &room), draft, false, step);
            if let Some(id) = id {
                self.acknowledge(&scope, id, None, &Extras::default(), step);
            }
        }
    }

    fn unsubscribed(&mut self, ticket: Ticket, channel: &Channel, step: &mut Step) {
        let (scope, room) = rooms::place(channel);
        let Some(place) = self.place(scope) else { return };
        self.spaces[place].left(channel);
        if room.is_none() && self.spaces[place].hears() {
            // Nobody is in a namespace without hearing it.
            self.dismiss(&Arc::clone(&self.spaces[place].scope), step);
        }
        if let Some(Pending::Leave { scope, room, id }) = self.waiting(ticket)
            && let Some(space) = self.joined(&scope)
        {
            let draft = relay::notice("user-left", &space.sid, &room);
            self.publish(0, rooms::room(&scope, &room), draft, false, step);
            if let Some(id) = id {
                self.acknowledge(&scope, id, None, &Extras::default(), step);
            }
        }
    }

    fn dismiss(&mut self, scope: &str, step: &mut Step) {
        match self.place(scope).map(|place| self.spaces[place].state) {
            Some(State::Joined) => step.send_parcel(self.shared.shape.notice(write::DISCONNECT, scope, None)),
            // It waits for an answer.
            Some(State::Returning(_)) => self.refuse(scope, "server namespace disconnect", None, step),
            _ => {}
        }
        let _ = self.leave(scope, "server namespace disconnect", step);
    }

    fn refused(&mut self, ticket: Ticket, refusal: &Refusal, step: &mut Step) {
        let is_it = |space: &Space| matches!(space.state, State::Asking(known) | State::Joining(known) | State::Returning(known) if known == ticket);
        if ticket != 0
            && let Some(place) = self.spaces.iter().position(is_it)
        {
            if let State::Returning(_) = self.spaces[place].state {
                let scope = Arc::clone(&self.spaces[place].scope);
                self.forget(place, step);
                let data = if let Refusal::App { data, .. } = refusal { data.as_ref() } else { None };
                return self.refuse(&scope, &refusal.to_string(), data, step);
            }
            let space = self.spaces.remove(place);
            let data = if let Refusal::App { data, .. } = refusal { data.as_ref() } else { None };
            self.refuse(&space.scope, &refusal.to_string(), data, step);
            if let State::Joining(_) = space.state {
                let reason = "server namespace disconnect";
                let (scope, alias) = (space.scope, Some(space.sid));
                step.command(Command::Depart { scope, alias, reason, parting: Parting::Gone });
            }
            return;
        }
        self.answered_late(ticket, false, step);
        match self.waiting(ticket) {
            Some(Pending::Join { scope, id, .. } | Pending::Leave { scope, id, .. }) => {
                self.fail(&scope, id, &refusal.to_string(), step);
            }
            // As with a server that fails: no answer comes, and the client's own time-out tells it.
            Some(Pending::Acknowledge { .. }) | None => {}
        }
    }

    /// What is for this client only.
    fn direct(&mut self, draft: &Draft, step: &mut Step) {
        let text = |key| draft.extras.of(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let space = match text(SCOPE) {
            Some(scope) => self.spaces.iter().find(|space| &*space.scope == scope && space.hears()),
            None => {
                let mut hearing = self.spaces.iter().filter(|space| space.hears());
                hearing.clone().find(|space| &*space.scope == rooms::ROOT).or_else(|| hearing.next())
            }
        };
        let is_meant = |space: &&Space| text(TO).is_none_or(|to| to.contains(&*space.sid));
        let is_here = |space: &&Space| space.state == State::Joined || encode::is_kept(draft);
        let Some(space) = space.filter(is_meant).filter(is_here) else {
            if let Some(asks) = draft.asks {
                step.agreed(Command::Answer { asks, alias: None, data: None, extras: Extras::default() });
            }
            return;
        };
        let is_joined = space.state == State::Joined;
        let Some(trail) = self.trail.as_mut().filter(|_| encode::is_kept(draft)) else {
            if let Some(parcel) = self.shared.shape.event(&space.scope, draft, Place::Nowhere) {
                step.send_parcel(parcel);
            }
            return;
        };
        let offset = trail.offset();
        if let Some(parcel) = self.shared.shape.event(&space.scope, draft, Place::At(&offset)) {
            trail.push(&parcel);
            if is_joined {
                step.send_parcel(parcel);
            }
        }
    }
}

/// Whether all of it is JSON.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

impl Dialect for Machine {
    fn open(&mut self, _now: Moment, _step: &mut Step) {}

    fn receive(&mut self, frame: Frame, now: Moment, step: &mut Step) -> Result<(), Violation> {
        let outcome = match frame {
            Frame::Text(text) => self.text(&text, now, step),
            Frame::Binary(bytes) => self.binary(bytes, now, step),
            Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_) => Ok(()),
        };
        outcome.map_err(|bad| Violation::new(Breach::Protocol, bad.to_string()))
    }

    fn deliver(&mut self, event: &Event, _now: Moment, step: &mut Step) {
        match event {
            Event::Connected { ticket, .. } => self.connected(*ticket, step),
            Event::Subscribed(subscribed) => self.subscribed(subscribed.ticket, &subscribed.channel, step),
            Event::Unsubscribed { ticket, channel, .. } => self.unsubscribed(*ticket, channel, step),
            Event::Refused { ticket, refusal, .. } => self.refused(*ticket, refusal, step),
            Event::Direct(draft) => self.direct(draft, step),
            Event::Dismissed { scope } => self.dismiss(scope, step),
            Event::Answered { ticket, data, extras } => {
                // Without data the app has not answered, as a handler that never calls back.
                if let Some(Pending::Acknowledge { scope, id }) = self.waiting(*ticket)
                    && data.is_some()
                    && self.joined(&scope).is_some()
                {
                    self.acknowledge(&scope, id, data.as_ref(), extras, step);
                }
            }
            Event::Accepted { ticket, .. } => {
                if let Some(Pending::Acknowledge { scope, id }) = self.waiting(*ticket) {
                    self.acknowledge(&scope, id, None, &Extras::default(), step);
                }
            }
            // It goes on without what it missed, as its channel has it; but it does not come back to before that.
            Event::Lost { .. } => {
                if let Some(trail) = &mut self.trail {
                    trail.gap();
                }
            }
            // Presence, positions and histories have no words here.
            _ => {}
        }
    }

    fn encoding(&self, _channel: &Channel) -> Encoding {
        self.shared.encoding.clone()
    }

    fn wake(&mut self, now: Moment, step: &mut Step) {
        if self.deadline.is_some_and(|deadline| deadline <= now.instant) {
            self.deadline = None;
            step.close(Closing::Idle);
        }
        self.give_up(now, step);
    }

    fn next_wake(&self) -> Option<Instant> {
        let until = self.trail.as_ref().and_then(|trail| trail.until);
        self.deadline.into_iter().chain(until).min()
    }

    fn has_namespaces(&self) -> bool {
        true
    }

    fn claim(&self, frame: &Frame) -> Option<u128> {
        self.claimed(frame)
    }

    fn lose(&mut self, word: &'static str, now: Moment, step: &mut Step) -> bool {
        self.lost(reason(word), now, step)
    }

    fn keep(&mut self, parcel: &Parcel, numbered: bool, step: &mut Step) -> bool {
        self.passes(parcel, numbered, step)
    }

    fn mark(&mut self) {
        if let Some(trail) = &mut self.trail {
            trail.mark();
        }
    }

    fn confirm(&mut self) {
        let Some(trail) = &mut self.trail else { return };
        let spaces = self.spaces.iter_mut().filter(|space| space.state == State::Joined);
        trail.confirm(spaces.filter_map(|space| Some((&*space.scope, space.steps.as_deref_mut()?))));
    }

    fn farewell(&mut self, why: &Closing, _now: Moment, step: &mut Step) {
        // A client that is told so does not come back by itself; one that only loses its link does.
        if let Closing::Kicked { .. } = why {
            for space in self.spaces.iter().filter(|space| space.state == State::Joined) {
                step.send_parcel(self.shared.shape.notice(write::DISCONNECT, &space.scope, None));
            }
        }
        step.send(Frame::Close(Some(why.close())));
    }

    fn parted(&mut self, word: &'static str, each: &mut Parted<'_>) {
        for space in self.spaces.drain(..) {
            let parting = match space.state {
                // Whoever was still at the door has not been here.
                State::Asking(_) | State::Leaving(_) => continue,
                State::Away(_) | State::Returning(_) => Parting::Forgotten,
                State::Joining(_) | State::Joined => Parting::Gone,
            };
            each(space.scope, Some(space.sid), reason(word), parting);
        }
    }
}

/// Why a client's connection ended, in the words of the Node server.
fn reason(word: &'static str) -> &'static str {
    match word {
        "idle" => "ping timeout",
        "kicked" => "server namespace disconnect",
        "going_away" => "server shutting down",
        "violation" => "forced close",
        "slow" | "overloaded" | "expired" | "failed" | "done" => "forced server close",
        "ping timeout" | "transport error" | "parse error" => word,
        _ => "transport close",
    }
}
