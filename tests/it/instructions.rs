//! Promise: a request costs no more of a processor than it did. Instructions are counted by Valgrind, so that neither the host
//! nor what else it does moves the figure; of the binary that all tests use, which is not optimised, so that only what
//! stands beside each other says something. What a release build takes: `tests/bench/NOTES.md`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{App, Door, Project, door, response};

/// So many of each before anything is counted: what is made once is made by then.
const BEFORE: usize = 20;
const COUNTED: usize = 200;
/// What a figure may be above the one that was written down, in percent.
const MARGIN: u64 = 6;

const GET: &str = "Host: site.test\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n";
const UPGRADE: &str = "GET /api/ws/room HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// What a door is asked for again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A file of the build, on one connection.
    File,
    /// A page of the app, on one connection.
    Page,
    /// To be let into a room, each on a connection of its own.
    Socket,
}

const KINDS: [Kind; 3] = [Kind::File, Kind::Page, Kind::Socket];

impl Kind {
    /// Instructions of each when this was written: whoever needs more has a reason, or takes it out; whoever needs fewer
    /// writes them down here.
    fn known(self) -> u64 {
        match self {
            Kind::File => 344_000,
            Kind::Page => 446_000,
            Kind::Socket => 710_000,
        }
    }
}

async fn ask(stream: &mut TcpStream, request: &str, ending: &[u8]) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    while !read.ends_with(ending) {
        assert!(stream.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
    }
}

/// Asks for `kind` so often; the sockets stay open.
async fn work(door: &Door, kind: Kind, times: usize) -> Vec<TcpStream> {
    let connect = || async { TcpStream::connect(door.http()).await.unwrap() };
    let mut kept = vec![connect().await];
    for _ in 0..times {
        match kind {
            Kind::File => {
                let request = format!("GET /_next/static/chunks/a.js HTTP/1.1\r\n{GET}");
                ask(&mut kept[0], &request, b"export {}").await;
            }
            Kind::Page => ask(&mut kept[0], &format!("GET /page HTTP/1.1\r\n{GET}"), b"from the app").await,
            Kind::Socket => {
                let mut socket = connect().await;
                ask(&mut socket, UPGRADE, b"\r\n\r\n").await;
                kept.push(socket);
            }
        }
    }
    kept
}

/// The instructions of a door from its start to its end, that did some of everything and then the `counted`.
async fn whole_life(counted: Option<Kind>) -> u64 {
    let app = App::start(|_| async { response(200, "from the app") }).await;
    let project = Project::new();
    project.write("chunks/a.js", "export {}");
    let mut door = door().config(project.config(&app, "")).counted().start();
    let mut kept = Vec::new();
    for kind in KINDS {
        let times = if counted == Some(kind) { BEFORE + COUNTED } else { BEFORE };
        kept.extend(work(&door, kind, times).await);
    }
    drop(kept);
    door.signal("TERM");
    door.wait();
    let output = door.output();
    let line = output.lines().find_map(|line| line.split_once("Collected : ")).unwrap_or_else(|| panic!("{output}"));
    line.1.trim().parse().unwrap()
}

#[tokio::test]
async fn a_request_takes_no_more_instructions_than_ever() {
    let without = whole_life(None).await;
    let mut figures = Vec::new();
    for kind in KINDS {
        let figure = whole_life(Some(kind)).await.saturating_sub(without) / COUNTED as u64;
        figures.push((kind, figure, kind.known()));
    }
    eprintln!("{figures:?}");
    let most = |known: u64| known + known * MARGIN / 100;
    assert!(figures.iter().all(|(_, figure, known)| (1..=most(*known)).contains(figure)), "{figures:?}");
}
