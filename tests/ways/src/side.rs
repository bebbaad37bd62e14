//! One end of a way: what runs there, and what it is asked.

use std::io;
use std::net::Ipv4Addr;
use std::process::{Child, Command};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use crate::namespace::Namespace;

/// The client's or the server's end: a namespace, a runtime whose sockets are in it, and an address.
pub struct Side {
    namespace: Namespace,
    runtime: Option<Runtime>,
    address: Ipv4Addr,
}

impl Side {
    /// Its end of the way comes back too.
    pub(crate) fn new(address: Ipv4Addr) -> io::Result<(Side, SyncDevice)> {
        let namespace = Namespace::new()?;
        // So many packets may wait for the relay: a whole window that leaves at once.
        let builder = DeviceBuilder::new().name("way").layer(Layer::L3).mtu(1500).tx_queue_len(10_000);
        let device = namespace.inside(|| builder.build_sync())?;
        let device = device.map_err(|error| io::Error::new(error.kind(), format!("/dev/net/tun: {error}")))?;
        device.set_nonblocking(true)?;
        namespace.ip(&format!("addr add {address}/24 dev way"))?;
        namespace.ip("link set way up")?;
        // What one connection learnt of the way, the next must not know: ways change here.
        namespace.sysctl("net.ipv4.tcp_no_metrics_save", "1")?;
        let inside = namespace.try_clone()?;
        let enter = move || inside.enter().expect("a namespace that exists");
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().on_thread_start(enter).build()?;
        Ok((Side { namespace, runtime: Some(runtime), address }, device))
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Runs it to its end, with every socket that it opens on this side.
    pub fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = self.runtime();
        match runtime.block_on(runtime.spawn(future)) {
            Ok(output) => output,
            Err(ended) => std::panic::resume_unwind(ended.into_panic()),
        }
    }

    /// Runs it beside what the caller does next.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime().spawn(future)
    }

    /// Starts a process on this side.
    ///
    /// # Errors
    ///
    /// As `Command::spawn`.
    pub fn start(&self, command: &mut Command) -> io::Result<Child> {
        self.namespace.inside(|| command.spawn())?
    }

    /// Does something on a thread of this side.
    pub fn inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        self.namespace.inside(act).expect("a namespace that exists")
    }

    /// Bytes of kernel memory that TCP sockets of this side hold: received and not read, written and not acknowledged.
    /// Those whose own port is `except` do not count.
    ///
    /// # Errors
    ///
    /// Where there is no `ss` (of iproute2).
    pub fn held(&self, except: u16) -> io::Result<u64> {
        let filter = format!("sport != {except}");
        let output = self.namespace.inside(|| Command::new("ss").args(["-tmnH", &filter]).output())??;
        let text = String::from_utf8_lossy(&output.stdout);
        // skmem:(r0,rb131072,t0,tb87040,f0,w0,...)
        let fields = text.split(['(', ',', ')']).filter_map(|field| {
            let number = field.strip_prefix('r').or_else(|| field.strip_prefix('w'))?;
            number.parse::<u64>().ok()
        });
        Ok(fields.sum())
    }

    /// How TCP finds out how much the way takes, in connections that begin from now on: "cubic", "bbr", "reno". It is said
    /// of the route: a namespace's default may be none that the machine's administrator has not allowed for all.
    ///
    /// # Errors
    ///
    /// Where the kernel has it not.
    pub fn congestion_control(&self, name: &str) -> io::Result<()> {
        let address = self.address;
        self.namespace.ip(&format!("route replace 10.77.0.0/24 dev way src {address} congctl {name}"))
    }

    /// Writes a setting of the kernel for this side alone, as `net.ipv4.tcp_congestion_control`.
    ///
    /// # Errors
    ///
    /// Where the kernel has none, or not this value.
    pub fn sysctl(&self, name: &str, value: &str) -> io::Result<()> {
        self.namespace.sysctl(name, value)
    }

    /// What `nsenter --net=` takes, as long as this process lives.
    pub fn namespace(&self) -> String {
        self.namespace.path()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("there until it is dropped")
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
