//! Instructions of user space for one request of each kind, counted by Valgrind: the same on every host that has the same build,
//! but for what the processor's own instructions for cryptography make shorter.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use doorway_bench_table::caption::KINDS;
use doorway_bench_table::text::grouped;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::cases::static_folder;
use crate::contender::{Contender, Role, Running, Site};
use crate::http::{self, connector, name};
use crate::rest::{Api, Rest};
use crate::upstream;
use crate::websocket::{self, Hearing, Socket, Visit};

use Contender::{Doorway, Haproxy, Nginx};

/// In the order of their names.
#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Answer,
    Tls,
    Http2,
    Crowd,
    Handshake,
    Socket,
    Echo,
    Delivery,
    DeliveryToMany,
    SocketIo,
    SocketIoEcho,
    PusherEvent,
}

const COUNTED: &[(Kind, &[Contender])] = &[
    (Kind::File, &[Doorway, Nginx]),
    (Kind::Answer, &[Doorway, Nginx, Haproxy]),
    (Kind::Tls, &[Doorway, Nginx, Haproxy]),
    (Kind::Http2, &[Doorway, Nginx, Haproxy]),
    (Kind::Crowd, &[Doorway, Nginx, Haproxy]),
    (Kind::Handshake, &[Doorway, Nginx, Haproxy]),
    (Kind::Socket, &[Doorway]),
    (Kind::Echo, &[Doorway]),
    (Kind::Delivery, &[Doorway]),
    (Kind::DeliveryToMany, &[Doorway]),
    (Kind::SocketIo, &[Doorway]),
    (Kind::SocketIoEcho, &[Doorway]),
    (Kind::PusherEvent, &[Doorway]),
];

/// How often a request is made before anything is counted, and then.
const FIRST: usize = 100;
const TIMES: usize = 1_000;
/// The same of what takes long.
const FEW: usize = 100;
const HEARERS: usize = 100;
/// Where it is to be seen that many cost no more than few.
const CROWD: usize = 4_000;
const MANY: usize = 5_000;
/// Until the log has written what it gathers.
const GATHERED: Duration = Duration::from_millis(100);

/// A contender's command, run by what counts.
pub fn counted(folder: &Path, command: &[String]) -> Vec<String> {
    let files = format!("--callgrind-out-file={}/counted.%p", folder.display());
    let program = ["valgrind", "--quiet", "--tool=callgrind", "--trace-children=yes", &files].map(str::to_owned);
    [&program, command].concat()
}

/// Counts all kinds, of whoever is installed: by kind and contender.
pub fn run(site: &Site) -> Result<BTreeMap<String, BTreeMap<String, f64>>> {
    for program in ["valgrind", "vgdb"] {
        Command::new(program).arg("--version").output().context("Debian's package valgrind has it").context(program)?;
    }
    let site = Site { counts: Some(site.folder), ..*site };
    let mut found: BTreeMap<String, BTreeMap<String, f64>> = BTreeMap::new();
    for (kind, contenders) in COUNTED {
        let title = KINDS[*kind as usize];
        for contender in contenders.iter().filter(|contender| contender.program(&site).is_some()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let count = runtime.block_on(LocalSet::new().run_until(count(*kind, *contender, &site)));
            let count = count.with_context(|| format!("{title}, {}", contender.name()))?.round();
            println!("{title:<52} {:<10} {:>10}", contender.name(), grouped(count));
            found.entry(title.to_owned()).or_default().insert(contender.name().to_owned(), count);
        }
    }
    Ok(found)
}

/// Who is counted, and where its counts are written.
struct Counting<'a> {
    running: &'a Running,
    folder: &'a Path,
}

impl Counting<'_> {
    /// Tells each process of the contender.
    async fn tell(&self, order: &str) -> Result<()> {
        tokio::time::sleep(GATHERED).await;
        for pid in self.running.process.family() {
            let output = Command::new("vgdb").args([&format!("--pid={pid}"), order]).output()?;
            if !output.status.success() {
                bail!("vgdb {order}: {}", String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        Ok(())
    }

    /// Does something `first` times, and then `times`, which are counted: what one of those takes.
    async fn each(&self, first: usize, times: usize, mut once: impl AsyncFnMut(usize) -> Result<()>) -> Result<f64> {
        for number in 0..first + times {
            if number == first {
                self.tell("zero").await?;
            }
            once(number).await?;
        }
        self.tell("dump").await?;
        let mut sum = 0;
        for pid in self.running.process.family() {
            let file = self.folder.join(format!("counted.{pid}.1"));
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("no total")?;
            sum += total.trim().parse::<u64>()?;
        }
        Ok(sum as f64 / times as f64)
    }
}

async fn count(kind: Kind, contender: Contender, site: &Site<'_>) -> Result<f64> {
    let role = match kind {
        Kind::File => Role::Files { folder: static_folder(site.folder)?, upstream: upstream::start(1024).await? },
        Kind::Answer | Kind::Crowd => Role::Proxy { upstream: upstream::start(1024).await?, tls: false },
        Kind::Tls | Kind::Http2 | Kind::Handshake => Role::Proxy { upstream: upstream::start(1024).await?, tls: true },
        Kind::Socket | Kind::Echo => Role::Echo,
        Kind::Delivery | Kind::DeliveryToMany => Role::Broadcast { tls: false },
        Kind::SocketIo | Kind::SocketIoEcho => Role::SocketIo,
        Kind::PusherEvent => Role::Pusher,
    };
    let running = contender.start(&role, site)?;
    let counting = Counting { running: &running, folder: site.folder };
    match kind {
        Kind::File => requests(&counting, "/_next/static/chunks/small.js", false).await,
        Kind::Answer => requests(&counting, "/", false).await,
        Kind::Tls => requests(&counting, "/", true).await,
        Kind::Crowd => {
            let _crowd = http::open(running.address, CROWD).await?;
            requests(&counting, "/", false).await
        }
        Kind::Http2 => http2_requests(&counting).await,
        Kind::Handshake => handshakes(&counting).await,
        Kind::Socket => admissions(&counting, &Visit::plain("/api/ws")).await,
        Kind::SocketIo => admissions(&counting, &Visit::socket_io("/")).await,
        Kind::Echo => echoes(&counting, &Visit::plain("/api/ws")).await,
        Kind::SocketIoEcho => echoes(&counting, &Visit::socket_io("/room-1")).await,
        Kind::Delivery => deliveries(&counting, HEARERS, FEW).await,
        Kind::DeliveryToMany => deliveries(&counting, MANY, FEW / 10).await,
        Kind::PusherEvent => events(&counting).await,
    }
}

async fn connect(counting: &Counting<'_>, tls: bool, http2: bool) -> Result<Socket> {
    let stream = TcpStream::connect(counting.running.address).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(if tls { Box::new(connector(http2, false).connect(name(), stream).await?) } else { Box::new(stream) })
}

async fn requests(counting: &Counting<'_>, path: &str, tls: bool) -> Result<f64> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", counting.running.address);
    let (mut io, mut buffer) = (connect(counting, tls, false).await?, vec![0; 4 * 1024]);
    let request = async |_| {
        io.write_all(head.as_bytes()).await?;
        io.flush().await?;
        let length = http::response(&mut io, &mut buffer).await?;
        if length != 1024 {
            bail!("{length} bytes came, not 1024");
        }
        Ok(())
    };
    counting.each(FIRST, TIMES, request).await
}

async fn http2_requests(counting: &Counting<'_>) -> Result<f64> {
    let io = connect(counting, true, true).await?;
    let (mut sender, connection) = h2::client::Builder::new().handshake::<_, Bytes>(io).await?;
    let driver = tokio::task::spawn_local(connection);
    let request = async |_| {
        std::future::poll_fn(|context| sender.poll_ready(context)).await?;
        let received = http::http2_answer(&mut sender, counting.running.address, "/").await?;
        if received != 1024 {
            bail!("{received} bytes came, not 1024");
        }
        Ok(())
    };
    let counted = counting.each(FIRST, TIMES, request).await;
    driver.abort();
    counted
}

async fn handshakes(counting: &Counting<'_>) -> Result<f64> {
    let head = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", counting.running.address);
    let mut buffer = vec![0; 4 * 1024];
    let handshake = async |_| {
        let mut io = connect(counting, true, false).await?;
        io.write_all(head.as_bytes()).await?;
        io.flush().await?;
        http::response(&mut io, &mut buffer).await?;
        // Until the other side has closed too.
        while io.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        Ok(())
    };
    counting.each(FEW, FEW, handshake).await
}

/// Who is let in stays.
async fn admissions(counting: &Counting<'_>, visit: &Visit) -> Result<f64> {
    let mut sockets = Vec::new();
    let admission = async |_| {
        sockets.push(websocket::open(counting.running.address, visit, false).await?);
        Ok(())
    };
    counting.each(FIRST, TIMES, admission).await
}

async fn echoes(counting: &Counting<'_>, visit: &Visit) -> Result<f64> {
    let mut socket = websocket::open(counting.running.address, visit, false).await?;
    let message = visit.message(64);
    let echo = async |_| {
        socket.write_all(&message).await?;
        socket.flush().await?;
        websocket::read(&mut socket).await?;
        Ok(())
    };
    counting.each(FIRST, TIMES, echo).await
}

async fn deliveries(counting: &Counting<'_>, hearers: usize, times: usize) -> Result<f64> {
    let visit = Visit::plain("/api/ws");
    let sockets = websocket::open_many(counting.running.address, hearers, false, |_| visit.clone()).await?;
    let (hearing, mut writers) = Hearing::of(sockets);
    let message = visit.message(64);
    let delivery = async |number| {
        // Who says it hears it too.
        writers[0].write_all(&message).await?;
        hearing.all(((number + 1) * hearers) as u64).await
    };
    Ok(counting.each(times, times, delivery).await? / hearers as f64)
}

async fn events(counting: &Counting<'_>) -> Result<f64> {
    let address = counting.running.address;
    let sockets = websocket::open_many(address, HEARERS, false, |_| Visit::pusher("room")).await?;
    let (hearing, _writers) = Hearing::of(sockets);
    let mut rest = Rest::new(Api::Pusher, address);
    let event = async |number| {
        rest.publish("room", 64).await?;
        hearing.all(((number + 1) * HEARERS) as u64).await
    };
    counting.each(FEW, FEW, event).await
}
