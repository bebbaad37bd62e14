//! Promise: every request leaves one line in the log and one count in the numbers, and no secret in either.

use serde_json::Value;

use crate::harness::{App, Door, door, streamed, wire};

fn line(door: &Door, path: &str) -> Value {
    door.wait_for_log(|line| line["target"] == "access" && line["path"] == path)
}

fn request(line: &str, more: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n{more}\r\n")
}

#[tokio::test]
async fn a_request_is_one_line_without_its_secrets() {
    let app = App::saying("twelve bytes").await;
    let door = door().config(app.config()).start();
    let secrets = "Cookie: session=geheim\r\nAuthorization: Bearer geheim\r\n";
    wire::exchange(door.http(), request("GET /page?token=geheim", secrets)).await;
    let line = line(&door, "/page");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_out"], 12);
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["protocol"], "HTTP/1.1");
    assert_eq!(line["ending"], "whole");
    assert!(line["upstream_ms"].as_f64().is_some_and(|time| time > 0.0), "{line}");
    let (first, total) = (line["first_byte_ms"].as_f64().unwrap(), line["total_ms"].as_f64().unwrap());
    assert!(0.0 < first && first <= total, "{line}");
    assert!(!door.output().contains("geheim"), "{}", door.output());
}

#[tokio::test]
async fn streamed_answer_is_logged_after_its_last_piece() {
    let app = App::start(|_| async {
        let (response, mut feed) = streamed(200);
        tokio::spawn(async move {
            for _ in 0..3 {
                feed.send_data("a piece, ".into()).await.expect("it is taken");
                tokio::task::yield_now().await;
            }
        });
        response
    })
    .await;
    let door = door().config(app.config()).start();
    let answer = wire::exchange(door.http(), request("GET /pieces", "")).await;
    assert_eq!(answer.matches("a piece, ").count(), 3, "{answer}");
    let line = line(&door, "/pieces");
    assert_eq!((&line["ending"], &line["bytes_out"]), (&"whole".into(), &27.into()), "{line}");
}

#[tokio::test]
async fn bytes_of_an_upload_are_counted() {
    let app = App::start(|request| async move {
        use http_body_util::BodyExt;
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        crate::harness::response(200, format!("{}", body.len()))
    })
    .await;
    let door = door().config(app.config()).start();
    let upload = format!("Content-Length: 5000\r\n\r\n{}", "u".repeat(4998));
    let answer = wire::exchange(door.http(), request("POST /upload", &upload)).await;
    assert!(answer.ends_with("5000"), "{answer}");
    assert_eq!(line(&door, "/upload")["bytes_in"], 5000);
}

#[tokio::test]
async fn the_doors_own_answers_are_logged_too() {
    let door = door().config("[app]\nurl = \"http://127.0.0.1:9\"\n").start();
    wire::exchange(door.http(), request("GET /nobody", "")).await;
    let line = line(&door, "/nobody");
    assert!(line["status"].as_u64().is_some_and(|status| status >= 502), "{line}");
    door.wait_for_metric("http_requests_total{method=\"GET\",status=\"5xx\"}", 1.0).await;
    door.wait_for_metric("http_requests_in_flight", 0.0).await;
}
