//! Connection state recovery: a client that lost its link comes back by another one, with the `pid` that it was given
//! and the offset of the last event that it has, to its id, its rooms and what it missed.
//!
//! Its app hears `disconnect` when the link is lost, and is asked to let it in again when it is back.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use serde::Deserialize;

use super::Machine;
use super::config::RecoveryMode;
use super::namespace::{Namespace, NamespaceState};
use super::packet::{BadPacket, Packet, PacketKind};
use super::replay::{self, ReplayBuffer, ReplayLimits};
use super::sid::Pid;
use super::{msgpack, write};
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::{
    Command, DisconnectReason, EncodedFrames, Extras, Frame, LeaveKind, Moment, Payload, Ref, Text,
};
use crate::shares::{Holder, Owners};
use crate::telemetry::{Registry, labelled};

/// What all clients of all endpoints count.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    recovered: Counter,
    missed: Counter,
    failed: Counter,
    expired: Counter,
    held: Gauge,
    owners: Arc<Owners>,
}

impl Metrics {
    pub fn new(registry: &mut Registry) -> Metrics {
        let registry = registry.sub_registry_with_prefix("realtime_socketio");
        let help = "Clients that lost their link: came back to what they had, came back for what is not known, did not come back in time";
        let outcomes = ["recovered", "unknown", "expired"];
        let [recovered, failed, expired] = labelled(registry, "recoveries", help, "outcome", outcomes);
        let metrics = Metrics { recovered, failed, expired, ..Metrics::default() };
        registry.register(
            "recovered_events",
            "Events that they had missed, told to clients that came back",
            metrics.missed.clone(),
        );
        let held = "Memory for events that clients may have missed, in bytes";
        registry.register("recovery_bytes", held, metrics.held.clone());
        metrics
    }

    /// What is kept for all clients that may have missed it, in bytes.
    pub fn held(&self) -> &Gauge {
        &self.held
    }

    /// How much of that for each client address.
    pub fn owners(&self) -> Arc<Owners> {
        Arc::clone(&self.owners)
    }
}

/// What a client that had a connection before says of it, besides what the page says in `auth`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Claim {
    #[serde(deserialize_with = "text")]
    pid: Option<String>,
    #[serde(deserialize_with = "text")]
    pub offset: Option<String>,
}

/// A text; anything else is as good as one that nobody knows, and `null` as none.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        _ => Some("?".to_owned()),
    })
}

impl Claim {
    pub fn read(body: &str) -> Claim {
        crate::json::from_str(body).unwrap_or_default()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::parse(self.pid.as_deref()?)
    }
}

impl Machine {
    /// Its clients may come back, where the config says so: then the session has a berth with this key. What is kept for
    /// them is `holder`'s.
    pub fn recoverable(&mut self, holder: Holder) -> Option<u128> {
        let config = &self.shared.config;
        if config.recovery == RecoveryMode::Off {
            return None;
        }
        let key = Pid::key();
        let bounds = ReplayLimits {
            events: config.recovery_messages,
            bytes: config.recovery_bytes.bytes(),
            held: self.shared.metrics.held.clone(),
            owned: self.shared.metrics.owners.held(holder),
            total: config.recovery_bytes_total.bytes(),
        };
        let replay = ReplayBuffer::new(key, config.parser, bounds);
        self.replay = Some(Box::new(replay));
        Some(key)
    }

    /// See [`crate::realtime::dialect::Dialect::claim`].
    pub(super) fn claimed(&self, frame: &Frame) -> Option<Pid> {
        let replay = self.replay.as_ref().filter(|_| self.namespaces.is_empty() && self.assembly.is_none())?;
        self.claim(frame).map(|(_, pid)| pid).filter(|pid| pid.key != replay.key)
    }

    /// The namespace that a client asks for with this frame, and as whom of an earlier connection.
    fn claim(&self, frame: &Frame) -> Option<(Text, Pid)> {
        let (scope, body) = match frame {
            Frame::Text(text) => {
                let packet = Packet::read(&text.slice(1..text.len())?, 0).ok()?;
                (packet.kind == PacketKind::Connect).then_some((packet.scope, packet.body))?
            }
            Frame::Binary(bytes) => {
                let packet = msgpack::read(bytes, self.shared.config.max_nesting + 1, 0).ok()?;
                (packet.kind == write::CONNECT).then_some((packet.scope, packet.data?))?
            }
            _ => return None,
        };
        if super::packet::is_deeper(&body, self.shared.config.max_nesting) {
            return None;
        }
        Claim::read(&body).pid().map(|pid| (scope, pid))
    }

    /// See [`crate::realtime::dialect::Resumable::is_resumed_by`]. Who has left its namespace has nothing there to come
    /// back to, whatever else goes on over its connection.
    pub(super) fn has_claimed(&self, frame: &Frame) -> bool {
        let Some((scope, pid)) = self.claim(frame) else { return false };
        let is_it = |namespace: &Namespace| {
            *namespace.scope == *scope && namespace.cursor.as_ref().is_some_and(|cursor| cursor.number == pid.number)
        };
        self.replay.as_ref().is_some_and(|replay| replay.key == pid.key) && self.namespaces.iter().any(is_it)
    }

    /// A client of a namespace that is away has come back, or another one in its place.
    pub(super) fn come_back(&mut self, place: usize, packet: &Packet, step: &mut Step) -> Result<(), BadPacket> {
        self.check_connect(packet)?;
        let claim = Claim::read(&packet.body);
        let ticket = self.ticket();
        let namespace = &mut self.namespaces[place];
        let is_known = match (&self.replay, &mut namespace.cursor, claim.pid()) {
            (Some(replay), Some(cursor), Some(pid)) if (pid.key, pid.number) == (replay.key, cursor.number) => {
                cursor.offset = claim.offset.map(Into::into);
                replay.since(&namespace.scope, cursor).is_some()
            }
            _ => false,
        };
        if !is_known {
            self.shared.metrics.failed.inc();
            self.forget(place, step);
            return self.connect(packet, step);
        }
        namespace.state = NamespaceState::Returning(ticket);
        let (scope, alias) = (Arc::clone(&namespace.scope), Some(Arc::clone(&namespace.sid)));
        let credentials = Some(Payload::Json(packet.body.clone()));
        step.command(Command::Connect { ticket, scope, alias, credentials, recovered: true });
        Ok(())
    }

    /// It may be back: it is told what it missed.
    pub(super) fn returned(&mut self, place: usize, step: &mut Step) {
        let namespace = &mut self.namespaces[place];
        let (Some(replay), Some(cursor)) = (&self.replay, &mut namespace.cursor) else { return };
        let missed = replay.since(&namespace.scope, cursor).map(|missed| missed.cloned().collect::<Vec<_>>());
        let Some(missed) = missed else {
            // Too much came while the app was asked. It comes once more, and begins anew.
            self.shared.metrics.failed.inc();
            self.forget(place, step);
            step.close(DisconnectReason::Slow);
            return;
        };
        cursor.offset = None;
        namespace.state = NamespaceState::Joined;
        self.shared.metrics.recovered.inc();
        self.shared.metrics.missed.inc_by(missed.len() as u64);
        // Before what it missed: else a client that loses this link too keeps that, and gets it twice.
        self.welcome(place, step);
        missed.into_iter().for_each(|encoded| step.send_encoded(encoded));
    }

    /// `40{"sid":…,"pid":…}`.
    pub(super) fn welcome(&self, place: usize, step: &mut Step) {
        let namespace = &self.namespaces[place];
        let mut json = format!("{{\"sid\":\"{}\"", namespace.sid);
        if let (Some(replay), Some(cursor)) = (&self.replay, &namespace.cursor) {
            let pid = Pid { key: replay.key, number: cursor.number, home: self.shared.home };
            json.push_str(&format!(",\"pid\":\"{pid}\""));
        }
        json.push('}');
        step.send_encoded(self.shared.encoder.notice(write::CONNECT, &namespace.scope, Some(&json)));
    }

    /// A client that was away is waited for no more.
    pub(super) fn forget(&mut self, place: usize, step: &mut Step) {
        let namespace = self.namespaces.remove(place);
        self.unsubscribe(&namespace, step);
        let kind = LeaveKind::Expired;
        step.command(Command::Left { scope: namespace.scope, alias: Some(namespace.sid), reason: "", kind });
    }

    /// The app has answered for one whose link was lost while it was asked.
    pub(super) fn answered_late(&mut self, ticket: Ref, allows: bool, step: &mut Step) {
        let is_it =
            |state| matches!(state, NamespaceState::Away(known) | NamespaceState::Leaving(known) if known == ticket);
        let Some(place) = self.namespaces.iter().position(|namespace| ticket != 0 && is_it(namespace.state)) else {
            return;
        };
        let namespace = &mut self.namespaces[place];
        let (scope, alias, reason) =
            (Arc::clone(&namespace.scope), Some(Arc::clone(&namespace.sid)), "transport close");
        match (namespace.state, allows) {
            (NamespaceState::Away(_), true) => {
                namespace.state = NamespaceState::Away(0);
                step.command(Command::Left { scope, alias, reason, kind: LeaveKind::Detached });
            }
            (NamespaceState::Away(_), false) => self.forget(place, step),
            (_, allows) => {
                self.namespaces.remove(place);
                if allows {
                    step.command(Command::Left { scope, alias, reason, kind: LeaveKind::Final });
                }
            }
        }
    }

    /// See [`crate::realtime::dialect::Dialect::lose`].
    pub(super) fn lost(&mut self, reason: &'static str, now: Moment, step: &mut Step) -> bool {
        let RecoveryMode::Within(within) = self.shared.config.recovery else { return false };
        let is_in = self
            .namespaces
            .iter()
            .any(|namespace| matches!(namespace.state, NamespaceState::Joined | NamespaceState::Returning(_)));
        let Some(replay) = self.replay.as_mut().filter(|_| is_in && reason != "parse error") else { return false };
        replay.until = Some(now.instant + within.max(Duration::from_millis(1)));
        replay.unmark();
        self.deadline = None;
        self.assembly = None;
        self.forget_questions();
        for namespace in &mut self.namespaces {
            match namespace.state {
                NamespaceState::Joined => {
                    namespace.state = NamespaceState::Away(0);
                    let (scope, alias) = (Arc::clone(&namespace.scope), Some(Arc::clone(&namespace.sid)));
                    // After what it said before, which may still wait for the app.
                    step.command(Command::Left { scope, alias, reason, kind: LeaveKind::Detached });
                }
                NamespaceState::Returning(ticket) => namespace.state = NamespaceState::Away(ticket),
                NamespaceState::Asking(ticket) | NamespaceState::Joining(ticket) => {
                    namespace.state = NamespaceState::Leaving(ticket)
                }
                NamespaceState::Away(_) | NamespaceState::Leaving(_) => {}
            }
        }
        true
    }

    /// Those that have not come back by now are waited for no more.
    pub(super) fn give_up(&mut self, now: Moment, step: &mut Step) {
        let Some(replay) = self.replay.as_mut().filter(|replay| replay.until.is_some_and(|until| until <= now.instant))
        else {
            return;
        };
        replay.until = None;
        while let Some(place) =
            self.namespaces.iter().position(|namespace| matches!(namespace.state, NamespaceState::Away(_)))
        {
            self.shared.metrics.expired.inc();
            self.forget(place, step);
        }
        if self.namespaces.is_empty() {
            step.close(DisconnectReason::Done);
        }
    }

    /// See [`crate::realtime::dialect::Dialect::keep`].
    pub(super) fn passes(&mut self, encoded: &EncodedFrames, numbered: bool, step: &mut Step) -> bool {
        let Some(replay) = &mut self.replay else { return true };
        if numbered {
            replay.push(encoded);
        }
        if self.namespaces.iter().all(|namespace| namespace.state == NamespaceState::Joined) {
            return true;
        }
        let is_here = |namespace: &Namespace| {
            namespace.state == NamespaceState::Joined && replay.is_of(encoded, &namespace.scope)
        };
        let passes = self.namespaces.iter().any(is_here);
        if let (false, Some(asks)) = (passes, replay::question(encoded)) {
            // Whoever asks need not wait for one that is away.
            step.agreed(Command::Answer { asks, alias: None, data: None, extras: Extras::default() });
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::OffsetSlot;
    use super::super::tests::Client;
    use super::*;
    use crate::realtime::dialect::{Dialect, Resumable};
    use crate::realtime::socketio::machine::{Emit, event};
    use crate::realtime::vocabulary::{ConnectionId, Draft, Event, Refusal};
    use crate::settings::Pattern;

    fn client() -> Client {
        let mut client = Client::new(true, |config| config.recovery = RecoveryMode::Within(Duration::from_secs(60)));
        client.text("40");
        client
    }

    fn pid(client: &Client) -> String {
        let number = client.machine.namespaces[0].cursor.as_ref().unwrap().number;
        Pid { key: client.machine.replay.as_ref().unwrap().key, number, home: None }.to_string()
    }

    fn lose(client: &mut Client) -> (bool, Vec<String>) {
        let mut step = Step::default();
        let stays = client.machine.link_lost("transport close", client.now, &mut step);
        client.perform(step);
        (stays, std::mem::take(&mut client.lines))
    }

    /// To it alone.
    fn whisper(client: &mut Client, name: &str) -> Vec<String> {
        let draft = Emit { scope: "/", to: &[], except: &[], but: None }.whisper(event(name, "[]").unwrap());
        client.told(&Event::Direct(Arc::new(draft)))
    }

    /// To all of its namespace.
    fn broadcast(client: &mut Client, name: &str, offset: &str) -> bool {
        broadcast_to(client, "/", name, offset)
    }

    fn broadcast_to(client: &mut Client, scope: &str, name: &str, offset: &str) -> bool {
        let draft = Draft { name: Some(name.into()), ..Draft::new(Payload::Json("1".into())) };
        let encoded = client.machine.shared.encoder.event(scope, &draft, OffsetSlot::At(&offset)).unwrap();
        client.machine.record(&encoded, true, &mut Step::default())
    }

    /// In `/`, and in `/chat` as far as the app has answered.
    fn client_of_two(is_asking: bool) -> Client {
        let mut client = Client::new(true, |config| {
            config.recovery = RecoveryMode::Within(Duration::from_secs(60));
            config.namespaces = vec![Pattern::new("/"), Pattern::new("/chat")];
        });
        client.text("40");
        client.is_asking = is_asking;
        client.text("40/chat,");
        client
    }

    /// What the app is asked about the client's last namespace.
    fn ticket(client: &Client) -> Ref {
        match client.machine.namespaces.last().unwrap().state {
            NamespaceState::Away(ticket) | NamespaceState::Leaving(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn allowed(ticket: Ref) -> Event {
        Event::Connected { ticket, connection: ConnectionId(7), identity: None, data: None }
    }

    fn forbidden(ticket: Ref) -> Event {
        Event::Refused { ticket, channel: None, refusal: Refusal::Forbidden }
    }

    #[test]
    fn a_client_comes_back_to_what_it_missed() {
        let mut client = client();
        let pid = pid(&client);
        assert_eq!(whisper(&mut client, "a"), ["< 42[\"a\",\"1\"]"]);
        assert!(broadcast(&mut client, "b", "f-1"));
        assert_eq!(lose(&mut client), (true, vec!["depart /: transport close".to_owned()]));
        assert_eq!(whisper(&mut client, "c"), Vec::<String>::new());
        assert!(!broadcast(&mut client, "d", "f-2"));
        let back = client.text(&format!("40{{\"pid\":\"{pid}\",\"offset\":\"1\"}}"));
        let asked = format!("connect / {{\"pid\":\"{pid}\",\"offset\":\"1\"}}");
        let welcome = format!("< 40{{\"sid\":\"SID\",\"pid\":\"{pid}\"}}");
        let missed = ["< 42[\"b\",1,\"f-1\"]", "< 42[\"c\",\"2\"]", "< 42[\"d\",1,\"f-2\"]"].map(str::to_owned);
        assert_eq!(back, [vec![asked, welcome], missed.to_vec()].concat());
        assert!(broadcast(&mut client, "e", "f-3"));
    }

    #[test]
    fn whoever_does_not_come_back_is_forgotten() {
        let mut client = client();
        lose(&mut client);
        let until = client.now + Duration::from_secs(60);
        assert_eq!(client.machine.next_wake(), Some(until.instant));
        let mut step = Step::default();
        client.machine.wake(until, &mut step);
        client.perform(step);
        assert_eq!(client.lines, ["unsubscribe /", "depart /: ", "close done"]);
    }

    #[test]
    fn the_app_may_refuse_who_comes_back() {
        let mut client = client();
        let pid = pid(&client);
        lose(&mut client);
        client.refusal = Some(Refusal::Forbidden);
        let said = client.text(&format!("40{{\"pid\":\"{pid}\"}}"));
        assert_eq!(said[1..], ["unsubscribe /", "depart /: ", "< 44{\"message\":\"not allowed\"}"]);
    }

    #[test]
    fn who_comes_with_anything_else_begins_anew() {
        let pids = |client: &Client| [pid(client), String::new(), Pid { key: 1, number: 1, home: None }.to_string()];
        for which in 0..3 {
            let mut client = client();
            let (sid, old) = (client.machine.sids(), pid(&client));
            let pid = &pids(&client)[which];
            lose(&mut client);
            let said = client.text(&format!("40{{\"pid\":\"{pid}\",\"offset\":\"forged\"}}"));
            assert_eq!(said[..2], ["unsubscribe /", "depart /: "]);
            assert_ne!(client.machine.sids(), sid);
            assert_ne!(super::tests::pid(&client), old);
        }
    }

    #[test]
    fn an_answer_that_comes_after_the_link_is_lost_counts() {
        for (event, expected) in
            [(allowed as fn(Ref) -> Event, vec!["depart /chat: transport close"]), (forbidden, vec![])]
        {
            let mut client = client_of_two(true);
            assert_eq!(lose(&mut client), (true, vec!["depart /: transport close".to_owned()]));
            let ticket = ticket(&client);
            // Of something else that it asked, and of what it asked for no answer to.
            for other in [ticket + 1, 0] {
                assert_eq!(client.told(&forbidden(other)), Vec::<String>::new());
                assert_eq!(client.machine.namespaces.len(), 2);
            }
            assert_eq!(client.told(&event(ticket)), expected);
            assert_eq!(client.machine.namespaces.len(), 1, "it is not in there, and nobody comes back to it");
        }
    }

    #[test]
    fn so_does_the_answer_about_one_that_came_back_and_went_again() {
        for allows in [true, false] {
            let mut client = client();
            let pid = pid(&client);
            lose(&mut client);
            client.is_asking = true;
            let claim = format!("40{{\"pid\":\"{pid}\"}}");
            assert_eq!(client.text(&claim).len(), 1);
            assert_eq!(lose(&mut client), (true, Vec::new()), "its app has not heard of it");
            let ticket = ticket(&client);
            client.is_asking = false;
            if allows {
                assert_eq!(client.told(&allowed(ticket)), ["depart /: transport close"]);
                assert_eq!(client.text(&claim)[1..], [format!("< 40{{\"sid\":\"SID\",\"pid\":\"{pid}\"}}")]);
            } else {
                assert_eq!(client.told(&forbidden(ticket)), ["unsubscribe /", "depart /: "]);
                assert!(client.machine.namespaces.is_empty());
            }
        }
    }

    #[test]
    fn what_is_for_one_that_is_away_does_not_come_by_anothers_link() {
        let mut client = client_of_two(false);
        let pid = pid(&client);
        lose(&mut client);
        client.text(&format!("40{{\"pid\":\"{pid}\"}}"));
        assert!(broadcast(&mut client, "here", "f-1"));
        assert!(!broadcast_to(&mut client, "/chat", "kept", "f-2"), "told when it is back, and once");
    }

    #[test]
    fn who_does_not_keep_to_the_protocol_is_not_waited_for() {
        let mut client = client();
        assert!(!client.machine.link_lost("parse error", client.now, &mut Step::default()));
        assert!(lose(&mut client).0);
    }

    #[test]
    fn nothing_is_left_of_who_said_goodbye() {
        let mut client = client();
        client.text("41");
        assert_eq!(lose(&mut client), (false, Vec::new()));
        assert!(
            !Client::joined(true, |_| {}).machine.link_lost("transport close", Moment::now(), &mut Step::default()),
            "off"
        );
    }

    #[test]
    fn only_first_words_claim_a_berth() {
        let mut client = Client::new(true, |config| config.recovery = RecoveryMode::Within(Duration::from_secs(60)));
        let stranger = Pid { key: 7, number: 1, home: None };
        let frame = Frame::text(format!("40{{\"pid\":\"{stranger}\"}}"));
        assert_eq!(client.machine.resume_key(&frame), Some(7));
        for other in ["40", "40{}", "42[\"pid\"]", "40{\"pid\":7}", "40{\"pid\":\"x\"}", "", "4", "é"] {
            assert_eq!(client.machine.resume_key(&Frame::text(other)), None, "{other}");
        }
        client.text("40");
        assert_eq!(client.machine.resume_key(&frame), None);
    }

    #[test]
    fn frames_of_msgpack_claim_one_too_and_nested_ones_none() {
        let client = Client::new(true, |config| {
            config.recovery = RecoveryMode::Within(Duration::from_secs(60));
            config.max_nesting = 3;
        });
        let pid = Pid { key: 7, number: 1, home: None };
        let claim = |more: &str| format!("{{\"pid\":\"{pid}\",\"more\":{more}}}");
        let packed = |kind: u8, body: &str| Frame::Binary(msgpack::packet(kind, "/", None, body, &[]));
        let text = |body: &str| Frame::text(format!("40{body}"));
        for (frame, key) in [
            (packed(write::CONNECT, &claim("[[]]")), Some(7)),
            (packed(write::EVENT, &claim("[[]]")), None),
            (packed(write::CONNECT, &claim("[[[[[]]]]]")), None),
            (text(&claim("[[]]")), Some(7)),
            (text(&claim("[[[[[]]]]]")), None),
        ] {
            assert_eq!(client.machine.resume_key(&frame), key, "{frame:?}");
        }
    }

    #[test]
    fn a_session_is_resumed_by_its_own_number_in_its_own_namespace() {
        let mut client = client();
        let key = client.machine.replay.as_ref().unwrap().key;
        let number = client.machine.namespaces[0].cursor.as_ref().unwrap().number;
        let frame = |scope: &str, key: u128, number: u32| {
            Frame::text(format!("40{scope}{{\"pid\":\"{}\"}}", Pid { key, number, home: None }))
        };
        assert!(client.machine.is_resumed_by(&frame("", key, number)));
        for other in [
            frame("", key, number + 1),
            frame("", key ^ 1, number),
            frame("/chat,", key, number),
            Frame::text("40"),
            Frame::text("42[\"e\"]"),
        ] {
            assert!(!client.machine.is_resumed_by(&other), "{other:?}");
        }
        client.text("41");
        assert!(!client.machine.is_resumed_by(&frame("", key, number)), "it has left");
    }

    #[test]
    fn volatile_events_end_with_no_text() {
        let client = client();
        let encoder = client.machine.shared.encoder;
        for (args, end) in [("[]", "[\"e\",null]"), ("[\"a\"]", "[\"e\",\"a\",null]"), ("[1]", "[\"e\",1]")] {
            let draft = event("e", args).unwrap();
            let encoded = encoder.event("/", &draft, OffsetSlot::Nowhere).unwrap();
            assert_eq!(encoded.frames(), [Frame::text(format!("42{end}"))]);
        }
    }
}
