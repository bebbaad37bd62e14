//! Promise: of an answer that its client does not take, or slowly, little waits in the kernel: it stays with the app.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::harness::raw::{Asked, RawApp};
use crate::harness::{Door, PATIENCE, door};

const BLOCK: usize = 16 * 1024;
const BLOCKS: usize = 1024;

/// A socket whose own buffers are small, so that what is measured is the door's.
fn small() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket
}

/// What it has come to when it changes no more. A machine that stands still meanwhile can only make it less.
async fn settled(count: &AtomicUsize) -> usize {
    let (mut last, mut looks) = (0, 0);
    while looks < 40 || last == 0 {
        tokio::time::sleep(Duration::from_millis(25)).await;
        let now = count.load(Ordering::SeqCst);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
    }
    last
}

/// An app whose answer is `BLOCKS` long, and says how much of it is off its hands.
async fn app(taken: &Arc<AtomicUsize>) -> RawApp {
    let socket = small();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let count = Arc::clone(taken);
    RawApp::on(socket.listen(16).unwrap(), move |mut asked: Asked| {
        let count = Arc::clone(&count);
        async move {
            asked.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BLOCK * BLOCKS)).await;
            for _ in 0..BLOCKS {
                asked.send(&[b'x'; BLOCK]).await;
                count.fetch_add(BLOCK, Ordering::SeqCst);
            }
            Some(asked)
        }
    })
}

/// Between the app and its client, in bytes.
const WAITING: usize = 1536 * 1024;

async fn ask(door: &Door) -> TcpStream {
    let mut client = small().connect(door.http()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").await.unwrap();
    client
}

#[tokio::test]
async fn the_app_keeps_what_its_client_does_not_take() {
    let taken = Arc::default();
    let app = app(&taken).await;
    let door = door().config(app.config()).start();
    let mut client = ask(&door).await;
    let waiting = settled(&taken).await;
    assert!(waiting < WAITING, "{waiting} bytes wait between the app and a client that reads nothing");
    // And it is there in full for who reads late.
    let mut answer = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut answer)).await.expect("an end in time").unwrap();
    assert!(answer.len() > BLOCK * BLOCKS && answer.ends_with(&[b'x'; BLOCK]));
}

/// As a balancer on the same machine does, whose own client is far away.
#[tokio::test]
async fn nor_does_more_wait_for_a_client_that_is_near_and_slow() {
    let taken = Arc::default();
    let app = app(&taken).await;
    let door = door().config(app.config()).start();
    let mut client = ask(&door).await;
    let (mut read, mut buffer) = (0, vec![0; BLOCK]);
    while read < 2 * 1024 * 1024 {
        read += timeout(PATIENCE, client.read(&mut buffer)).await.expect("more in time").unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let waiting = settled(&taken).await - read;
    assert!(waiting < WAITING, "{waiting} bytes wait between the app and a client that reads slowly");
}
