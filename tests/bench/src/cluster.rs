//! Several servers that share a Redis, all on the contenders' processor: what is counted is the time of all of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::AsyncWriteExt;

use crate::contender::{Contender, Role, Running, Site, free_address};
use crate::process::{Process, Usage};
use crate::tally::Tally;
use crate::websocket::{self, Socket, Visit};

/// Clients of all servers together.
const CLIENTS: usize = 1_000;
const IN_ROOMS: usize = 2_000;
const ROOMS: usize = 200;
/// Messages under way in rooms.
const IN_FLIGHT: usize = 16;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub enum Cluster {
    /// One message to all clients of so many servers, one after the other.
    FanOut { servers: usize },
    /// Messages in rooms whose members are at two servers.
    Rooms,
}

/// What was used for what was done.
pub struct Measured {
    pub used: Usage,
    pub tally: Tally,
}

struct Servers {
    redis: Process,
    servers: Vec<Running>,
}

impl Servers {
    fn start(contender: Contender, count: usize, site: &Site) -> Result<Servers> {
        let socket = site.folder.join("redis.sock");
        let _ = std::fs::remove_file(&socket);
        let address = free_address()?;
        let command = [
            "redis-server",
            "--port",
            &address.port().to_string(),
            "--save",
            "",
            "--unixsocket",
            &socket.to_string_lossy(),
        ]
        .map(str::to_owned);
        let redis = Process::start(&command, &[], &site.folder.join("redis.log"), address)
            .context("Debian's package redis-server has it")?;
        let role = Role::SharedSocketIo { redis: socket };
        let servers: Result<Vec<_>> = (0..count).map(|_| contender.start(&role, site)).collect();
        Ok(Servers { redis, servers: servers? })
    }

    fn usage(&self) -> Usage {
        self.servers.iter().fold(self.redis.usage(), |all, server| all.and(server.usage()))
    }

    /// Opens so many clients, as many at each server, and gives them in the order of their numbers.
    async fn open(&self, count: usize, visit: impl Fn(usize) -> Visit) -> Result<Vec<Socket>> {
        let addresses: Vec<SocketAddr> = self.servers.iter().map(|server| server.address).collect();
        let mut sockets = Vec::with_capacity(count);
        for number in 0..count {
            let address = addresses[number % addresses.len()];
            sockets.push(websocket::open(address, &visit(number), false).await?);
        }
        Ok(sockets)
    }
}

pub async fn measure(what: Cluster, contender: Contender, span: Duration, site: &Site<'_>) -> Result<Measured> {
    let count = if let Cluster::FanOut { servers } = what { servers } else { 2 };
    let servers = Servers::start(contender, count, site)?;
    let warm_up = Duration::from_millis(500);
    // Two of each room follow each other, and are at two servers. Each contender has rooms in its own way.
    let visit = |number: usize| match (what, contender) {
        (Cluster::FanOut { .. }, _) => Visit::socket_io("/"),
        (Cluster::Rooms, Contender::Doorway) => Visit::socket_io(format!("/room-{}", number / 2 % ROOMS)),
        (Cluster::Rooms, _) => Visit::socket_io_room(format!("room-{}", number / 2 % ROOMS)),
    };
    let (clients, in_flight, hear) = match what {
        Cluster::FanOut { .. } => (CLIENTS, 1, CLIENTS),
        Cluster::Rooms => (IN_ROOMS, IN_FLIGHT, IN_ROOMS / ROOMS),
    };
    let frames: Vec<Vec<u8>> = (0..clients).map(|number| visit(number).message(64)).collect();
    let (hearing, mut writers) = websocket::Hearing::of(servers.open(clients, visit).await?);
    let mut random = 88_172_645_463_325_252_u64;
    let mut sender = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % clients
    };
    let (mut expected, mut heard_before, mut before, mut tally) = (0, 0, None, Tally::default());
    let began = Instant::now();
    loop {
        let now = Instant::now();
        if before.is_none() && now >= began + warm_up {
            before = Some(servers.usage());
            heard_before = expected;
            tally = Tally::default();
        }
        if now >= began + warm_up + span {
            break;
        }
        for _ in 0..in_flight {
            let number = sender();
            writers[number].write_all(&frames[number]).await?;
            expected += hear as u64;
        }
        hearing.all(expected).await?;
        tally.add(now.elapsed(), 0);
    }
    tally.work = expected - heard_before;
    let used = servers.usage().since(before.context("too short")?);
    Ok(Measured { used, tally })
}
