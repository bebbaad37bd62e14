//! Compressed forms, made once each, on a thread of their own that gives way to everything else.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use tracing::{debug, warn};

use super::entry::Entry;
use crate::http::encoding::Encoding;
use crate::http::layer::compress::{Config, Contexts, Encoder, Use};

/// Forms that wait to be made. When it is full the next one is not asked for; whoever wants it later asks again.
const MAX_QUEUED: usize = 1024;

/// Takes orders; the thread ends when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Precompressor {
    orders: Option<SyncSender<PrecompressOrder>>,
}

#[derive(Debug)]
struct PrecompressOrder {
    /// Weak: what has left the memory for files by then need not be made.
    entry: Weak<Entry>,
    encoding: Encoding,
}

impl Precompressor {
    pub fn start(made: Counter) -> Precompressor {
        let (orders, waiting) = sync_channel(MAX_QUEUED);
        let started = thread::Builder::new().name("precompressor".into()).spawn(move || work(&waiting, &made));
        match started {
            Ok(_) => Precompressor { orders: Some(orders) },
            Err(error) => {
                warn!(%error, "no thread to compress files on: they are compressed anew for every answer");
                Precompressor { orders: None }
            }
        }
    }

    /// Has the form made, unless it is made, or waits, already.
    pub fn order(&self, entry: &Arc<Entry>, encoding: Encoding) {
        let Some(orders) = &self.orders else { return };
        if !entry.ask(encoding) {
            return;
        }
        let order = PrecompressOrder { entry: Arc::downgrade(entry), encoding };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = orders.try_send(order) {
            entry.unask(encoding);
        }
    }
}

fn work(waiting: &Receiver<PrecompressOrder>, made: &Counter) {
    // Of this thread alone, on Linux. A tenth of a core against one that wants all of it: Node hardly feels that, and at
    // 19 a busy machine would never get round to it and compress anew for every answer meanwhile.
    if let Err(error) = rustix::process::nice(10) {
        debug!(%error, "files are compressed at usual priority");
    }
    while let Ok(PrecompressOrder { entry, encoding }) = waiting.recv() {
        let Some(entry) = entry.upgrade() else { continue };
        let Some(plain) = entry.bytes() else { continue };
        let begun = Instant::now();
        let (purpose, config) = (Use::Keep(plain.len() as u64), Config::default());
        let coded = Encoder::new(encoding, purpose, &config, &Contexts::default()).and_then(|mut encoder| {
            encoder.write(plain)?;
            encoder.finish()
        });
        match coded {
            Ok(coded) => {
                let (from, to) = (plain.len(), coded.len());
                debug!(coding = encoding.token(), from, to, took = ?begun.elapsed(), "compressed a file");
                entry.keep(encoding, coded);
                made.inc();
            }
            Err(error) => warn!(%error, coding = encoding.token(), "cannot compress a file"),
        }
    }
}
