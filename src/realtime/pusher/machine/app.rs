//! One app: what its clients share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::code::Code;
use super::notice::{Ear, Notice};
use super::{Machine, encode};
use crate::realtime::dialect::Encoding;
use crate::realtime::pusher::config::AppConfig;
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::{Channel, ConnectionId, Moment};
use crate::settings::Live;

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
    pub(super) connected: AtomicUsize,
    ear: OnceLock<Arc<dyn Ear>>,
}

impl PusherApp {
    pub fn new(config: AppConfig) -> Arc<PusherApp> {
        let owner: Arc<str> = format!("pusher:{}", config.id).into();
        let prefix: Arc<str> = config.prefix.as_str().into();
        let encoder = encode::PusherEncoder { owner: Arc::clone(&owner), prefix: Arc::clone(&prefix) };
        Arc::new(PusherApp {
            id: config.id.as_str().into(),
            prefix,
            owner,
            encoding: Encoding::new(encoder),
            settings: Live::new(config),
            is_gone: AtomicBool::new(false),
            connected: AtomicUsize::new(0),
            ear: OnceLock::new(),
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
            self.settings.set(config);
        }
    }

    /// Has `ear` hear what its clients do, from now on. Only the first counts.
    pub fn listen(&self, ear: Arc<dyn Ear>) {
        let _ = self.ear.set(ear);
    }

    pub(super) fn tell(&self, notice: &Notice<'_>) {
        if let Some(ear) = self.ear.get() {
            ear.notice(notice);
        }
    }

    /// Why its clients may not be here, if they may not.
    pub fn closed(&self) -> Option<Code> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Some(Code::NoApp);
        }
        (!self.settings().enabled).then_some(Code::Disabled)
    }

    /// The machine of one more client.
    ///
    /// # Errors
    /// [`Code`], for the client: the app takes none now.
    pub fn connect(self: &Arc<Self>, connection: ConnectionId, now: Moment) -> Result<Machine, Code> {
        if let Some(code) = self.closed() {
            return Err(code);
        }
        let most = self.settings().max_connections;
        let before = self.connected.fetch_add(1, Ordering::AcqRel);
        // From here on the machine's end gives the place back.
        let machine = Machine::new(Arc::clone(self), connection, now);
        if most > 0 && before >= most { Err(Code::Full) } else { Ok(machine) }
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
