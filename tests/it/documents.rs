//! Promise: `doorway documents` lists, exports, imports, deletes and copies what rooms have, by a door that runs or in its
//! folder, and sets a damaged folder aside when it is told to.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::ask;
use crate::harness::socket::{Socket, connect};
use crate::harness::{Door, door};

const CONFIG: &str = "[app]\nurl = \"off\"\n\
    [realtime.liveblocks]\nsecret = \"sk_a_secret_of_enough_bytes\"\n[realtime.yjs]\nrooms = [\"*\"]\n\
    [[realtime.channel]]\nmatch = \"*\"\n";

/// "hi" in a text called "t", as an update of Yjs by client 1.
const HI: [u8; 12] = [1, 1, 1, 0, 4, 1, 1, b't', 2, b'h', b'i', 0];

/// A door, and commands beside it.
pub struct Site {
    folder: tempfile::TempDir,
    more: String,
}

impl Site {
    fn new() -> Site {
        Site::with("")
    }

    /// With more in its config.
    pub fn with(more: &str) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap(), more: more.to_owned() };
        fs::write(site.path("door.toml"), site.config()).unwrap();
        site
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn config(&self) -> String {
        format!("{CONFIG}{}[documents]\ndir = {:?}\n", self.more, self.path("documents"))
    }

    pub fn start(&self) -> Door {
        let door = door().config(self.config());
        door.env("XDG_RUNTIME_DIR", self.path("")).env("TMPDIR", self.path("")).start()
    }

    /// Where a door runs it is the only one here; else its config is named.
    pub async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorway"));
        command.arg("documents").args(arguments).current_dir(self.folder.path());
        command.env("XDG_RUNTIME_DIR", self.path("")).env("TMPDIR", self.path(""));
        command.env("XDG_STATE_HOME", self.path("state")).env_remove("RUNTIME_DIRECTORY").env_remove("RUST_LOG");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// What it says when all is well.
    pub async fn done(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {said}");
        said
    }

    /// What it says when it does nothing.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let (code, said) = self.run(arguments).await;
        assert_eq!(code, Some(1), "{arguments:?}: {said}");
        said
    }

    pub async fn rows(&self, room: &str, more: &[&str]) -> Value {
        let file = self.done(&[&["export", room], more].concat()).await;
        serde_json::from_str::<Value>(&file).unwrap()["rows"].take()
    }
}

async fn rest(door: &Door, method: &str, path: &str, body: &Value) -> Value {
    let headers = [("authorization", "Bearer sk_a_secret_of_enough_bytes"), ("content-type", "application/json")];
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let answer = ask(door.http(), method, &format!("/v2/rooms{path}"), &headers, body).await;
    let status = answer.status;
    let bytes = answer.bytes().await;
    assert!(status < 300, "{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap_or_default()
}

pub async fn make(door: &Door, room: &str, title: &str) {
    rest(door, "POST", "", &json!({ "id": room, "defaultAccesses": ["room:write"] })).await;
    let storage = json!({ "liveblocksType": "LiveObject", "data": { "title": title,
        "list": { "liveblocksType": "LiveList", "data": [1, "two"] } } });
    rest(door, "POST", &format!("/{room}/storage"), &storage).await;
}

pub async fn plain(door: &Door, room: &str) -> Value {
    rest(door, "GET", &format!("/{room}/storage?format=json"), &Value::Null).await
}

/// An editor of a room, which has an update put on disk.
pub async fn editor(door: &Door, room: &str) -> Socket {
    let mut socket = connect(door, &format!("/api/ws/yjs/{room}")).await;
    let update = [&[0, 2, u8::try_from(HI.len()).unwrap()], &HI[..]].concat();
    socket.send(Message::Binary(Bytes::from(update))).await;
    // The answer to a question behind it: all that the room lacks for who has nothing.
    socket.send(Message::Binary(Bytes::from_static(&[0, 0, 1, 0]))).await;
    loop {
        if let Message::Binary(frame) = socket.message().await
            && frame.starts_with(&[0, 1])
        {
            assert!(frame.windows(2).any(|pair| pair == b"hi"), "{frame:?}");
            // And what the room has, for the case that the client has more.
            assert!(matches!(socket.message().await, Message::Binary(vector) if vector.starts_with(&[0, 0])));
            return socket;
        }
    }
}

#[tokio::test]
async fn a_room_goes_through_a_file_and_comes_back_to_the_byte() {
    let site = Site::new();
    let door = site.start();
    make(&door, "one", "first").await;
    make(&door, "two", "second").await;
    editor(&door, "one").await.close(1000).await;
    let listed = site.done(&["list"]).await;
    let names: Vec<_> = listed.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(names, ["one", "two"], "{listed}");
    assert_eq!(site.done(&["list", "tw"]).await.lines().count(), 1);

    let file = site.path("one.json");
    site.done(&["export", "one", &file]).await;
    let exported: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(exported["tree"]["data"]["title"], "first");
    assert!(!exported["others"]["m"]["defaultAccesses"].is_null(), "{}", exported["others"]);
    assert!(exported["yjs"][""].is_string() && exported["editors"].as_u64() > Some(0));
    let tree: Value = serde_json::from_str(&site.done(&["export", "one", "--json"]).await).unwrap();
    assert_eq!(tree, json!({ "title": "first", "list": [1, "two"] }));

    site.done(&["import", "three", &file]).await;
    assert_eq!(site.rows("three", &[]).await, exported["rows"]);
    assert_eq!(plain(&door, "three").await, tree);

    let said = site.refused(&["import", "two", &file]).await;
    assert!(said.contains("\"two\" has documents already") && said.contains("--replace"), "{said}");
    assert_eq!(plain(&door, "two").await["title"], "second");
    site.done(&["import", "two", &file, "--replace"]).await;
    assert_eq!(plain(&door, "two").await, tree);

    fs::write(&file, "{\"documents\":1,\"channel\":\"x\",\"rows\":[[\"dG4=\",\"!\"]]}").unwrap();
    let said = site.refused(&["import", "four", &file]).await;
    assert!(said.contains("this is no file of documents: row 0"), "{said}");
    assert!(site.refused(&["export", "four"]).await.contains("there are no documents of \"four\""));
}

#[tokio::test]
async fn who_edits_is_sent_away_and_finds_what_is_there_then() {
    let site = Site::new();
    let door = site.start();
    editor(&door, "one").await.close(1000).await;
    let file = site.path("one.json");
    site.done(&["export", "one", &file]).await;

    let mut ada = editor(&door, "one").await;
    site.done(&["delete", "one"]).await;
    assert_eq!(ada.closed().await, (4001, "the room was deleted".to_owned()));
    assert_eq!(site.done(&["list"]).await, "");
    assert!(site.refused(&["delete", "one"]).await.contains("there are no documents of \"one\""));

    let mut bob = editor(&door, "one").await;
    // A refusal sends nobody away.
    site.refused(&["import", "one", &file]).await;
    bob.is_quiet().await;
    site.done(&["import", "one", &file, "--replace"]).await;
    assert_eq!(bob.closed().await.0, 1011);
    editor(&door, "one").await;
}

#[tokio::test]
async fn a_backup_of_a_running_door_takes_its_place() {
    let site = Site::new();
    let mut running = site.start();
    make(&running, "one", "first").await;
    let mut ada = editor(&running, "one").await;
    let copy = site.path("copy");
    site.done(&["backup", &copy]).await;
    ada.is_quiet().await;
    let rows = site.rows("one", &[]).await;
    assert_eq!(site.rows("one", &["--folder", &copy]).await, rows, "no door is asked for what is in a folder");
    assert!(site.refused(&["backup", &copy]).await.contains("there is something already"));
    let used = site.refused(&["list", "--folder", &site.path("documents")]).await;
    assert!(used.contains("is in use by another process"), "{used}");
    site.done(&["delete", "one"]).await;
    running.signal("TERM");
    running.wait();

    // At rest the same can be done.
    let config = site.path("door.toml");
    assert_eq!(site.done(&["list", "--config", &config]).await, "");
    fs::remove_dir_all(site.path("documents")).unwrap();
    assert!(site.refused(&["list", "--config", &config]).await.contains("there are no documents in"));
    site.done(&["backup", &site.path("documents"), "--folder", &copy]).await;
    let again = site.start();
    assert_eq!(plain(&again, "one").await["title"], "first");
    assert_eq!(site.rows("one", &[]).await, rows);
}

#[tokio::test]
async fn a_damaged_folder_is_named_and_set_aside_when_told() {
    let site = Site::new();
    let mut running = site.start();
    make(&running, "one", "first").await;
    let config = site.path("door.toml");
    assert!(site.refused(&["set-aside", "--config", &config]).await.contains("is in use by another process"));
    running.signal("TERM");
    running.wait();
    assert!(site.refused(&["set-aside", "--config", &config]).await.contains("is not damaged"));
    spoil(Path::new(&site.path("documents")));
    let said = site.refused(&["list", "--config", &config]).await;
    assert!(
        said.contains("are damaged") && said.contains("set-aside") && said.contains(&site.path("documents")),
        "{said}"
    );
    let said = site.done(&["set-aside", "--config", &config]).await;
    assert!(said.contains("documents.damaged-2"), "{said}");
    let again = site.start();
    make(&again, "one", "anew").await;
}

/// Overwrites the beginning of every file.
fn spoil(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            spoil(&path);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len().min(64);
        bytes[..end].fill(0xA5);
        fs::write(&path, bytes).unwrap();
    }
}
