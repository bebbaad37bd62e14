//! Promise: files of any size are sent in constant memory, and hot files take no more than the config allows.

use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::harness::{App, Project, client, door};

const LARGE: u64 = 96 * 1024 * 1024;
const MIB: u64 = 1024 * 1024;

/// Eight bytes that tell where in the file they are.
fn content_at(at: u64) -> [u8; 8] {
    (at / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
}

fn write_large(project: &Project) -> std::path::PathBuf {
    let path = project.write("media/film.mp4", "");
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    for at in (0..LARGE).step_by(8) {
        file.write_all(&content_at(at)).unwrap();
    }
    file.flush().unwrap();
    path
}

#[tokio::test]
async fn a_large_file_is_sent_whole_and_in_parts_in_constant_memory() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    let path = write_large(&project);
    let door = door().config(project.config(&app, "")).start();
    let film = "/_next/static/media/film.mp4";
    client::get(door.http(), film, &[("range", "bytes=0-9")]).await.bytes().await;
    let before = door.resident();
    let mut answer = client::get(door.http(), film, &[]).await;
    assert_eq!((answer.status, answer.header("content-length")), (200, LARGE.to_string()));
    let (mut at, mut most, mut left) = (0_u64, before, Vec::new());
    while let Some(chunk) = answer.chunk().await {
        left.extend_from_slice(&chunk);
        let whole = left.len() / 8 * 8;
        for eight in left[..whole].chunks(8) {
            assert_eq!(eight, content_at(at), "at {at}");
            at += 8;
        }
        left.drain(..whole);
        most = most.max(door.resident());
    }
    assert_eq!(at, LARGE);
    let grown = (most - before) / MIB;
    assert!(grown < 24, "{grown} MiB for a file of 96 MiB");
    let tag = answer.header("etag");
    for (first, last) in [(0, 7), (23_456_789, 23_556_788), (LARGE - 100, LARGE - 1)] {
        let range = format!("bytes={first}-{last}");
        let part = client::get(door.http(), film, &[("range", &range), ("if-range", &tag)]).await;
        assert_eq!((part.status, part.header("content-range")), (206, format!("bytes {first}-{last}/{LARGE}")));
        let mut expected = vec![0; (last - first + 1) as usize];
        std::fs::File::open(&path).unwrap().read_exact_at(&mut expected, first).unwrap();
        assert!(part.bytes().await == expected, "{range}");
    }
    assert!(door.metric("files_memory_bytes").await < 100_000.0, "it is not held");
}

#[tokio::test]
async fn many_slow_readers_of_a_large_file_take_little() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    write_large(&project);
    let door = door().config(project.config(&app, "")).start();
    client::get(door.http(), "/_next/static/media/film.mp4", &[("range", "bytes=0-9")]).await.bytes().await;
    let before = door.resident();
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut answer = client::get(door.http(), "/_next/static/media/film.mp4", &[]).await;
        assert!(answer.chunk().await.is_some());
        readers.push(answer);
    }
    let grown = (door.resident() - before) / MIB;
    assert!(grown < 100, "{grown} MiB for 50 readers of 96 MiB each");
}

#[tokio::test]
async fn a_file_cut_short_while_it_is_sent_breaks_off() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    let path = write_large(&project);
    let door = door().config(project.config(&app, "")).start();
    let mut answer = client::get(door.http(), "/_next/static/media/film.mp4", &[]).await;
    assert!(answer.chunk().await.is_some());
    std::fs::File::options().write(true).open(path).unwrap().set_len(MIB).unwrap();
    let broken = loop {
        match answer.piece().await {
            Some(Ok(_)) => continue,
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(broken, "half a file must not look like a whole one");
}

#[tokio::test]
async fn hot_files_take_no_more_memory_than_allowed() {
    let app = App::saying("not asked").await;
    let project = Project::new();
    for number in 0..200 {
        project.write(&format!("media/{number}.png"), vec![number as u8; 200_000]);
    }
    let door = door().config(project.config(&app, "memory = \"8MiB\"")).start();
    let before = door.resident();
    for round in 0..2 {
        for number in 0..200 {
            let answer = client::get(door.http(), &format!("/_next/static/media/{number}.png"), &[]).await;
            let bytes = answer.bytes().await;
            assert!(bytes.len() == 200_000 && bytes.iter().all(|byte| *byte == number as u8), "round {round}");
        }
    }
    let held = door.metric("files_memory_bytes").await;
    assert!((1e6..8.4e6).contains(&held), "{held} bytes held");
    let grown = (door.resident() - before) / MIB;
    assert!(grown < 40, "{grown} MiB for 38 MiB of files, of which 8 may be held");
}
