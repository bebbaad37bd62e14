//! Promise: while the app is away requests wait, bounded in number and time; the door says truthfully whether it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpSocket};

use crate::harness::raw::{RawApp, ok};
use crate::harness::{Door, PATIENCE, client, door, wire};

/// A port that nobody listens on yet.
fn reserve() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).expect("a free port");
    socket
}

fn config(socket: &TcpSocket, more: &str) -> String {
    format!("[app]\nurl = \"http://{}\"\nhealth_interval = \"100ms\"\n{more}\n", socket.local_addr().unwrap())
}

async fn is_ready(door: &Door) -> bool {
    client::get(door.admin(), "/health/ready", &[("host", "localhost")]).await.status == 200
}

async fn until_ready(door: &Door, expected: bool) {
    let deadline = Instant::now() + PATIENCE;
    while is_ready(door).await != expected {
        assert!(Instant::now() < deadline, "never ready = {expected}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn answer(listener: TcpListener) -> RawApp {
    RawApp::on(listener, |mut asked| async move {
        asked.send(ok("here")).await;
        Some(asked)
    })
}

#[tokio::test]
async fn a_request_waits_for_an_app_that_comes_back() {
    let socket = reserve();
    let door = door().config(config(&socket, "wait_timeout = \"50s\"")).start();
    assert!(!is_ready(&door).await, "nobody is there");
    let address = door.http();
    let asking = tokio::spawn(async move { client::get(address, "/", &[]).await.bytes().await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!asking.is_finished());
    let _app = answer(socket.listen(64).unwrap());
    assert_eq!(asking.await.unwrap().as_ref(), b"here");
    until_ready(&door, true).await;
}

#[tokio::test]
async fn after_the_wait_there_is_a_503_that_says_when_to_come_back() {
    let socket = reserve();
    let door = door().config(config(&socket, "wait_timeout = \"300ms\"")).start();
    let began = Instant::now();
    let answer = client::get(door.http(), "/", &[]).await;
    assert_eq!(answer.status, 503);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
}

#[tokio::test]
async fn only_so_many_wait() {
    let socket = reserve();
    let door = door().config(config(&socket, "wait_timeout = \"50s\"\nwait_limit = 6")).start();
    let address = door.http();
    let (sender, mut refused) = tokio::sync::mpsc::channel(8);
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move {
                let status = client::get(address, "/", &[]).await.status;
                if status == 503 {
                    sender.send(()).await.unwrap();
                }
                status
            })
        })
        .collect();
    for _ in 0..5 {
        refused.recv().await.unwrap();
    }
    let _app = answer(socket.listen(64).unwrap());
    let mut served = 0;
    for asked in asking {
        served += usize::from(asked.await.unwrap() == 200);
    }
    assert_eq!(served, 3);
}

#[tokio::test]
async fn an_app_that_goes_away_is_waited_for_again() {
    let socket = reserve();
    let address = socket.local_addr().unwrap();
    let door = door().config(config(&socket, "wait_timeout = \"50s\"")).start();
    let app = answer(socket.listen(64).unwrap());
    until_ready(&door, true).await;
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 200);
    drop(app);
    until_ready(&door, false).await;
    let to = door.http();
    let asking = tokio::spawn(async move { client::get(to, "/", &[]).await.status });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    let _app = answer(socket.listen(64).unwrap());
    assert_eq!(asking.await.unwrap(), 200);
    until_ready(&door, true).await;
}

/// Who asks hears of it first, where looks for a sign of life are rare.
#[tokio::test]
async fn an_app_that_is_found_gone_is_not_ready() {
    let socket = reserve();
    let address = socket.local_addr().unwrap();
    let app = answer(socket.listen(64).unwrap());
    let config = format!("[app]\nurl = \"http://{address}\"\nhealth_interval = \"1h\"\nwait_timeout = \"100ms\"\n");
    let door = door().config(config).start();
    until_ready(&door, true).await;
    drop(app);
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 503);
    door.wait_for_log(|line| line["message"] == "the app does not answer");
    assert_eq!(door.metric("upstream_ready").await, 0.0);
}

#[tokio::test]
async fn an_app_that_says_nothing_is_a_504() {
    let app = RawApp::start(|mut asked| async move {
        asked.closed().await;
        None
    })
    .await;
    let door = door().config(app.config() + "answer_timeout = \"300ms\"\n").start();
    let began = Instant::now();
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 504);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_slow_client_is_not_the_apps_fault() {
    let app = RawApp::start(|mut asked| async move {
        asked.body(4).await;
        asked.send(ok("patient")).await;
        Some(asked)
    })
    .await;
    let door = door().config(app.config() + "answer_timeout = \"200ms\"\n").start();
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(door.http()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    for byte in b"slow" {
        tokio::time::sleep(Duration::from_millis(250)).await;
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(wire::status(&answer), 200, "{answer}");
}

#[tokio::test]
async fn an_app_that_listens_but_does_not_answer_is_not_ready() {
    let socket = reserve();
    // The kernel takes connections for it; nobody reads them.
    let door = door().config(config(&socket, "health_timeout = \"200ms\"\nhealth_path = \"/\"")).start();
    let listener = socket.listen(64).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!is_ready(&door).await);
    let _app = answer(listener);
    until_ready(&door, true).await;
}

#[tokio::test]
async fn an_app_that_is_ill_by_its_own_word_is_not_ready() {
    let ill = Arc::new(AtomicBool::new(false));
    let word = Arc::clone(&ill);
    let app = RawApp::start(move |mut asked| {
        let ill = word.load(Ordering::SeqCst);
        async move {
            let status = if ill { "500 Internal Server Error" } else { "200 OK" };
            asked.send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
            Some(asked)
        }
    })
    .await;
    let config = app.config() + "health_path = \"/api/health\"\nhealth_interval = \"50ms\"\n";
    let door = door().config(config).start();
    until_ready(&door, true).await;
    ill.store(true, Ordering::SeqCst);
    until_ready(&door, false).await;
    ill.store(false, Ordering::SeqCst);
    until_ready(&door, true).await;
}

#[tokio::test]
async fn an_app_behind_a_socket_in_the_file_system() {
    let builder = door();
    let path = builder.folder().join("app.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut tasks = tokio::task::JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            tasks.spawn(async move {
                let mut block = [0; 4096];
                while stream.read(&mut block).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(ok("by path").as_bytes()).await;
                }
            });
        }
    });
    let door = builder.config(format!("[app]\nurl = \"unix:{}\"\n", path.display())).start();
    assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"by path");
    app.abort();
}

#[tokio::test]
async fn no_app_at_the_start_is_said_with_what_to_do() {
    let socket = reserve();
    let address = socket.local_addr().unwrap();
    let door = door().config(config(&socket, "wait_timeout = \"50ms\"")).start();
    let said =
        door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("nothing answers")));
    let expected = format!(
        "nothing answers at http://{address} (connection refused): start the app, or name its folder: doorway DIR"
    );
    assert_eq!((said["level"].as_str(), said["message"].as_str()), (Some("WARN"), Some(&*expected)));

    let answer = client::get(door.http(), "/", &[("accept", "text/html")]).await;
    assert_eq!(answer.status, 503);
    let wait = answer.header("retry-after").to_owned();
    let page = String::from_utf8_lossy(&answer.bytes().await).into_owned();
    let refresh = format!("<meta http-equiv=\"refresh\" content=\"{wait}\">");
    assert!(page.contains(&refresh) && page.contains("tries again by itself"), "{page}");
    let failed = door.wait_for_log(|line| line["message"] == "failed" && line["status"] == 503);
    let cause = failed["detail"].as_str().unwrap();
    assert!(cause.contains(&address.to_string()) && cause.contains("refused"), "{failed}");

    // What is sent again might be done twice.
    let answer = client::ask(door.http(), "POST", "/", &[("accept", "text/html")], "x").await;
    assert_eq!(answer.status, 503);
    let page = String::from_utf8_lossy(&answer.bytes().await).into_owned();
    assert!(!page.contains("refresh"), "{page}");

    let _app = self::answer(socket.listen(64).unwrap());
    until_ready(&door, true).await;
    let lines = door.log().into_iter().filter(|line| line["message"] == said["message"]);
    assert_eq!(lines.count(), 1, "{}", door.output());
}
