//! Promise: `/_next/static` is answered from disk as `next start` would, smaller and without waking Node.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{App, Door, Project, client, decode, door, eventually, response};

/// An app that must not be asked about files; counts how often it is.
async fn app() -> (App, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let app = App::start(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { response(404, "the app knows no such page") }
    })
    .await;
    (app, asked)
}

fn script() -> String {
    (0..400).map(|line| format!("export const value{line} = compute({line}, 'of the chunk');\n")).collect()
}

const CHUNK: &str = "/_next/static/chunks/main-abc.js";

/// Asks for `coding` until the form that is made once is there.
async fn pressed(door: &Door, path: &'static str, coding: &'static str) -> client::Answer {
    eventually("the compressed form is made", || async move {
        let answer = client::get(door.http(), path, &[("accept-encoding", coding)]).await;
        !answer.header("etag").starts_with("W/") && answer.header("content-encoding") == coding
    })
    .await;
    client::get(door.http(), path, &[("accept-encoding", coding)]).await
}

#[tokio::test]
async fn a_chunk_comes_from_disk_with_the_headers_it_should_have() {
    let (app, asked) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", script());
    let door = door().config(project.config(&app, "")).start();
    let answer = client::get(door.http(), CHUNK, &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(answer.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(answer.header("content-length"), script().len().to_string());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("vary"), "accept-encoding");
    assert_eq!(answer.header("content-encoding"), "");
    let tag = answer.header("etag");
    assert!(tag.starts_with('"') && tag.len() > 10, "a strong tag: {tag}");
    let modified = httpdate::parse_http_date(&answer.header("last-modified")).expect("a date");
    assert!(modified <= std::time::SystemTime::now());
    assert_eq!(answer.bytes().await, script());
    let head = client::ask(door.http(), "HEAD", CHUNK, &[], "").await;
    assert_eq!((head.status, head.header("content-length")), (200, script().len().to_string()));
    assert_eq!(head.header("etag"), tag);
    assert_eq!(head.bytes().await, "");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "Node slept on");
}

#[tokio::test]
async fn every_kind_of_file_has_its_type() {
    let (app, _) = app().await;
    let project = Project::new();
    let door = door().config(project.config(&app, "")).start();
    for (name, kind) in [
        ("css/a.css", "text/css; charset=utf-8"),
        ("media/a.woff2", "font/woff2"),
        ("media/a.png", "image/png"),
        ("media/a.svg", "image/svg+xml; charset=utf-8"),
        ("chunks/a.js.map", "application/json; charset=utf-8"),
        ("chunks/a.wasm", "application/wasm"),
        ("a/b/c/LICENSE", "application/octet-stream"),
        ("empty.js", "text/javascript; charset=utf-8"),
    ] {
        let content = if name == "empty.js" { "" } else { name };
        project.write(name, content);
        let answer = client::get(door.http(), &format!("/_next/static/{name}"), &[("accept-encoding", "br")]).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind.to_owned()), "{name}");
        assert_eq!(answer.bytes().await, content);
    }
}

#[tokio::test]
async fn each_coding_is_made_once_has_its_own_tag_and_is_small() {
    let (app, asked) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", script());
    let door = door().config(project.config(&app, "")).start();
    let plain = client::get(door.http(), CHUNK, &[]).await.header("etag");
    let mut tags = vec![plain];
    for coding in ["br", "zstd", "gzip"] {
        let first = client::get(door.http(), CHUNK, &[("accept-encoding", coding)]).await;
        assert_eq!(first.header("content-encoding"), coding, "also before the form is made");
        assert_eq!(decode::whole(coding, &first.bytes().await), script().as_bytes());
        let answer = pressed(&door, CHUNK, coding).await;
        assert_eq!(answer.header("vary"), "accept-encoding");
        assert_eq!(answer.header("accept-ranges"), "bytes");
        tags.push(answer.header("etag"));
        let length: usize = answer.header("content-length").parse().expect("its length is known");
        let coded = answer.bytes().await;
        assert_eq!(coded.len(), length);
        assert!(length < script().len() / 8, "{coding}: {length} of {}", script().len());
        assert_eq!(decode::whole(coding, &coded), script().as_bytes());
        for _ in 0..3 {
            let head = client::ask(door.http(), "HEAD", CHUNK, &[("accept-encoding", coding)], "").await;
            assert_eq!(
                (head.header("content-encoding"), head.header("content-length")),
                (coding.into(), length.to_string())
            );
        }
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 4, "one tag a coding: {tags:?}");
    // Each once.
    door.wait_for_metric("files_compressed_total", 3.0).await;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_clients_liking_decides_and_then_the_smallest() {
    let (app, _) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", script());
    let door = door().config(project.config(&app, "")).start();
    for coding in ["br", "zstd", "gzip"] {
        pressed(&door, CHUNK, coding).await;
    }
    for (accepted, expected) in [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0, zstd;q=0, *", "gzip"),
        ("identity, br;q=0.9", ""),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("br;q=0", ""),
        ("", ""),
    ] {
        let answer = client::get(door.http(), CHUNK, &[("accept-encoding", accepted)]).await;
        assert_eq!(answer.header("content-encoding"), expected, "{accepted:?}");
        assert_eq!(decode::whole(expected, &answer.bytes().await), script().as_bytes());
    }
}

#[tokio::test]
async fn what_does_not_get_smaller_stays_as_it_is() {
    let (app, _) = app().await;
    let project = Project::new();
    let mut seed = 1_u64;
    let noise: Vec<u8> = (0..40_000)
        .map(|_| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 56) as u8
        })
        .collect();
    project.write("media/noise.wasm", &noise);
    project.write("media/picture.png", "a".repeat(4000));
    let door = door().config(project.config(&app, "")).start();
    for path in ["/_next/static/media/noise.wasm", "/_next/static/media/picture.png"] {
        eventually("it is left as it is", || async {
            let answer = client::get(door.http(), path, &[("accept-encoding", "br")]).await;
            answer.header("content-encoding").is_empty()
        })
        .await;
    }
    let picture = client::get(door.http(), "/_next/static/media/picture.png", &[("accept-encoding", "br")]).await;
    assert_eq!(picture.header("vary"), "", "there is but one form of it");
}

#[tokio::test]
async fn a_service_worker_is_never_immutable() {
    let (app, _) = app().await;
    let project = Project::new();
    project.write("service-worker/sw.js", "self.addEventListener('fetch', () => {});");
    let door = door().config(project.config(&app, "")).start();
    let answer = client::get(door.http(), "/_next/static/service-worker/sw.js", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=0, must-revalidate");
    assert_eq!(answer.header("service-worker-allowed"), "/");
}

#[tokio::test]
async fn other_methods_are_refused_and_other_files_are_the_apps() {
    let (app, asked) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", script());
    let door = door().config(project.config(&app, "")).start();
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = client::ask(door.http(), method, CHUNK, &[], "body").await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD".to_owned()), "{method}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    for (count, path) in
        ["/_next/static/chunks/gone.js", "/_next/static/chunks", "/_next/static/", "/_next/image"].iter().enumerate()
    {
        let answer = client::get(door.http(), path, &[]).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.bytes().await, "the app knows no such page", "{path}");
        assert_eq!(asked.load(Ordering::SeqCst), count + 1);
    }
    let posted = client::ask(door.http(), "POST", "/_next/static/chunks/gone.js", &[], "body").await;
    assert_eq!(posted.status, 404);
}

#[tokio::test]
async fn it_can_be_switched_off_and_needs_a_folder() {
    let (app, asked) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", script());
    for (count, config) in [project.config(&app, "enabled = false"), app.config()].into_iter().enumerate() {
        let door = door().config(config).start();
        assert_eq!(client::get(door.http(), CHUNK, &[]).await.status, 404);
        assert_eq!(asked.load(Ordering::SeqCst), count + 1);
    }
}

#[tokio::test]
async fn files_are_counted() {
    let (app, _) = app().await;
    let project = Project::new();
    project.write("chunks/main-abc.js", "0123456789");
    let door = door().config(project.config(&app, "")).start();
    let tag = client::get(door.http(), CHUNK, &[]).await.header("etag");
    client::get(door.http(), CHUNK, &[]).await;
    client::get(door.http(), CHUNK, &[("range", "bytes=0-3")]).await;
    client::get(door.http(), CHUNK, &[("if-none-match", &tag)]).await;
    client::ask(door.http(), "HEAD", CHUNK, &[], "").await;
    door.wait_for_metric("files_answers_total", 5.0).await;
    door.wait_for_metric("files_bytes_total", 24.0).await;
    door.wait_for_metric("files_not_modified_total", 1.0).await;
    assert!(door.metric("files_memory_hits_total").await >= 2.0);
    assert!((10.0..10_000.0).contains(&door.metric("files_memory_bytes").await));
}
