//! What of this door the others have to know: its members and its counts.

use std::time::Instant;

use super::wire::{self, RosterMember};
use crate::realtime::hub::Hub;
use crate::realtime::hub::channel::{ChannelEntry, ChannelState};
use crate::realtime::hub::mirror::{counts_field, member_field, member_key, retention_field};
use crate::realtime::vocabulary::{ConnectionId, Member, Occupancy};

impl Hub {
    /// A connection of this door stands behind a member and shows this.
    pub(in crate::realtime::hub) fn share_member(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        member: &Member,
        connection: ConnectionId,
    ) {
        let (Some(cluster), Some(mirror)) = (self.cluster(), &mut state.mirror) else { return };
        let field = member_field(cluster.broker.node(), connection, &member.key);
        mirror.stay(&field);
        if !mirror.has_own(&field) {
            mirror.add_key(&member.key);
        }
        let others_went = mirror.take_over(&member.key, member.unix_ms);
        if mirror.put(field, shown(member, connection).encode()) || others_went {
            cluster.flush(&entry.name);
        }
    }

    /// A connection of this door stands behind it no longer, from `until` on where that is later than this moment (in
    /// milliseconds since the Unix epoch). It may show something
    /// else as it goes. Says whether another connection still may, on whatever door.
    pub(in crate::realtime::hub) fn unshare_member(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        (key, connection): (&str, ConnectionId),
        until: Option<(Instant, u64)>,
        parting: Option<&Member>,
    ) -> bool {
        let (Some(cluster), Some(mirror)) = (self.cluster(), &mut state.mirror) else { return false };
        let field = member_field(cluster.broker.node(), connection, key);
        if !mirror.has_own(&field) {
            return mirror.has_key(key);
        }
        cluster.flush(&entry.name);
        if let Some((until, now_ms)) = until {
            if let Some(member) = state.members.of(key) {
                let away = RosterMember { is_away: true, ..shown(member, connection) };
                mirror.put(field.clone(), away.encode());
            }
            mirror.remove_at(until, now_ms, field);
            return mirror.has_key_beside(key);
        }
        let parting = parting.map(|member| RosterMember { is_parting: true, ..shown(member, connection) }.encode());
        mirror.stay(&field);
        mirror.remove(&field, parting);
        mirror.remove_key(key);
        mirror.has_key(key)
    }

    /// Members of this door whose grace is over are gone for the others too.
    pub(in crate::realtime::hub) fn sweep_shared(&self, entry: &ChannelEntry, state: &mut ChannelState, now: Instant) {
        let (Some(cluster), Some(mirror)) = (self.cluster(), &mut state.mirror) else { return };
        for field in mirror.due(now) {
            let key = member_key(&field).unwrap_or_default().to_owned();
            if mirror.has_own(&field) {
                mirror.remove_key(&key);
            }
            // Its own grace is over; that of another connection, on whatever door, may not be.
            if !mirror.has_key(&key) {
                state.members.end_grace(&key, now);
            }
            mirror.remove(&field, None);
            cluster.flush(&entry.name);
        }
        self.share_retention(entry, state, now);
    }

    /// What is said in a channel is kept by the wish of this door's clients, or no longer.
    pub(in crate::realtime::hub) fn share_retention(
        &self,
        entry: &ChannelEntry,
        state: &mut ChannelState,
        now: Instant,
    ) {
        let Some(cluster) = self.cluster() else { return };
        let age = state.own_wish(now);
        let Some(mirror) = &mut state.mirror else { return };
        let field = retention_field(cluster.broker.node());
        let is_new = match age {
            Some(age) => mirror.put(field, wire::encode_age(age)),
            None => mirror.has_own(&field) && mirror.remove(&field, None),
        };
        if is_new {
            cluster.flush(&entry.name);
        }
    }

    /// As many of this door are in a channel now.
    pub(in crate::realtime::hub) fn share_counts(&self, entry: &ChannelEntry, state: &mut ChannelState) {
        let (Some(cluster), Some(mirror)) = (self.cluster(), &mut state.mirror) else { return };
        let field = counts_field(cluster.broker.node());
        let here = state.count.occupancy(0);
        let is_new = if here == Occupancy::default() {
            mirror.remove(&field, None)
        } else {
            mirror.put(field, wire::encode_counts(&here))
        };
        if is_new {
            cluster.flush(&entry.name);
        }
    }
}

/// A member of this door's as it is told.
fn shown(member: &Member, connection: ConnectionId) -> RosterMember {
    RosterMember { member: member.clone(), connection, is_away: false, is_parting: false }
}
