//! Into channels and out of them: names, signatures, members.

use std::sync::Arc;

use super::code::{error, subscription_error};
use super::encode::{frame, members};
use super::events::PusherEvent;
use super::message::{self, Membership};
use super::{Machine, SUBSCRIBE};
use crate::realtime::dialect::Step;
use crate::realtime::pusher::name::{self, ChannelAccess, ChannelKind};
use crate::realtime::vocabulary::json_writer::quoted;
use crate::realtime::vocabulary::{
    Channel, Command, Member, Payload, Recovery, Refusal, Since, Subscribe, Subscribed, users,
};

/// A channel that the client is in, or has asked to be in.
pub struct Subscription {
    pub channel: Channel,
    /// Who it is there, in a presence channel.
    pub user: Option<Arc<str>>,
    /// The app put the client here, which has not asked yet: when it does, that is no second subscription.
    pub by_app: bool,
}

/// Why a subscription is refused: a type, a status as HTTP has them, and words for the client.
struct No(&'static str, u16, &'static str);

const UNAUTHORISED: &str = "AuthError";

impl Machine {
    pub(super) fn find(&self, channel: &str) -> Result<usize, usize> {
        self.subscriptions.binary_search_by(|known| known.channel.as_str().cmp(channel))
    }

    pub(super) fn subscribe(&mut self, wish: &message::SubscribeRequest, step: &mut Step) {
        let Some(channel) = self.app.channel(&wish.channel) else {
            // Said back so that the client knows which, but not without end.
            let said: String = wish.channel.chars().take(5 * name::MAX_NAME_LEN).collect();
            step.send(subscription_error(&said, "InvalidChannel", 400, "The channel's name is not valid."));
            return;
        };
        let found = self.find(channel.as_str());
        if found.is_ok_and(|place| !self.subscriptions[place].by_app) {
            let message = format!("Existing subscription to channel {}", wish.channel);
            step.send(error(None, &message, Some(&wish.channel)));
            return;
        }
        let kind = ChannelKind::of(&wish.channel);
        let member = match self.admit(kind.access, wish) {
            Ok(member) => member,
            Err(No(kind, status, words)) => {
                step.send(subscription_error(&wish.channel, kind, status, words));
                return;
            }
        };
        let user = member.as_ref().map(|member| Arc::clone(&member.key));
        let subscription = Subscription { channel: channel.clone(), user, by_app: false };
        match found {
            Ok(place) => {
                self.subscriptions[place] = subscription;
                step.command(Command::Unsubscribe { ticket: 0, channel: channel.clone() });
            }
            Err(place) => {
                self.subscriptions.reserve_exact(usize::from(self.subscriptions.is_empty()));
                self.subscriptions.insert(place, subscription);
            }
        }
        let command = Command::Subscribe(Subscribe {
            ticket: SUBSCRIBE,
            since: if kind.is_cache { Since::Last(1) } else { Since::Now },
            notices: member.is_some(),
            publishes: kind.access != ChannelAccess::Public,
            member,
            ..Subscribe::to(channel)
        });
        step.command(match kind.access {
            ChannelAccess::Public => command,
            _ => Command::Authorized(Box::new(command)),
        });
    }

    /// Checks what the client shows; in a presence channel it says who it is.
    fn admit(&self, access: ChannelAccess, wish: &message::SubscribeRequest) -> Result<Option<Member>, No> {
        match access {
            ChannelAccess::Public => return Ok(None),
            ChannelAccess::SignedInUser => {
                let user = self.user.as_ref().map(|user| user.id.as_str());
                if user == name::user(&wish.channel) {
                    return Ok(None);
                }
                return Err(No(UNAUTHORISED, 401, "Only the user of this channel who has signed in may hear it."));
            }
            ChannelAccess::Private | ChannelAccess::Encrypted | ChannelAccess::Presence => {}
        }
        let data = wish.channel_data.as_deref();
        let socket_id = self.socket_id();
        let signed: [&[u8]; 5] = [
            socket_id.as_bytes(),
            b":",
            wish.channel.as_bytes(),
            if data.is_some() { b":" } else { b"" },
            data.unwrap_or_default().as_bytes(),
        ];
        self.check_auth(wish.auth.as_deref().unwrap_or_default(), &signed)?;
        if access != ChannelAccess::Presence {
            return Ok(None);
        }
        let (id, info) = match (data, &self.user) {
            (Some(data), _) => {
                let membership = Membership::read(data).ok_or(No(UNAUTHORISED, 401, "channel_data has no user_id."))?;
                (membership.user_id, membership.user_info)
            }
            (None, Some(user)) => (user.id.clone(), user.info.clone()),
            (None, None) => return Err(No(UNAUTHORISED, 401, "A presence channel needs channel_data.")),
        };
        let most = self.app.settings().max_member.bytes();
        if !name::is_user(&id) || info.as_ref().is_some_and(|info| info.len() > most) {
            return Err(No("LimitReached", 413, "The user's id or info is too long."));
        }
        let info = info.map(|info| Payload::Json(info.as_ref().into()));
        Ok(Some(Member { info, ..Member::new(id) }))
    }

    fn check_auth(&self, auth: &str, signed: &[&[u8]]) -> Result<(), No> {
        let malformed = No(UNAUTHORISED, 401, "auth must be KEY:SIGNATURE.");
        let (id, signature) = auth.split_once(':').ok_or(malformed)?;
        let settings = self.app.settings();
        let key = settings.keys.iter().find(|key| key.id() == id);
        let key = key.ok_or(No(UNAUTHORISED, 401, "The key in auth is none of this app's."))?;
        if key.verify(signed, signature) {
            return Ok(());
        }
        Err(No(UNAUTHORISED, 401, "The signature is not that of this connection and channel."))
    }

    /// Whether `auth` is the app's signature of `signed`.
    pub(super) fn is_signed(&self, auth: &str, signed: &[&[u8]]) -> bool {
        self.check_auth(auth, signed).is_ok()
    }

    pub(super) fn unsubscribe(&mut self, name: &str, step: &mut Step) {
        let Some(channel) = self.app.channel(name) else { return };
        if let Ok(place) = self.find(channel.as_str()) {
            let Subscription { channel, .. } = self.subscriptions.remove(place);
            step.command(Command::Unsubscribe { ticket: 0, channel });
        }
    }

    pub(super) fn subscribed(&mut self, subscribed: &Subscribed, step: &mut Step) {
        match self.find(subscribed.channel.as_str()) {
            // The hub's own name for it: one for all who are in it.
            Ok(place) => self.subscriptions[place].channel = subscribed.channel.clone(),
            Err(_) if subscribed.ticket == SUBSCRIBE => return,
            // The app's wish.
            Err(place) => {
                let subscription = Subscription { channel: subscribed.channel.clone(), user: None, by_app: true };
                self.subscriptions.insert(place, subscription);
            }
        }
        let name = self.app.name(&subscribed.channel).unwrap_or(subscribed.channel.as_str());
        let kind = ChannelKind::of(name);
        let data = match kind.access {
            ChannelAccess::Presence => quoted(&members(&users(&subscribed.members))),
            _ => "\"{}\"".to_owned(),
        };
        step.send(frame("pusher_internal:subscription_succeeded", Some(name), Some(&data), None));
        if kind.is_cache && subscribed.ticket == SUBSCRIBE && subscribed.recovery == Recovery::Complete(0) {
            step.send(frame("pusher:cache_miss", Some(name), None, None));
            self.app.emit(&PusherEvent::CacheMiss { channel: &subscribed.channel });
        }
    }

    pub(super) fn not_subscribed(&mut self, channel: &Channel, refusal: &Refusal, step: &mut Step) {
        if let Ok(place) = self.find(channel.as_str()) {
            self.subscriptions.remove(place);
        }
        let name = self.app.name(channel).unwrap_or(channel.as_str());
        let (kind, status) = match refusal {
            Refusal::App { code, .. } => (UNAUTHORISED, code.unwrap_or(403)),
            Refusal::Forbidden | Refusal::Closed => (UNAUTHORISED, 403),
            Refusal::TooMany { .. } => ("LimitReached", 429),
            Refusal::Unavailable => ("Unavailable", 503),
            Refusal::TooBig { .. }
            | Refusal::Malformed(_)
            | Refusal::Unknown
            | Refusal::Immutable
            | Refusal::Forgotten => ("Invalid", 400),
        };
        let words = match refusal {
            Refusal::TooMany { .. } => {
                "There are too many: subscriptions of this connection, or subscribers or members of this channel."
                    .into()
            }
            refusal => refusal.to_string(),
        };
        step.send(subscription_error(name, kind, status, &words));
    }
}
