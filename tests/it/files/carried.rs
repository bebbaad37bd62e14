//! Promise: a file that the kernel sends by itself is the file that the door answers with: the same bytes, head and line in
//! the log as where it is copied (`zero_copy = false`), whatever becomes of it on disk.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::harness::{App, Door, Kept, Project, access, door, eventually, response, same};

const MIB: usize = 1024 * 1024;

fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes
}

/// Nothing that compresses, so that each form that goes out is as long as the file.
const FILES: [(&str, usize); 5] = [
    ("short.bin", 40_000),
    ("long.bin", 300_000),
    ("longer.bin", 3 * MIB),
    ("clip.mp4", 6 * MIB + 1),
    ("film.mp4", 9 * MIB + 5),
];

fn page() -> String {
    (0..40_000).map(|number: u64| format!("{:x}\n", number.wrapping_mul(0x9E37_79B9_7F4A_7C15))).collect()
}

async fn app() -> App {
    App::start(|_| async {
        let mut kept = response(200, page());
        kept.headers_mut().insert("cache-control", "s-maxage=600".parse().unwrap());
        kept.headers_mut().insert("content-type", "text/html".parse().unwrap());
        kept
    })
    .await
}

fn doors(app: &App, project: &Project) -> [Door; 2] {
    [true, false].map(|is_on| {
        let more = format!("[http]\nzero_copy = {is_on}\n[cache]\npaths = [\"/kept\"]\n");
        door().config(format!("{}\n{more}", project.config(app, ""))).start()
    })
}

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

#[tokio::test]
async fn both_ways_are_one_to_client_and_log() {
    let (app, project) = (app().await, Project::new());
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for (name, length) in FILES {
        let file = project.write(&format!("media/{name}"), bytes(length as u64, length));
        std::fs::File::options().append(true).open(file).unwrap().set_modified(then).unwrap();
    }
    let mut seen: Vec<(Vec<String>, Vec<Value>)> = Vec::new();
    for (door, is_on) in doors(&app, &project).into_iter().zip([true, false]) {
        let mut kept = Kept::to(&door).await;
        kept.ask(&get("/_next/static/media/short.bin", "")).await;
        let asked = AtomicUsize::new(1);
        let said = async |lines: &str| {
            asked.fetch_add(1, Ordering::Relaxed);
            String::from_utf8_lossy(&Kept::to(&door).await.ask(&get("/kept", lines)).await).into_owned()
        };
        eventually("the page is kept", || async { said("").await.contains("cache-status: Doorway; hit") }).await;
        // The form of a kept page that is made once for all.
        let gzip = "Accept-Encoding: gzip\r\n";
        eventually("it is compressed", || async { said(gzip).await.contains("content-length: ") }).await;
        let asked = asked.into_inner();
        eventually("all that has its lines", || async { access(&door).len() == asked }).await;
        let before = door.pipes();
        let mut answers = Vec::new();
        for _ in 0..4 {
            for (name, length) in FILES {
                let target = format!("/_next/static/media/{name}");
                let all = bytes(length as u64, length);
                let whole = kept.ask(&get(&target, "")).await;
                assert!(whole.ends_with(&all), "{name}");
                let part = kept.ask(&get(&target, "Range: bytes=100-\r\n")).await;
                assert!(part.ends_with(&all[100..]) && part.starts_with(b"HTTP/1.1 206 "), "{name}");
                // Not plain, so that the library writes it.
                let late = kept.ask(&get(&target, "Connection: keep-alive, keep-alive\r\n")).await;
                assert_eq!(same(&late), same(&whole), "{name}");
                answers.extend([same(&whole), same(&part)]);
            }
            let page_is = page();
            let answer = kept.ask(&get("/kept", "")).await;
            assert!(answer.ends_with(page_is.as_bytes()));
            answers.push(same(&answer));
            answers.push(same(&kept.ask(&get("/kept", gzip)).await));
        }
        assert_eq!(door.pipes() > before, is_on, "{before} and {}", door.pipes());
        let count = 4 * (3 * FILES.len() + 2);
        eventually("every request has its line", || async { access(&door).len() == asked + count }).await;
        seen.push((answers, access(&door).split_off(asked)));
    }
    let (copied, carried) = (seen.pop().unwrap(), seen.pop().unwrap());
    assert!(copied.0 == carried.0);
    assert_eq!(copied.1, carried.1);
}

#[tokio::test]
async fn what_is_sent_is_what_was_judged_not_what_is_on_disk_by_now() {
    let (app, project) = (App::saying("not asked").await, Project::new());
    let (old, new) = (bytes(1, 900_000), bytes(2, 900_000));
    let file = project.write_at("public/a.bin", &old);
    let door = door().config(project.config(&app, "public = [\"/a.bin\"]\n")).start();
    let mut kept = Kept::to(&door).await;
    for _ in 0..3 {
        let answer = kept.ask(&get("/a.bin", "")).await;
        assert!(answer.ends_with(&old));
    }
    // A client that has not taken it yet, and the file is another, in place.
    let mut late = Kept::to(&door).await;
    late.0.write_all(get("/a.bin", "").as_bytes()).await.unwrap();
    late.0.readable().await.unwrap();
    std::fs::write(&file, &new).unwrap();
    eventually("the door has seen it", || async {
        Kept::to(&door).await.ask(&get("/a.bin", "")).await.ends_with(&new)
    })
    .await;
    for _ in 0..3 {
        assert!(kept.ask(&get("/a.bin", "")).await.ends_with(&new));
    }
    assert!(late.read(false).await.ends_with(&old));
}
