//! The cases: what is asked of whom.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use doorway_bench_table::caption::Caption;

use crate::ably::{Format, Who};
use crate::cluster::{self, Cluster};
use crate::contender::{Contender, Role, Site};
use crate::documents::{self, Documents};
use crate::http::{self, Ask, WARM_UP, Wire};
use crate::report::Sample;
use crate::rest::{Api, Rest};
use crate::tally::Tally;
use crate::websocket::{self, Visit};
use crate::{process, resume, upstream};

/// The hub's path; the others serve every path.
const SOCKET: &str = "/api/ws";
/// A chunk of the size of a usual Next.js framework chunk.
const CHUNK: usize = 229 * 1024;
const IDLE: usize = 10_000;

pub struct CaseOf {
    name: &'static str,
    pub contenders: &'static [Contender],
    work: Work,
}

impl CaseOf {
    pub fn caption(&self) -> &'static Caption {
        Caption::of(self.name).expect("each case has a caption: a test holds it")
    }
}

enum Work {
    /// Through the door, to an app that answers with so many bytes.
    Proxy {
        wire: Wire,
        answer: usize,
        upload: usize,
        connections: usize,
    },
    Handshakes {
        resumed: bool,
    },
    Static {
        encoding: &'static str,
    },
    /// A page of 5 KB that may be kept, one of `new_of` requests for one that is not (0: none); `keeps`: or not at all.
    Cached {
        encoding: &'static str,
        new_of: usize,
        keeps: bool,
    },
    Echo,
    FanOut {
        in_flight: usize,
    },
    SocketIo(SocketIo),
    Pusher(Pusher),
    Ably(Ably),
    Documents(Documents),
    /// Several servers that share a Redis.
    Cluster(Cluster),
    /// A page that Next.js makes anew for each request.
    Page,
    /// A page that Next.js has made, and keeps.
    KeptPage,
    Rooms,
    Idle {
        tls: bool,
    },
    Admit {
        tls: bool,
    },
}

/// With the protocol of Socket.IO.
enum SocketIo {
    /// Each client alone in its namespace.
    Echo,
    FanOut,
    Idle,
    Admit,
}

/// With the protocol of Pusher Channels.
enum Pusher {
    /// Events by the REST API.
    Rest,
    /// Events of clients, who do not hear their own.
    ClientEvent,
    Idle,
}

/// With the protocol of Ably.
enum Ably {
    /// Messages by the REST API.
    Rest(Format),
    /// Each is somebody: `users`.
    Idle { users: bool },
    /// Connections that were cut, all at once.
    Resume,
}

use Contender::{
    Bare, Bun, Caddy, Doorway, Envoy, Express, Haproxy, Next, Nginx, SocketIo as SocketIoServer, Sockudo, Ws,
    YWebsocket,
};

const PROXIES: &[Contender] = &[Doorway, Nginx, Haproxy, Caddy, Envoy];
const SOCKETS: &[Contender] = &[Doorway, Ws, Bun];
const LIMITED: &[Contender] = &[Doorway, Ws, Bun, Bare];
const SOCKET_IO: &[Contender] = &[Doorway, SocketIoServer];
const PUSHER: &[Contender] = &[Doorway, Sockudo];
const ABLY: &[Contender] = &[Doorway];
const YJS: &[Contender] = &[Doorway, YWebsocket];
const LIVEBLOCKS: &[Contender] = &[Doorway];
/// Clients of Socket.IO, Pusher or Ably that are let in, or idle.
const MANY: usize = 5_000;
/// Clients that resume all at once, and how often in a round.
const RESUMING: (usize, usize) = (2_000, 5);

const fn case(name: &'static str, contenders: &'static [Contender], work: Work) -> CaseOf {
    CaseOf { name, contenders, work }
}

const fn proxy(wire: Wire, answer: usize, upload: usize, connections: usize) -> Work {
    Work::Proxy { wire, answer, upload, connections }
}

const fn cached(encoding: &'static str, new_of: usize, keeps: bool) -> Work {
    Work::Cached { encoding, new_of, keeps }
}

const MB10: usize = 10 * 1024 * 1024;

pub const CASES: &[CaseOf] = &[
    case("http1", PROXIES, proxy(Wire::Plain, 1024, 0, 64)),
    case("https1", PROXIES, proxy(Wire::Tls, 1024, 0, 64)),
    case("https2", PROXIES, proxy(Wire::Http2, 1024, 0, 8)),
    case("handshake", PROXIES, Work::Handshakes { resumed: false }),
    case("resume", PROXIES, Work::Handshakes { resumed: true }),
    case("download", PROXIES, proxy(Wire::Plain, MB10, 0, 4)),
    case("upload", PROXIES, proxy(Wire::Plain, 16, MB10, 4)),
    case("static", &[Doorway, Nginx], Work::Static { encoding: "identity" }),
    case("static-gzip", &[Doorway, Nginx], Work::Static { encoding: "gzip" }),
    case("cached", &[Doorway, Nginx], cached("identity", 0, true)),
    case("cached-gzip", &[Doorway, Nginx], cached("gzip", 0, true)),
    case("cached-mix", &[Doorway, Nginx], cached("identity", 20, true)),
    case("cached-new", &[Doorway, Nginx], cached("identity", 1, true)),
    case("uncached", &[Doorway, Nginx], cached("identity", 1, false)),
    case("kept-page", &[Doorway, Nginx, Next], Work::KeptPage),
    case("page", &[Doorway, Nginx, Express], Work::Page),
    case("echo", SOCKETS, Work::Echo),
    case("fanout", LIMITED, Work::FanOut { in_flight: 1 }),
    case("fanout4", LIMITED, Work::FanOut { in_flight: 4 }),
    case("rooms", SOCKETS, Work::Rooms),
    case("idle", SOCKETS, Work::Idle { tls: false }),
    case("idle-tls", SOCKETS, Work::Idle { tls: true }),
    case("admit", SOCKETS, Work::Admit { tls: false }),
    case("socketio-echo", SOCKET_IO, Work::SocketIo(SocketIo::Echo)),
    case("socketio-fanout", SOCKET_IO, Work::SocketIo(SocketIo::FanOut)),
    case("socketio-idle", SOCKET_IO, Work::SocketIo(SocketIo::Idle)),
    case("socketio-admit", SOCKET_IO, Work::SocketIo(SocketIo::Admit)),
    case("pusher-rest", PUSHER, Work::Pusher(Pusher::Rest)),
    case("pusher-client-event", PUSHER, Work::Pusher(Pusher::ClientEvent)),
    case("pusher-idle", PUSHER, Work::Pusher(Pusher::Idle)),
    case("ably-json", ABLY, Work::Ably(Ably::Rest(Format::Json))),
    case("ably-msgpack", ABLY, Work::Ably(Ably::Rest(Format::Msgpack))),
    case("ably-idle", ABLY, Work::Ably(Ably::Idle { users: false })),
    case("ably-idle-users", ABLY, Work::Ably(Ably::Idle { users: true })),
    case("ably-resume", ABLY, Work::Ably(Ably::Resume)),
    case("yjs-updates", YJS, Work::Documents(Documents::Yjs { writers: 8, readers: 1 })),
    case("yjs-readers", YJS, Work::Documents(Documents::Yjs { writers: 8, readers: 100 })),
    case("documents-list", LIVEBLOCKS, Work::Documents(Documents::List)),
    case("documents-cursors", LIVEBLOCKS, Work::Documents(Documents::Cursors)),
    case("documents-load", LIVEBLOCKS, Work::Documents(Documents::Load)),
    case("documents-open", LIVEBLOCKS, Work::Documents(Documents::Open)),
    case("documents-rooms", LIVEBLOCKS, Work::Documents(Documents::Rooms)),
    case("cluster-fanout", SOCKET_IO, Work::Cluster(Cluster::FanOut { servers: 2 })),
    case("cluster-rooms", SOCKET_IO, Work::Cluster(Cluster::Rooms)),
    case("cluster-one", SOCKET_IO, Work::Cluster(Cluster::FanOut { servers: 1 })),
    case("cluster-four", SOCKET_IO, Work::Cluster(Cluster::FanOut { servers: 4 })),
];

/// One contender, one round.
pub fn run(case: &CaseOf, contender: Contender, round: usize, seconds: f64, site: &Site) -> Result<Sample> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(measure(case, contender, round, Duration::from_secs_f64(seconds), site)))
}

async fn measure(case: &CaseOf, contender: Contender, round: usize, span: Duration, site: &Site<'_>) -> Result<Sample> {
    if let Work::Cluster(what) = case.work {
        let measured = cluster::measure(what, contender, span, site).await?;
        return Ok(sample(case, contender, round, measured.used, &measured.tally));
    }
    let answer = match case.work {
        Work::Proxy { answer, .. } => answer,
        _ => 1024,
    };
    let upstream = match case.work {
        Work::Cached { .. } => upstream::start_page().await?,
        _ => upstream::start(answer).await?,
    };
    let role = match case.work {
        Work::Proxy { wire, .. } => Role::Proxy { upstream, tls: wire != Wire::Plain },
        Work::Handshakes { .. } => Role::Proxy { upstream, tls: true },
        Work::Static { .. } => Role::Files { folder: static_folder(site.folder)?, upstream },
        Work::Cached { keeps, .. } => Role::Cache { upstream, keeps },
        Work::Page => Role::Page { project: fs::canonicalize("tests/app")? },
        Work::KeptPage => Role::KeptPage { project: fs::canonicalize("tests/app")? },
        Work::SocketIo(_) => Role::SocketIo,
        Work::Pusher(_) => Role::Pusher,
        Work::Ably(_) => Role::Ably,
        Work::Documents(_) => Role::Documents { anew: true },
        Work::Cluster(_) => unreachable!("measured above"),
        Work::Echo => Role::Echo,
        Work::FanOut { .. } | Work::Rooms => Role::Broadcast { tls: false },
        Work::Idle { tls } | Work::Admit { tls } => Role::Broadcast { tls },
    };
    let running = contender.start(&role, site)?;
    if let Work::Documents(documents) = case.work {
        let measured = documents::measure(documents, contender, running, span, site).await?;
        let sample = sample(case, contender, round, measured.used, &measured.tally);
        return Ok(Sample { figure: measured.figure.unwrap_or(sample.figure), ..sample });
    }
    let address = running.address;
    let door_before = Cell::new(0.0);
    let usage = || {
        door_before.set(running.process.usage().cpu());
        running.usage()
    };
    let of = |used: process::Usage, tally: Tally, door: Option<f64>| Sample {
        door_share: door.map(|door| door / used.cpu().max(0.01)),
        ..sample(case, contender, round, used, &tally)
    };
    let timed = |before: process::Usage, tally: Tally| {
        let used = running.usage().since(before);
        let door = running.process.usage().cpu() - door_before.get();
        of(used, tally, running.app.is_some().then_some(door))
    };
    let ask = match &case.work {
        Work::Proxy { wire, upload, connections, .. } => {
            Some(Ask { upload: *upload, count_bytes: answer >= MB10 || *upload > 0, ..Ask::get(*wire, *connections) })
        }
        Work::Static { encoding } => Some(Ask {
            path: "/_next/static/chunks/framework.js".into(),
            headers: format!("Accept-Encoding: {encoding}\r\n"),
            ..Ask::get(Wire::Plain, 16)
        }),
        Work::Cached { encoding, new_of, .. } => Some(Ask {
            path: "/blog".into(),
            headers: format!("Accept-Encoding: {encoding}\r\n"),
            new_of: *new_of,
            ..Ask::get(Wire::Plain, 32)
        }),
        Work::Page => Some(Ask { path: "/cookies".into(), ..Ask::get(Wire::Plain, 8) }),
        Work::KeptPage => Some(Ask { path: "/kept".into(), ..Ask::get(Wire::Plain, 32) }),
        _ => None,
    };
    if let Some(ask) = ask {
        // Who starts the app himself listens before it answers.
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = http::run(address, &ask, Instant::now() + WARM_UP).await {
            if !matches!(case.work, Work::KeptPage) || Instant::now() > deadline {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let before = usage();
        let tally = http::run(address, &ask, Instant::now() + span).await?;
        return Ok(timed(before, tally));
    }
    let echo = async |visit: &dyn Fn(usize) -> Visit| {
        websocket::echo(address, visit, 64, 64, Instant::now() + WARM_UP).await?;
        let before = usage();
        let tally = websocket::echo(address, visit, 64, 64, Instant::now() + span).await?;
        Ok(timed(before, tally))
    };
    match case.work {
        Work::Handshakes { resumed } => {
            http::handshakes(address, 8, resumed, Instant::now() + WARM_UP).await?;
            let before = usage();
            let tally = http::handshakes(address, 8, resumed, Instant::now() + span).await?;
            Ok(timed(before, tally))
        }
        Work::Echo => echo(&|_| Visit::plain(SOCKET)).await,
        Work::SocketIo(SocketIo::Echo) => echo(&|number| Visit::socket_io(format!("/room-{number}"))).await,
        Work::FanOut { in_flight } => {
            let visit = Visit::plain(SOCKET);
            let sockets = websocket::open_many(address, 1_000, false, |_| visit.clone()).await?;
            let before = usage();
            let tally =
                websocket::fan_out(sockets, visit.message(64), in_flight, Instant::now() + span, || (0, 1_000)).await?;
            Ok(timed(before, tally))
        }
        Work::SocketIo(SocketIo::FanOut) => {
            let visit = Visit::socket_io("/");
            let sockets = websocket::open_many(address, 1_000, false, |_| visit.clone()).await?;
            let before = usage();
            let tally = websocket::fan_out(sockets, visit.message(64), 1, Instant::now() + span, || (0, 1_000)).await?;
            Ok(timed(before, tally))
        }
        Work::Pusher(Pusher::Rest) => {
            let sockets = websocket::open_many(address, 1_000, false, |_| Visit::pusher("room")).await?;
            let rest = Rest::new(Api::Pusher, address);
            let before = usage();
            let tally = websocket::publish(sockets, rest, "room", Instant::now() + span).await?;
            Ok(timed(before, tally))
        }
        Work::Ably(Ably::Rest(format)) => {
            let visit = Visit::ably("room", format, Who::Key, None);
            let sockets = websocket::open_many(address, 1_000, false, |_| visit.clone()).await?;
            let rest = Rest::new(Api::Ably, address);
            let before = usage();
            let tally = websocket::publish(sockets, rest, "room", Instant::now() + span).await?;
            Ok(timed(before, tally))
        }
        Work::Ably(Ably::Resume) => {
            let (count, times) = RESUMING;
            let resumes = resume::all_at_once(address, count, times, || running.usage()).await?;
            Ok(of(resumes.usage, resumes.tally, None))
        }
        Work::Pusher(Pusher::ClientEvent) => {
            let visit = Visit::pusher("private-room");
            let sockets = websocket::open_many(address, 1_000, false, |_| visit.clone()).await?;
            let before = usage();
            // Each in turn: a client may send ten a second.
            let mut turn = 0;
            let target = move || {
                turn += 1;
                (turn % 1_000, 999)
            };
            let tally = websocket::fan_out(sockets, visit.message(64), 1, Instant::now() + span, target).await?;
            Ok(timed(before, tally))
        }
        Work::Rooms => {
            let visit = |number: usize| Visit::plain(format!("{SOCKET}/room-{}", number % 1_000));
            let sockets = websocket::open_many(address, 10_000, false, visit).await?;
            let before = usage();
            let mut random = 88_172_645_463_325_252_u64;
            let target = move || {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                ((random % 10_000) as usize, 10)
            };
            let message = visit(0).message(64);
            let tally = websocket::fan_out(sockets, message, 16, Instant::now() + span, target).await?;
            Ok(timed(before, tally))
        }
        Work::Idle { .. }
        | Work::SocketIo(SocketIo::Idle)
        | Work::Pusher(Pusher::Idle)
        | Work::Ably(Ably::Idle { .. }) => {
            let (visit, count, tls) = match case.work {
                Work::Ably(_) => (Visit::ably("room", Format::Msgpack, Who::Key, None), MANY, false),
                Work::Idle { tls } => (Visit::plain(SOCKET), if tls { IDLE * 2 / 5 } else { IDLE }, tls),
                Work::Pusher(_) => (Visit::pusher("room"), MANY, false),
                _ => (Visit::socket_io("/"), MANY, false),
            };
            let visit = |number| match case.work {
                Work::Ably(Ably::Idle { users: true }) => Visit::ably("room", Format::Msgpack, Who::User(number), None),
                _ => visit.clone(),
            };
            // What the first few cost is not what one more costs.
            let first = websocket::open_many(address, 100, tls, visit).await?;
            let before = usage();
            let others = |number| visit(number + first.len());
            let sockets = websocket::open_many(address, count - first.len(), tls, others).await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            let mut sample = timed(before, Tally::of(sockets.len() as u64));
            sample.figure = (sample.resident.saturating_sub(before.resident)) as f64 / sockets.len() as f64;
            Ok(sample)
        }
        Work::Admit { .. } | Work::SocketIo(SocketIo::Admit) => {
            let (visit, count, tls) = match case.work {
                Work::Admit { tls } => (Visit::plain(SOCKET), IDLE, tls),
                _ => (Visit::socket_io("/"), MANY, false),
            };
            let before = usage();
            let sockets = websocket::open_many(address, count, tls, |_| visit.clone()).await?;
            Ok(timed(before, Tally::of(sockets.len() as u64)))
        }
        Work::Proxy { .. }
        | Work::Static { .. }
        | Work::Cached { .. }
        | Work::Page
        | Work::KeptPage
        | Work::Documents(_)
        | Work::Cluster(_) => {
            unreachable!("asked above")
        }
    }
}

/// What is compared is work per CPU-second.
fn sample(case: &CaseOf, contender: Contender, round: usize, used: process::Usage, tally: &Tally) -> Sample {
    Sample {
        case: case.name,
        contender,
        round,
        work: tally.work,
        user: used.user,
        system: used.system,
        instructions: used.instructions.filter(|_| tally.work > 0).map(|count| count as f64 / tally.work as f64),
        door_share: None,
        figure: tally.work as f64 / used.cpu().max(0.01),
        p50_ms: tally.quantile(0.5),
        p99_ms: tally.quantile(0.99),
        resident: used.resident,
    }
}

/// A project's folder as `next build` leaves it, with one chunk of script-like text, its gzip for nginx, and a small one.
pub fn static_folder(folder: &Path) -> Result<PathBuf> {
    let project = folder.join("project");
    let chunks = project.join(".next/static/chunks");
    if !chunks.is_dir() {
        fs::create_dir_all(&chunks)?;
        fs::write(project.join("package.json"), "{\"dependencies\":{\"next\":\"16.4.6\"}}")?;
        fs::write(project.join(".next/BUILD_ID"), "bench")?;
        let mut text = String::with_capacity(CHUNK);
        for number in 0_u64.. {
            if text.len() >= CHUNK {
                break;
            }
            let scrambled = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            text.push_str(&format!("function f{number}(a,b){{return a.k{scrambled:x}(b,{})}}\n", scrambled % 977));
        }
        text.truncate(CHUNK);
        fs::write(chunks.join("small.js"), &text[..1024])?;
        let file = chunks.join("framework.js");
        fs::write(&file, text)?;
        std::process::Command::new("gzip").args(["-k", "-9"]).arg(&file).status()?;
    }
    Ok(project)
}

#[cfg(test)]
mod tests {
    use doorway_bench_table::caption::CAPTIONS;

    use super::*;

    #[test]
    fn each_case_has_a_caption_and_each_caption_a_case() {
        let cases: std::collections::BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(cases, CAPTIONS.iter().map(|caption| caption.name).collect());
        assert_eq!(cases.len(), CASES.len());
    }
}
