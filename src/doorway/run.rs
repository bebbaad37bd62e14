//! From a config to open doors, and from a signal to closed ones.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::dispatch::Dispatch;
use super::stack;
use crate::config::Config;
use crate::drain::Drain;
use crate::http::connection;
use crate::listen::{self, BindError, Listener};
use crate::realtime::Realtime;
use crate::telemetry::Registry;
use crate::upstream::{self, Upstream};

/// The open door.
pub struct Doorway {
    config: Config,
    _file: Option<PathBuf>,
    listeners: Vec<Listener>,
    rooms: Dispatch,
    drain: Drain,
}

/// The door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    App(#[from] upstream::StartError),
}

impl Doorway {
    /// Builds every room and binds every socket.
    ///
    /// # Errors
    /// [`StartError`]: a port in use, an app that cannot be had.
    pub async fn start(config: Config, file: Option<PathBuf>) -> Result<Doorway, StartError> {
        let drain = Drain::default();
        let mut registry = Registry::default();
        let mut listeners = Vec::new();
        for address in &config.listen.http {
            listeners.push(listen::bind(*address, "http").await?);
        }
        for address in &config.listen.https {
            listeners.push(listen::bind(*address, "https").await?);
        }
        let upstream = Arc::new(Upstream::start(&config.app, drain.signal(), &mut registry).await?);
        let realtime = Arc::new(Realtime::new(&config.realtime, drain.signal(), &mut registry));
        Ok(Doorway { config, _file: file, listeners, rooms: Dispatch { upstream, realtime }, drain })
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub async fn run(self) -> Result<(), String> {
        let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
        let http = Arc::new(self.config.http.clone());
        let stack = stack::build(self.rooms);
        for listener in self.listeners {
            let (stack, http, signal) = (stack.clone(), Arc::clone(&http), self.drain.signal());
            let accepting = listen::accept(listener, self.drain.signal(), move |stream, peer| {
                connection::serve(stream, peer, stack.clone(), Arc::clone(&http), signal.clone())
            });
            tokio::spawn(accepting);
        }
        info!("ready");
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        info!(under_way = self.drain.under_way(), "draining");
        let in_time = tokio::select! {
            in_time = self.drain.drain(self.config.drain.timeout) => in_time,
            _ = terminate.recv() => false,
            _ = interrupt.recv() => false,
        };
        self.drain.end();
        info!(in_time, "stopped");
        Ok(())
    }
}
