//! Promise: a client that vanishes without a word is noticed, however it listens; one that is there and reads nothing for
//! a while stays.

use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::frames::{END_HEADERS, END_STREAM, GET, HEADERS, Outcome, Site, block};
use crate::harness::raw::{Asked, RawApp};
use crate::harness::{Door, PATIENCE, door};

/// Everything that the guide's table goes by, shortened.
const CONFIG: &str = "[http]\nwrite_timeout = \"2s\"\nh2_ping_interval = \"1s\"\nh2_ping_timeout = \"1s\"\n\
     [realtime.plain]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n\
     [[realtime.socketio]]\nping_interval = \"1s\"\nping_timeout = \"1s\"\n\
     [[realtime.pusher]]\nid = \"1\"\nkey = \"app-key\"\nsecret = \"app-secret\"\n\
     activity_timeout = \"1s\"\npong_timeout = \"1s\"\n";

/// From now on the kernel throws away whatever comes for this socket before TCP sees it: nothing is acknowledged, and
/// nothing refused. As if its machine were out of reach.
fn vanish(socket: &TcpStream) {
    // BPF_RET | BPF_K: accept no byte of any packet.
    SockRef::from(socket).attach_filter(&[SockFilter::new(0x06, 0, 0, 0)]).expect("a filter");
}

/// Sends a request and waits for the beginning of its answer.
async fn asked(door: &Door, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut piece = [0; 4096];
    let read = timeout(PATIENCE, stream.read(&mut piece)).await.expect("an answer in time").unwrap();
    let text = String::from_utf8_lossy(&piece[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.1 101"), "{text}");
    stream
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\n{headers}\r\n")
}

fn upgrade(path: &str) -> String {
    let headers = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    get(path, headers)
}

/// Once it is a client of the hub it vanishes, and the hub notices.
async fn is_noticed(request: &str) {
    let door = door().config(CONFIG).start();
    let client = asked(&door, request).await;
    door.wait_for_metric("hub_connections", 1.0).await;
    vanish(&client);
    door.wait_for_metric("hub_connections", 0.0).await;
}

#[tokio::test]
async fn plain_sockets() {
    is_noticed(&upgrade("/api/ws/room")).await;
}

#[tokio::test]
async fn sockets_of_socketio() {
    is_noticed(&upgrade("/socket.io/?EIO=4&transport=websocket")).await;
}

#[tokio::test]
async fn pollers_of_socketio() {
    is_noticed(&get("/socket.io/?EIO=4&transport=polling", "")).await;
}

#[tokio::test]
async fn sockets_of_pusher() {
    is_noticed(&upgrade("/app/app-key?protocol=7")).await;
}

#[tokio::test]
async fn event_streams() {
    is_noticed(&get("/api/ws/room", "Accept: text/event-stream\r\n")).await;
}

#[tokio::test]
async fn event_streams_over_http2() {
    let site = Site::new(CONFIG);
    let mut client = site.connect(&[]).await;
    let mut fields = GET.to_vec();
    fields[3].1 = "/api/ws/room";
    fields.push(("accept", "text/event-stream"));
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields)).await;
    assert_eq!(client.outcome(1).await, Outcome::Status(200));
    site.door.wait_for_metric("hub_connections", 1.0).await;
    vanish(client.tcp());
    site.door.wait_for_metric("hub_connections", 0.0).await;
}

#[tokio::test]
async fn readers_of_an_answer_that_the_app_streams() {
    let app = RawApp::start(|mut asked: Asked| async move {
        asked.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").await;
        // The door goes away when its client does.
        let goes_on = async {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                asked.send("1\r\nx\r\n").await;
            }
        };
        let _: Result<(), _> = timeout(PATIENCE * 3, goes_on).await;
        None
    })
    .await;
    let door = door().config(format!("{CONFIG}{}", app.config())).start();
    let client = asked(&door, &get("/", "")).await;
    vanish(&client);
    door.wait_for_metric("connections_open", 0.0).await;
}

#[tokio::test]
async fn who_is_there_and_reads_nothing_stays() {
    let door = door().config(CONFIG).start();
    let events = get("/api/ws/room", "Accept: text/event-stream\r\n");
    let mut idle = asked(&door, &events).await;
    // Who came later and vanished goes; the time that it takes is longer than the first one's would be.
    for _ in 0..2 {
        let gone = asked(&door, &events).await;
        door.wait_for_metric("hub_connections", 2.0).await;
        vanish(&gone);
        door.wait_for_metric("hub_connections", 1.0).await;
    }
    // It has read nothing meanwhile, but it can.
    let mut read = Vec::new();
    let pings = async {
        while read.windows(2).filter(|pair| pair == b"\n\n").count() < 3 {
            assert!(idle.read_buf(&mut read).await.unwrap() > 0, "{}", String::from_utf8_lossy(&read));
        }
    };
    timeout(PATIENCE, pings).await.expect("pings in time");
    door.wait_for_metric("hub_connections", 1.0).await;
}
