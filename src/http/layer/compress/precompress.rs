//! Compressed forms, made once each, on a thread of their own that gives way to everything else.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use tracing::{debug, warn};

use super::{Config, Contexts, Encoder, Use};
use crate::http::encoding::Encoding;

/// Forms that wait to be made. When it is full the next one is not asked for; whoever wants it later asks again.
const MAX_QUEUED: usize = 1024;

/// What compressed forms are made of and kept with.
pub trait Precompressed: Send + Sync {
    /// The bytes to compress.
    fn bytes(&self) -> Option<&Bytes>;
    /// What the form is for: how much effort it is worth.
    fn purpose(&self) -> Use;
    /// True for the first who wants a form that is not made yet, and again after [`Precompressed::unask`].
    fn ask(&self, encoding: Encoding) -> bool;
    /// It could not be made after all.
    fn unask(&self, encoding: Encoding);
    /// Takes a form, and keeps it if it is worth it.
    fn keep(&self, encoding: Encoding, bytes: Bytes);
}

/// Takes orders; the thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Precompressor {
    orders: Option<SyncSender<PrecompressOrder>>,
    made: Counter,
}

struct PrecompressOrder {
    /// Weak: what has left memory by then need not be made.
    of: Weak<dyn Precompressed>,
    encoding: Encoding,
    config: Arc<Config>,
    made: Counter,
}

impl Precompressor {
    pub fn start() -> Precompressor {
        let (orders, waiting) = sync_channel(MAX_QUEUED);
        let started = thread::Builder::new().name("precompressor".into()).spawn(move || work(&waiting));
        let orders = match started {
            Ok(_) => Some(orders),
            Err(error) => {
                warn!(%error, "no thread to compress files and pages on: they are compressed anew for every answer");
                None
            }
        };
        Precompressor { orders, made: Counter::default() }
    }

    /// The same, which counts by `made` what it was asked for.
    pub fn counting(&self, made: &Counter) -> Precompressor {
        Precompressor { orders: self.orders.clone(), made: made.clone() }
    }

    /// Has the form made, by the levels of `config`, unless it is made, or waits, already.
    pub fn order<T: Precompressed + 'static>(&self, of: &Arc<T>, encoding: Encoding, config: &Arc<Config>) {
        let Some(orders) = &self.orders else { return };
        if !of.ask(encoding) {
            return;
        }
        let weak: Weak<T> = Arc::downgrade(of);
        let order = PrecompressOrder { of: weak, encoding, config: Arc::clone(config), made: self.made.clone() };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = orders.try_send(order) {
            of.unask(encoding);
        }
    }
}

fn work(waiting: &Receiver<PrecompressOrder>) {
    // Of this thread alone, on Linux. A tenth of a core against one that wants all of it: Node hardly feels that, and at
    // 19 a busy machine would never get round to it and compress anew for every answer meanwhile.
    if let Err(error) = rustix::process::nice(10) {
        debug!(%error, "files are compressed at usual priority");
    }
    while let Ok(PrecompressOrder { of, encoding, config, made }) = waiting.recv() {
        let Some(of) = of.upgrade() else { continue };
        let Some(plain) = of.bytes() else { continue };
        let begun = Instant::now();
        let coded = Encoder::new(encoding, of.purpose(), &config, &Contexts::default()).and_then(|mut encoder| {
            encoder.write(plain)?;
            encoder.finish()
        });
        match coded {
            Ok(coded) => {
                let (from, to) = (plain.len(), coded.len());
                debug!(coding = encoding.token(), from, to, took = ?begun.elapsed(), "compressed once");
                of.keep(encoding, coded);
                made.inc();
            }
            Err(error) => warn!(%error, coding = encoding.token(), "cannot compress"),
        }
    }
}
