//! A client becomes a user: `pusher:signin`, the user's own channel, and who of a watchlist is online.
//!
//! That a user is online is presence in a channel of the door's own, with the same grace as any: a page reload is silent.

use std::sync::Arc;

use super::code::Code;
use super::encode::{frame, watchlist};
use super::message::UserData;
use super::{Machine, SIGN_IN, WATCH};
use crate::realtime::dialect::Step;
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::json_writer::quoted;
use crate::realtime::vocabulary::{Command, Identity, Member, Payload, Subscribe, Subscribed, Text};

/// Who has signed in.
pub struct SignedInUser {
    pub id: String,
    pub info: Option<Box<str>>,
    /// As it was signed.
    data: Box<str>,
    watchlist: Vec<String>,
    /// How many of the watchlist are not known yet, and those that are.
    unknown: usize,
    online: Vec<String>,
    offline: Vec<String>,
}

impl Machine {
    pub(super) fn sign_in(&mut self, auth: &str, data: &str, step: &mut Step) {
        let socket_id = self.socket_id();
        let refuse = |step: &mut Step, words| step.close(Code::Unauthorised(Text::from_static(words)).closing());
        if !self.is_signed(auth, &[socket_id.as_bytes(), b"::user::", data.as_bytes()]) {
            return refuse(step, "The signature is not that of this connection and user");
        }
        let Some(user) = UserData::read(data).filter(|user| name::is_user(&user.id)) else {
            return refuse(step, "user_data has no id, or none that can be used");
        };
        let UserData { id, user_info: info, mut watchlist } = user;
        watchlist.retain(|user| name::is_user(user));
        watchlist.sort_unstable();
        watchlist.dedup();
        watchlist.truncate(self.app.settings().max_watchlist);
        let identity =
            Identity { user: self.app.user(&id), info: info.as_ref().map(|info| Payload::Json(info.as_ref().into())) };
        let data = data.into();
        let user = SignedInUser { id, info, data, watchlist, unknown: 0, online: Vec::new(), offline: Vec::new() };
        self.signing_in = Some(Box::new(user));
        step.command(Command::Identify { ticket: SIGN_IN, identity });
    }

    pub(super) fn signed_in(&mut self, step: &mut Step) {
        let Some(mut user) = self.signing_in.take() else { return };
        if let Some(before) = self.user.take() {
            let channel = self.app.watched(&before.id);
            step.command(Command::Leave { ticket: 0, channel, key: before.id.as_str().into(), parting: None });
            for watched in &before.watchlist {
                step.command(Command::Unsubscribe { ticket: 0, channel: self.app.watched(watched) });
            }
        }
        let data = format!("{{\"user_data\":{}}}", quoted(&user.data));
        step.send(frame("pusher:signin_success", None, Some(&quoted(&data)), None));
        let key: Arc<str> = user.id.as_str().into();
        let member = Member::new(key);
        let channel = self.app.watched(&user.id);
        step.command(Command::Authorized(Box::new(Command::Enter { ticket: 0, channel, member })));
        user.unknown = user.watchlist.len();
        for watched in &user.watchlist {
            let wish = Subscribe { ticket: WATCH, notices: true, ..Subscribe::to(self.app.watched(watched)) };
            step.command(Command::Authorized(Box::new(Command::Subscribe(wish))));
        }
        self.user = Some(user);
    }

    /// One more of the watchlist is known: all at once are told when it is the last. `None` where it cannot be watched.
    pub(super) fn watching(&mut self, subscribed: Option<&Subscribed>, step: &mut Step) {
        let Some(user) = self.user.as_mut().filter(|user| user.unknown > 0) else { return };
        user.unknown -= 1;
        if let Some(subscribed) = subscribed
            && let Some(id) = subscribed.channel.reserved_name(&self.app.owner)
        {
            let known = if subscribed.members.is_empty() { &mut user.offline } else { &mut user.online };
            known.push(id.to_owned());
        }
        if user.unknown == 0 {
            let (online, offline) = (std::mem::take(&mut user.online), std::mem::take(&mut user.offline));
            let online: Vec<&str> = online.iter().map(String::as_str).collect();
            let offline: Vec<&str> = offline.iter().map(String::as_str).collect();
            step.send(watchlist(&[("online", &online), ("offline", &offline)]));
        }
    }
}
