//! What the operator asks of a running door: by signal, or at the admin listener.

use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::admin::{Asks, ReloadReport};

/// What is asked, and by whom (for the log).
#[derive(Debug)]
pub enum Asked {
    Stop(&'static str),
    /// And who is to be told what became of it.
    Reload(Option<oneshot::Sender<ReloadReport>>),
}

/// Hears SIGTERM, SIGINT and SIGHUP from the moment it is made.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// From the admin listener. Holds one: to ask twice is no different from asking once.
    operator: mpsc::Receiver<()>,
    /// Likewise; holds a few.
    reloads: mpsc::Receiver<oneshot::Sender<ReloadReport>>,
    on_terminal: bool,
}

impl Signals {
    /// Also gives the senders by which the admin listener asks.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> io::Result<(Signals, Asks)> {
        let (stop, operator) = mpsc::channel(1);
        let (reload, reloads) = mpsc::channel(4);
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            operator,
            reloads,
            on_terminal: io::stderr().is_terminal(),
        };
        Ok((signals, Asks { stop, reload }))
    }

    /// The next thing asked. Cancel-safe.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            Some(()) = self.operator.recv() => Asked::Stop("POST /drain"),
            Some(asked) = self.reloads.recv() => Asked::Reload(Some(asked)),
            _ = self.hangup.recv() => {
                // A terminal that was closed hangs up too: nobody is left who could ask us to stop.
                if self.on_terminal && !io::stderr().is_terminal() { Asked::Stop("SIGHUP") } else { Asked::Reload(None) }
            }
        }
    }

    /// Resolves when a signal asks to stop; to reload is too late by then. Cancel-safe.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {}
            }
        }
    }
}
