//! What comes of what the client wanted, and what the app says to it alone.

use std::sync::Arc;

use bytes::Bytes;

use super::draft::{SCOPE, TO};
use super::encode::{self, OffsetSlot};
use super::namespace::{Namespace, NamespaceState};
use super::packet::BadPacket;
use super::{Machine, Pending, draft, relay, rooms, write};
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::json_writer::quote;
use crate::realtime::vocabulary::{
    Audience, Channel, Command, Draft, Extras, JsonWriter, LeaveKind, Payload, Publish, Ref, Refusal, Subscribe,
};

impl Machine {
    pub(super) fn publish(
        &self,
        ticket: Ref,
        channel: Result<Channel, impl Sized>,
        draft: Draft,
        echo: bool,
        step: &mut Step,
    ) {
        let Ok(channel) = channel else { return };
        let audience = Audience::Channel(channel);
        step.command(Command::Publish(Box::new(Publish { ticket, audience, draft, echo })));
    }

    /// `44{"message":…,"data":…}`.
    pub(super) fn refuse(&self, scope: &str, message: &str, data: Option<&Payload>, step: &mut Step) {
        let mut json = JsonWriter::object(32 + message.len());
        json.text("message", message);
        match data {
            Some(Payload::Json(data)) => json.json("data", data),
            Some(Payload::Text(data)) => json.text("data", data),
            _ => {}
        }
        step.send_encoded(self.shared.encoder.notice(write::CONNECT_ERROR, scope, Some(&json.end())));
    }

    /// Answers a client that waits.
    pub(super) fn acknowledge(&self, scope: &str, id: u64, data: Option<&Payload>, extras: &Extras, step: &mut Step) {
        let mut attachments: Vec<Bytes> = draft::attached(extras);
        if let Some(Payload::Binary(bytes)) = data {
            attachments = vec![bytes.clone()];
        }
        let array = encode::answer(data);
        step.send_encoded(self.shared.encoder.packet(write::ACK, scope, Some(id), &array, attachments));
    }

    /// Answers a client that waits with what went wrong.
    pub(super) fn fail(&self, scope: &str, id: Option<u64>, what: &str, step: &mut Step) {
        let Some(id) = id else { return };
        let mut json = String::from("[{\"error\":");
        quote(&mut json, what);
        json.push_str("}]");
        step.send_encoded(self.shared.encoder.packet(write::ACK, scope, Some(id), &json, Vec::new()));
    }

    /// The client is no longer in `scope`; the connection goes on.
    pub(super) fn leave(&mut self, scope: &str, reason: &'static str, step: &mut Step) -> Result<(), BadPacket> {
        let Some(place) = self.place(scope) else { return Ok(()) };
        let namespace = self.namespaces.remove(place);
        self.unsubscribe(&namespace, step);
        // After what it said before, which may still wait for the app. Of one that is away it was told before.
        let is_away = matches!(namespace.state, NamespaceState::Away(_) | NamespaceState::Returning(_));
        let kind = if is_away { LeaveKind::Expired } else { LeaveKind::Final };
        step.command(Command::Left { scope: namespace.scope, alias: Some(namespace.sid), reason, kind });
        Ok(())
    }

    pub(super) fn unsubscribe(&self, namespace: &Namespace, step: &mut Step) {
        let everyone = rooms::everyone(&namespace.scope).ok();
        for channel in everyone.into_iter().chain(namespace.rooms.iter().cloned()) {
            step.agreed(Command::Unsubscribe { ticket: 0, channel });
        }
    }

    /// The answers to a client's questions have nobody to go to any more.
    pub(super) fn forget_questions(&mut self) {
        self.pending.retain(|(_, what)| !matches!(what, Pending::Acknowledge { .. }));
    }

    pub(super) fn connected(&mut self, ticket: Ref, step: &mut Step) {
        if let Some(place) =
            self.namespaces.iter().position(|namespace| namespace.state == NamespaceState::Returning(ticket))
        {
            return self.returned(place, step);
        }
        let Some(namespace) =
            self.namespaces.iter_mut().find(|namespace| namespace.state == NamespaceState::Asking(ticket))
        else {
            return self.answered_late(ticket, true, step);
        };
        namespace.state = NamespaceState::Joining(ticket);
        if let Ok(channel) = rooms::everyone(&namespace.scope) {
            step.agreed(Command::Subscribe(Subscribe { ticket, ..Subscribe::to(channel) }));
        }
    }

    pub(super) fn subscribed(&mut self, ticket: Ref, channel: &Channel, step: &mut Step) {
        let (scope, room) = rooms::place(channel);
        let Some(place) = self.place(scope) else {
            // It left while that waited.
            step.agreed(Command::Unsubscribe { ticket: 0, channel: channel.clone() });
            return;
        };
        let namespace = &mut self.namespaces[place];
        if namespace.state == NamespaceState::Joining(ticket) && room.is_none() {
            namespace.state = NamespaceState::Joined;
            self.deadline = None;
            self.welcome(place, step);
            return;
        }
        if room.is_some() {
            namespace.entered(channel);
        }
        if let Some(Pending::Join { scope, room, id }) = self.waiting(ticket)
            && let Some(namespace) = self.joined(&scope)
        {
            let draft = relay::notice("user-joined", &namespace.sid, &room);
            self.publish(0, rooms::room(&scope, &room), draft, false, step);
            if let Some(id) = id {
                self.acknowledge(&scope, id, None, &Extras::default(), step);
            }
        }
    }

    pub(super) fn unsubscribed(&mut self, ticket: Ref, channel: &Channel, step: &mut Step) {
        let (scope, room) = rooms::place(channel);
        let Some(place) = self.place(scope) else { return };
        self.namespaces[place].left(channel);
        if room.is_none() && self.namespaces[place].hears() {
            // Nobody is in a namespace without hearing it.
            self.dismiss(&Arc::clone(&self.namespaces[place].scope), step);
        }
        if let Some(Pending::Leave { scope, room, id }) = self.waiting(ticket)
            && let Some(namespace) = self.joined(&scope)
        {
            let draft = relay::notice("user-left", &namespace.sid, &room);
            self.publish(0, rooms::room(&scope, &room), draft, false, step);
            if let Some(id) = id {
                self.acknowledge(&scope, id, None, &Extras::default(), step);
            }
        }
    }

    pub(super) fn dismiss(&mut self, scope: &str, step: &mut Step) {
        match self.place(scope).map(|place| self.namespaces[place].state) {
            Some(NamespaceState::Joined) => {
                step.send_encoded(self.shared.encoder.notice(write::DISCONNECT, scope, None))
            }
            // It waits for an answer.
            Some(NamespaceState::Returning(_)) => self.refuse(scope, "server namespace disconnect", None, step),
            _ => {}
        }
        let _ = self.leave(scope, "server namespace disconnect", step);
    }

    pub(super) fn refused(&mut self, ticket: Ref, refusal: &Refusal, step: &mut Step) {
        let is_it = |namespace: &Namespace| matches!(namespace.state, NamespaceState::Asking(known) | NamespaceState::Joining(known) | NamespaceState::Returning(known) if known == ticket);
        if ticket != 0
            && let Some(place) = self.namespaces.iter().position(is_it)
        {
            if let NamespaceState::Returning(_) = self.namespaces[place].state {
                let scope = Arc::clone(&self.namespaces[place].scope);
                self.forget(place, step);
                let data = if let Refusal::App { data, .. } = refusal { data.as_ref() } else { None };
                return self.refuse(&scope, &refusal.to_string(), data, step);
            }
            let namespace = self.namespaces.remove(place);
            let data = if let Refusal::App { data, .. } = refusal { data.as_ref() } else { None };
            self.refuse(&namespace.scope, &refusal.to_string(), data, step);
            if let NamespaceState::Joining(_) = namespace.state {
                let reason = "server namespace disconnect";
                let (scope, alias) = (namespace.scope, Some(namespace.sid));
                step.command(Command::Left { scope, alias, reason, kind: LeaveKind::Final });
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
    pub(super) fn direct(&mut self, draft: &Draft, step: &mut Step) {
        let text = |key| draft.extras.of(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let namespace = match text(SCOPE) {
            Some(scope) => self.namespaces.iter().find(|namespace| &*namespace.scope == scope && namespace.hears()),
            None => {
                let mut hearing = self.namespaces.iter().filter(|namespace| namespace.hears());
                hearing.clone().find(|namespace| &*namespace.scope == rooms::ROOT).or_else(|| hearing.next())
            }
        };
        let is_meant = |namespace: &&Namespace| text(TO).is_none_or(|to| to.contains(&*namespace.sid));
        let is_here = |namespace: &&Namespace| namespace.state == NamespaceState::Joined || encode::is_kept(draft);
        let Some(namespace) = namespace.filter(is_meant).filter(is_here) else {
            if let Some(asks) = draft.asks {
                step.agreed(Command::Answer { asks, alias: None, data: None, extras: Extras::default() });
            }
            return;
        };
        let is_joined = namespace.state == NamespaceState::Joined;
        let Some(replay) = self.replay.as_mut().filter(|_| encode::is_kept(draft)) else {
            if let Some(encoded) = self.shared.encoder.event(&namespace.scope, draft, OffsetSlot::Nowhere) {
                step.send_encoded(encoded);
            }
            return;
        };
        let offset = replay.offset();
        if let Some(encoded) = self.shared.encoder.event(&namespace.scope, draft, OffsetSlot::At(&offset)) {
            replay.push(&encoded);
            if is_joined {
                step.send_encoded(encoded);
            }
        }
    }
}
