//! Promise: a process of an old build of Next.js never writes its pages into the folder of a new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::harness::{Door, client, door, eventually, next};

/// The test app in folders of its own, so that its build can be replaced.
struct Copy {
    folder: TempDir,
}

impl Copy {
    fn new() -> Copy {
        let (copy, app) = (Copy { folder: tempfile::tempdir().unwrap() }, next::test_app());
        // With their times, and the lock file: nothing need be installed.
        for name in ["package.json", "package-lock.json", "next.config.ts", "tsconfig.json"] {
            let copied = Command::new("cp").arg("-p").arg(app.join(name)).arg(copy.path()).status().unwrap();
            assert!(copied.success());
        }
        std::os::unix::fs::symlink(app.join("node_modules"), copy.path().join("node_modules")).unwrap();
        copy.build();
        copy
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn dist(&self) -> PathBuf {
        self.path().join(".next")
    }

    /// In place, as `next build` does: what was there goes first.
    fn build(&self) {
        let _ = fs::remove_dir_all(self.dist());
        let copied =
            Command::new("cp").arg("-R").arg(next::test_app().join(".next")).arg(self.dist()).status().unwrap();
        assert!(copied.success());
    }

    /// Every file that a process may write pages into.
    fn pages(&self) -> BTreeMap<PathBuf, SystemTime> {
        let mut found = BTreeMap::new();
        list(&self.dist().join("server"), &mut found);
        found
    }
}

fn list(folder: &Path, found: &mut BTreeMap<PathBuf, SystemTime>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, found);
        } else {
            found.insert(path, entry.metadata().unwrap().modified().unwrap());
        }
    }
}

async fn isr(door: &Door) -> String {
    let page = client::get(door.http(), "/isr", &[]).await;
    assert_eq!(page.status, 200);
    let text = String::from_utf8_lossy(&page.bytes().await).into_owned();
    text.split("id=\"made\">").nth(1).expect("when it was made").split('<').next().unwrap().to_owned()
}

/// Asks until the page has been made anew so many times: each is stored before it is answered from.
async fn made_anew(door: &Door, times: usize) {
    for _ in 0..times {
        let before = isr(door).await;
        eventually("the page is made anew", || async { isr(door).await != before }).await;
    }
}

fn start(directory: &Path) -> Door {
    door().config(format!("[app]\ndir = {directory:?}\n")).env("NEXT_TELEMETRY_DISABLED", "1").start()
}

#[tokio::test]
async fn nor_does_one_that_a_script_of_the_apps_own_has_started() {
    let app = Copy::new();
    let manifest = fs::read_to_string(app.path().join("package.json")).unwrap();
    let own = manifest.replace(r#""start": "next start""#, r#""start": "true && next start""#);
    assert_ne!(own, manifest);
    fs::write(app.path().join("package.json"), own).unwrap();
    let config = format!("[app]\ndir = {:?}\nbuild = \"never\"\n", app.path());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let before = app.pages();
    made_anew(&door, 1).await;
    assert_ne!(app.pages(), before, "into its own build it writes");
    app.build();
    let new = app.pages();
    made_anew(&door, 2).await;
    assert_eq!(app.pages(), new, "into the next one it does not");
    // What a script starts does not end with a door that is killed.
    let mut door = door;
    door.signal("TERM");
    assert!(door.wait().success());
}

#[tokio::test]
async fn an_old_process_writes_no_page_into_a_build_put_in_its_place() {
    let app = Copy::new();
    let door = start(app.path());
    let before = app.pages();
    made_anew(&door, 2).await;
    assert_ne!(app.pages(), before, "into its own build it writes");
    app.build();
    let new = app.pages();
    made_anew(&door, 2).await;
    assert_eq!(app.pages(), new, "into the next one it does not");

    let answer = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 200);
    made_anew(&door, 2).await;
    assert_ne!(app.pages(), new, "the process of that build does");
}

#[tokio::test]
async fn old_process_writes_no_page_into_the_new_release() {
    let (one, two, folder) = (Copy::new(), Copy::new(), tempfile::tempdir().unwrap());
    let (current, next) = (folder.path().join("current"), folder.path().join("next"));
    std::os::unix::fs::symlink(one.path(), &current).unwrap();
    let door = start(&current);
    std::os::unix::fs::symlink(two.path(), &next).unwrap();
    fs::rename(&next, &current).unwrap();
    let (old, new) = (one.pages(), two.pages());
    made_anew(&door, 2).await;
    assert_eq!(two.pages(), new);
    assert_ne!(one.pages(), old, "it goes on in its own");
}
