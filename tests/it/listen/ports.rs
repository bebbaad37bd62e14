//! Promise: who speaks TLS to the port of plain HTTP, or plain HTTP to that of TLS, is told so in his own words, and so is the
//! operator, once a minute; it is no request in the log.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{App, Door, door, wire};

/// The beginning of a ClientHello, as browsers send it.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

async fn say(door: &Door, hello: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(door.http()).await.unwrap();
    for part in hello {
        stream.write_all(part).await.unwrap();
        stream.set_nodelay(true).unwrap();
    }
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

fn lines(door: &Door, message: &str) -> usize {
    door.log().iter().filter(|line| line["message"] == message).count()
}

#[tokio::test]
async fn tls_on_the_port_of_http() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    for hello in [&[HELLO][..], &[&HELLO[..1], &HELLO[1..]], &[HELLO]] {
        assert_eq!(say(&door, hello).await, [21, 3, 1, 0, 2, 2, 10], "an alert");
    }
    assert!(wire::get(door.http(), "/").await.ends_with("hello"));
    door.wait_for_log(|line| line["target"] == "access");
    let said = "TLS was spoken to the port of plain HTTP";
    let line = door.wait_for_log(|line| line["message"] == said);
    assert!(line["level"] == "WARN" && line["help"].as_str().unwrap().contains("[listen] https"), "{line}");
    assert_eq!(lines(&door, said), 1);
    let asked = door.log().into_iter().filter(|line| line["target"] == "access").count();
    assert_eq!(asked, 1, "nobody asked for anything else:\n{}", door.output());
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls() {
    let config = "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nself_signed = true\n[app]\nurl = \"off\"\n";
    let state = tempfile::tempdir().unwrap();
    let door = door().config(config).env("XDG_STATE_HOME", state.path().to_str().unwrap()).start();
    for _ in 0..3 {
        let answer = wire::exchange(door.https(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
    }
    let said = "plain HTTP was spoken to the port of https";
    let line = door.wait_for_log(|line| line["message"] == said);
    assert!(line["level"] == "WARN" && line["help"].as_str().unwrap().contains("https://"), "{line}");
    assert_eq!(lines(&door, said), 1);
}
