//! What the client says: packets, and what they want done.

use bytes::Bytes;

use super::config::Parser;
use super::namespace::{Namespace, NamespaceState};
use super::packet::{Args, BadPacket, Packet, PacketKind};
use super::recovery::Claim;
use super::relay::{self, RelayTask};
use super::{Machine, Pending, draft, msgpack, rooms, sid};
use crate::realtime::dialect::Step;
use crate::realtime::vocabulary::{Command, Moment, Payload, Rpc, Subscribe, Text};
use std::sync::Arc;

impl Machine {
    pub(super) fn text(&mut self, text: &Text, now: Moment, step: &mut Step) -> Result<(), BadPacket> {
        if self.shared.config.parser == Parser::Msgpack {
            return Err(BadPacket::Msgpack);
        }
        if self.assembly.is_some() {
            return Err(BadPacket::Attachments);
        }
        let text = text.strip_prefix('4').and_then(|_| text.slice(1..text.len())).ok_or(BadPacket::PacketKind)?;
        let packet = Packet::read(&text, self.shared.config.max_attachments)?;
        if packet.attachments > 0 {
            self.assembly = Some(Box::new((packet, Vec::new())));
            return Ok(());
        }
        self.packet(packet, Vec::new(), now, step)
    }

    pub(super) fn binary(&mut self, bytes: Bytes, now: Moment, step: &mut Step) -> Result<(), BadPacket> {
        let config = &self.shared.config;
        if config.parser == Parser::Msgpack {
            let decoded = msgpack::read(&bytes, config.max_nesting + 1, config.max_attachments)?;
            let kinds = [
                PacketKind::Connect,
                PacketKind::Disconnect,
                PacketKind::Event,
                PacketKind::Ack,
                PacketKind::ConnectError,
            ];
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
            PacketKind::Connect => match self.place(&packet.scope) {
                None => self.connect(&packet, step),
                Some(place) if matches!(self.namespaces[place].state, NamespaceState::Away(_)) => {
                    self.come_back(place, &packet, step)
                }
                Some(_) => Err(BadPacket::NamespaceState),
            },
            PacketKind::Disconnect if joined => self.leave(&packet.scope, "client namespace disconnect", step),
            PacketKind::Event if joined => {
                let args = Args::read(packet.body, attachments, &self.shared.config)?;
                self.event(&packet.scope, packet.id, &args, now, step)
            }
            PacketKind::Ack if joined => {
                let args = Args::read(packet.body, attachments, &self.shared.config)?;
                if let Some(asks) = packet.id {
                    let extras = draft::attachments(&args.attachments);
                    let alias = self.joined(&packet.scope).map(|namespace| Arc::clone(&namespace.sid));
                    let data = Some(Payload::Json(args.array(0)));
                    // The app may ask while it thinks about an event of this very client.
                    step.agreed(Command::Answer { asks, alias, data, extras });
                }
                Ok(())
            }
            _ => Err(BadPacket::NamespaceState),
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
        if self.namespaces.len() >= config.max_namespaces {
            self.refuse(scope, "too many namespaces", None, step);
            return Ok(());
        }
        let ticket = self.ticket();
        let mut namespace = Namespace::new(self.shared.scope(scope), sid::sid(self.connection), ticket);
        if let Some(replay) = &mut self.replay {
            namespace.cursor = Some(replay.begin(Claim::read(&packet.body).offset.as_deref()));
        }
        let credentials = (!packet.body.is_empty()).then(|| Payload::Json(packet.body.clone()));
        let (scope, alias) = (Arc::clone(&namespace.scope), Some(Arc::clone(&namespace.sid)));
        self.namespaces.reserve_exact(usize::from(self.namespaces.is_empty()));
        self.namespaces.push(namespace);
        step.command(Command::Connect { ticket, scope, alias, credentials, recovered: false });
        Ok(())
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
        let Some(namespace) = self.joined(scope) else { return Ok(()) };
        let (scope, sid) = (Arc::clone(&namespace.scope), Arc::clone(&namespace.sid));
        if self.asked {
            let extras = draft::attachments(&args.attachments);
            let data = Payload::Json(args.array(1));
            let ticket = id.map_or(0, |id| self.wait(Pending::Acknowledge { scope: Arc::clone(&scope), id }));
            let call = Rpc { ticket, scope, alias: Some(sid), name, data, extras, answer: id.is_some() };
            step.command(Command::Rpc(Box::new(call)));
            return Ok(());
        }
        let Some(task) = relay::task(&self.shared.config.relay, &name) else { return Ok(()) };
        if task == RelayTask::Say {
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
        if task == RelayTask::Leave {
            let ticket = self.wait(Pending::Leave { scope, room, id });
            step.command(Command::Unsubscribe { ticket, channel });
            return Ok(());
        }
        let has_room =
            self.joined(&scope).is_some_and(|namespace| namespace.rooms.len() < self.shared.config.max_rooms);
        if !has_room {
            self.fail(&scope, id, "too many rooms", step);
            return Ok(());
        }
        let ticket = self.wait(Pending::Join { scope, room, id });
        step.command(Command::Subscribe(Subscribe { ticket, ..Subscribe::to(channel) }));
        Ok(())
    }
}

/// Whether all of it is JSON.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
