//! One app: what its clients share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::code::Code;
use super::events::{PusherEvent, PusherListener};
use super::{Machine, encode};
use crate::realtime::dialect::Encoding;
use crate::realtime::hub::parts::Part;
use crate::realtime::pusher::config::AppConfig;
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::{Channel, ConnectionId, Moment};
use crate::settings::Live;
use crate::shares::{Holder, Shares, may_take};

/// One app while Doorway runs: what its clients share. Its settings may change under them, its name and prefix may not.
pub struct PusherApp {
    id: Arc<str>,
    prefix: Arc<str>,
    /// Of its reserved channels.
    pub(super) owner: Arc<str>,
    encoding: Encoding,
    settings: Live<AppConfig>,
    /// The config has it no longer.
    is_gone: AtomicBool,
    /// Its clients, by their addresses.
    connected: Arc<Shares>,
    listener: OnceLock<Arc<dyn PusherListener>>,
}

impl PusherApp {
    pub fn new(config: AppConfig) -> Arc<PusherApp> {
        let Part { prefix, owner } = config.part();
        let encoder = encode::PusherEncoder { owner: Arc::clone(&owner), prefix: Arc::clone(&prefix) };
        Arc::new(PusherApp {
            id: config.id.as_str().into(),
            prefix,
            owner,
            encoding: Encoding::new(encoder),
            connected: Shares::new("realtime.pusher.max_connections", config.connections()),
            settings: Live::new(config),
            is_gone: AtomicBool::new(false),
            listener: OnceLock::new(),
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn settings(&self) -> Arc<AppConfig> {
        self.settings.get()
    }

    /// Takes over another section, `None` where there is none any more. Sockets stay open, and are under it at once.
    pub fn reload(&self, config: Option<AppConfig>) {
        self.is_gone.store(config.is_none(), Ordering::Relaxed);
        if let Some(config) = config {
            self.connected.limit(config.connections());
            self.settings.set(config);
        }
    }

    /// Has `listener` hear what its clients do, from now on. Only the first counts.
    pub fn listen(&self, listener: Arc<dyn PusherListener>) {
        let _ = self.listener.set(listener);
    }

    pub(super) fn emit(&self, event: &PusherEvent<'_>) {
        if let Some(listener) = self.listener.get() {
            listener.on_event(event);
        }
    }

    /// Why its clients may not be here, if they may not.
    pub fn closed(&self) -> Option<Code> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Some(Code::NoApp);
        }
        (!self.settings().enabled).then_some(Code::Disabled)
    }

    /// The machine of one more client, who is `holder`. Where apps share the hub, `free` says how many places that has
    /// left, this one among them.
    ///
    /// # Errors
    /// [`Code`], for the client: the app takes none now, or none of this holder, or has no more than it leaves free.
    pub fn connect(
        self: &Arc<Self>,
        connection: ConnectionId,
        holder: Holder,
        free: Option<usize>,
        now: Moment,
    ) -> Result<Machine, Code> {
        if let Some(code) = self.closed() {
            return Err(code);
        }
        let before = self.connected.taken();
        if free.is_some_and(|free| !may_take(before, free)) {
            return Err(Code::Full);
        }
        let place = self.connected.try_take(holder).ok_or(Code::Full)?;
        Ok(Machine::new(Arc::clone(self), connection, place, now))
    }

    /// Its channel `name` as the hub knows it; `None` for what is no name.
    pub fn channel(&self, name: &str) -> Option<Channel> {
        if !name::is_valid(name) {
            return None;
        }
        if self.prefix.is_empty() {
            return Channel::new(name).ok();
        }
        Channel::new(&format!("{}{name}", self.prefix)).ok()
    }

    /// What its clients call the hub's `channel`; `None` where it is not one of theirs.
    pub fn name<'a>(&self, channel: &'a Channel) -> Option<&'a str> {
        let name = channel.as_str().strip_prefix(&*self.prefix)?;
        name::is_valid(name).then_some(name)
    }

    /// What the names of its channels begin with at the hub.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Its user `id` as the hub knows them.
    pub fn user(&self, id: &str) -> Arc<str> {
        format!("{}{id}", self.prefix).into()
    }

    /// Where it is told that a user is online.
    pub(super) fn watched(&self, user: &str) -> Channel {
        Channel::reserved(&self.owner, user)
    }

    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }
}
