//! Promise: every static file of a real build is answered as `next start` answers it.

use std::path::{Path, PathBuf};

use crate::harness::{client, door, next};

/// The files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Scripts have one name since RFC 9239, where Next.js still says the old one; charsets have no case.
fn meant(value: &str) -> String {
    value.to_ascii_lowercase().replace("application/javascript", "text/javascript")
}

#[tokio::test]
async fn every_file_of_a_build_is_as_next_start_has_it() {
    let app = next::test_app();
    let door =
        door().config(format!("[app]\ndir = \"{}\"\n", app.display())).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let started = door.wait_for_log(|line| line["message"] == "app started");
    let next = started["address"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let folder = app.join(".next/static");
    let files = files(&folder);
    assert!(files.len() > 10, "{files:?}");
    let mut differences = Vec::new();
    for file in files {
        let name = file.strip_prefix(&folder).unwrap().to_str().expect("UTF-8").replace('[', "%5B").replace(']', "%5D");
        let path = format!("/_next/static/{name}");
        let (theirs, ours) = (client::get(next, &path, &[]).await, client::get(door.http(), &path, &[]).await);
        for header in ["content-type", "cache-control", "content-length", "content-encoding", "location"] {
            let (theirs, ours) = (meant(&theirs.header(header)), meant(&ours.header(header)));
            if theirs != ours {
                differences.push(format!("{path}: {header}: {theirs:?} and {ours:?}"));
            }
        }
        assert_eq!((theirs.status, ours.status), (200, 200), "{path}");
        assert!(theirs.bytes().await == ours.bytes().await, "{path}: another body");
    }
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(door.metric("files_answers_total").await > 10.0, "they came from the app");
}
