//! A way: its two sides, and the relay between them.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::conditions::{Conditions, Patience};
use crate::relay::{self, Control, Tally};
use crate::side::Side;

/// Stands until it is dropped.
pub struct Way {
    pub client: Side,
    pub server: Side,
    control: Arc<Control>,
    relay: Option<JoinHandle<()>>,
}

impl Way {
    /// A way whose directions are both like this.
    ///
    /// # Errors
    ///
    /// What is missing on this machine: rights, namespaces, TUN devices, or `ip`.
    pub fn new(conditions: Conditions) -> io::Result<Way> {
        let (client, near) = Side::new(Ipv4Addr::new(10, 77, 0, 1))?;
        let (server, far) = Side::new(Ipv4Addr::new(10, 77, 0, 2))?;
        // What most machines have, whatever this one has been told; some kernels are built without.
        let _ = client.congestion_control("cubic").and_then(|()| server.congestion_control("cubic"));
        let control = Arc::new(Control::default());
        control.settings.lock().conditions = [conditions; 2];
        let told = Arc::clone(&control);
        let relay = thread::Builder::new().name("way".into()).spawn(move || relay::run([near, far], &told))?;
        Ok(Way { client, server, control, relay: Some(relay) })
    }

    /// Half of `round_trip` each way, at `rate` bits a second; 0 for as fast as it goes.
    ///
    /// # Errors
    ///
    /// As `new`.
    pub fn long(round_trip: Duration, rate: u64) -> io::Result<Way> {
        Way::new(Conditions::long(round_trip, rate))
    }

    /// Changes both directions, for packets that set out from now on.
    pub fn change(&self, mut change: impl FnMut(&mut Conditions)) {
        self.control.settings.lock().conditions.iter_mut().for_each(&mut change);
    }

    /// Changes the direction from the client.
    pub fn change_up(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.control.settings.lock().conditions[0]);
    }

    /// Changes the direction from the server.
    pub fn change_down(&self, change: impl FnOnce(&mut Conditions)) {
        change(&mut self.control.settings.lock().conditions[1]);
    }

    /// Nothing passes from now on, what is under way neither; or all of it does again.
    pub fn black_hole(&self, on: bool) {
        self.change(|conditions| conditions.black_hole = on);
    }

    /// Puts a NAT on the way. Connections that are open already it does not know: set it before.
    pub fn nat(&self, patience: Patience) {
        self.control.settings.lock().patience = patience;
    }

    /// The NAT forgets every connection, as if it had been silent for long.
    pub fn forget(&self) {
        self.control.settings.lock().forget = true;
    }

    /// Waits until nothing moves on the way any more: what can be filled on it is full.
    pub fn settle(&self) {
        let passed = || (self.up().passed, self.down().passed);
        let mut before = None;
        while before != Some(passed()) {
            before = Some(passed());
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// What the client sent.
    pub fn up(&self) -> Tally {
        self.control.counters[0].tally()
    }

    /// What the server sent.
    pub fn down(&self) -> Tally {
        self.control.counters[1].tally()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.control.stop.store(true, Ordering::Relaxed);
        if let Some(relay) = self.relay.take() {
            let _ = relay.join();
        }
    }
}
