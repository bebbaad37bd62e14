//! Promise: a start builds what is older than its sources and installs what is older than its manifest, says why, and does
//! neither where that changes nothing.

use std::fs::File;
use std::time::{Duration, SystemTime};

use crate::harness::{Door, Stub, client, door};

/// What the log says of the second start: the lines that begin with one of these words.
const SAID: [&str; 3] = ["installing", "building", "used as it is"];

fn start(project: &Stub, arguments: &[&str]) -> Door {
    let directory = project.path().to_str().unwrap();
    let arguments: Vec<_> = [directory].iter().chain(arguments).copied().collect();
    door().env("PATH", project.search_path()).arguments(&arguments).start()
}

fn said(door: &Door) -> Vec<String> {
    let log = door.log();
    let messages = log.iter().filter_map(|line| line["message"].as_str());
    messages.filter(|text| SAID.iter().any(|word| text.starts_with(word))).map(str::to_owned).collect()
}

async fn build(door: &Door) -> String {
    let answer = client::get(door.http(), "/", &[]).await.bytes().await;
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    answer["build"].as_str().expect("a build").to_owned()
}

/// As if `file` were written `seconds` from now.
fn age(project: &Stub, file: &str, seconds: i64) {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { SystemTime::now() - by } else { SystemTime::now() + by };
    File::options().write(true).open(project.path().join(file)).unwrap().set_modified(time).unwrap();
}

/// A project that was built by a door before.
fn built() -> Stub {
    let project = Stub::new();
    project.write("app/page.tsx", "one");
    project.write("app/old/page.tsx", "old");
    project.write("package-lock.json", "{}");
    drop(start(&project, &[]));
    project
}

#[tokio::test]
async fn a_page_that_was_edited_is_built_at_the_next_start() {
    let project = built();
    assert_eq!(said(&start(&project, &[])), [""; 0], "nothing has changed");
    project.write("app/page.tsx", "two");
    project.write("source", "second");
    let door = start(&project, &[]);
    let why = said(&door);
    assert!(why.len() == 1 && why[0].starts_with("building: app/page.tsx is newer than the build of "), "{why:?}");
    assert!(why[0].ends_with(" UTC"), "{why:?}");
    assert_eq!(build(&door).await, "second");
    drop(door);
    assert_eq!(said(&start(&project, &[])), [""; 0], "it has been built");
}

#[test]
fn all_that_goes_into_a_build_makes_another() {
    let project = built();
    let rebuilt = |words: &str| {
        let why = said(&start(&project, &[]));
        assert!(why.len() == 1 && why[0].starts_with(&format!("building: {words} the build of ")), "{words}: {why:?}");
    };
    std::fs::rename(project.path().join("app/old"), project.path().join("app/new")).unwrap();
    rebuilt("app/new/page.tsx is newer than");
    project.remove("app/new/page.tsx");
    rebuilt("app/new/page.tsx is gone since");
    for file in ["next.config.ts", ".env", ".env.production", ".env.local", ".babelrc", "app/.well-known/route.ts"] {
        project.write(file, "new");
        rebuilt(&format!("{file} is newer than"));
    }
    // A package of the same workspace.
    let beside = tempfile::tempdir().unwrap();
    std::fs::write(beside.path().join("button.tsx"), "one").unwrap();
    std::os::unix::fs::symlink(beside.path(), project.path().join("node_modules/ui")).unwrap();
    project.write("package.json", r#"{ "dependencies": { "next": "16.4.6", "ui": "workspace:*" } }"#);
    age(&project, "package.json", -100);
    let beside_it = beside.path().canonicalize().unwrap();
    rebuilt(&format!("{} is newer than", beside_it.join("button.tsx").display()));
}

#[test]
fn what_does_not_go_into_a_build_makes_none() {
    let project = built();
    project.write(".gitignore", "npm-was-called\nbuilt-with\ntools\nuploads\n");
    drop(start(&project, &[]));
    for file in [
        "uploads/cat.png",
        "data.sqlite",
        "data.sqlite-wal",
        "server.log",
        "node_modules/some/index.js",
        ".next/cache/x",
        ".doorway/x",
        ".vscode/settings.json",
        ".DS_Store",
        ".env.development",
        "next-env.d.ts",
        "tsconfig.tsbuildinfo",
        "proxy.toml.swp~",
    ] {
        project.write(file, "new");
    }
    // Written again with what was in it: a branch that was left and come back to.
    project.write("app/page.tsx", "one");
    age(&project, "app/page.tsx", 100);
    assert_eq!(said(&start(&project, &[])), [""; 0]);
}

#[tokio::test]
async fn a_build_by_hand_is_judged_by_its_time() {
    let project = built();
    project.remove(".next/doorway-sources.json");
    age(&project, "app/page.tsx", -100);
    assert_eq!(said(&start(&project, &[])), [""; 0]);
    project.write("source", "second");
    age(&project, "app/page.tsx", 100);
    age(&project, "source", -100);
    let door = start(&project, &[]);
    let why = said(&door);
    assert!(why.len() == 1 && why[0].starts_with("building: app/page.tsx is newer than the build of "), "{why:?}");
    assert_eq!(build(&door).await, "second");
}

#[tokio::test]
async fn a_public_variable_is_part_of_the_build() {
    let project = built();
    let directory = project.path().to_str().unwrap().to_owned();
    let start = || door().arguments(&[&directory]).env("NEXT_PUBLIC_API", "https://api").start();
    let why = said(&start());
    let words = "building: the environment's NEXT_PUBLIC_API is another than in the build of ";
    assert!(why.len() == 1 && why[0].starts_with(words), "{why:?}");
    assert_eq!(said(&start()), [""; 0]);
}

#[tokio::test]
async fn flags_force_a_build_and_forbid_one() {
    let project = built();
    project.write("source", "second");
    for arguments in [&["--no-build"][..], &["--config", "never.toml"]] {
        project.write(
            "never.toml",
            "[app]\nbuild = \"never\"\n[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"off\"\n",
        );
        let file = project.path().join("never.toml").display().to_string();
        let arguments: Vec<_> =
            arguments.iter().map(|word| if *word == "never.toml" { &*file } else { word }).collect();
        let door = start(&project, &arguments);
        let why = said(&door);
        assert!(why.len() == 1 && why[0].contains("newer than the build of"), "{why:?}");
        assert!(why[0].starts_with("used as it is: "), "{why:?}");
        assert_eq!(build(&door).await, "first");
    }
    drop(start(&project, &[]));
    assert_eq!(said(&start(&project, &["--build"])), ["building: it was asked for"]);
    std::fs::remove_dir_all(project.path().join(".next")).unwrap();
    let directory = project.path().to_str().unwrap();
    let mut door = door().arguments(&[directory, "--no-build"]).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(
        door.output().contains("there is no build in") && door.output().contains("--no-build"),
        "{}",
        door.output()
    );
}

#[test]
fn packages_are_installed_when_others_are_asked_for() {
    let project = built();
    let installed = |words: &str| {
        let why = said(&start(&project, &[]));
        assert!(why[0].starts_with(&format!("installing: {words} is newer than what was installed at ")), "{why:?}");
    };
    project.write("package-lock.json", r#"{ "lockfileVersion": 3 }"#);
    age(&project, "package-lock.json", 100);
    installed("package-lock.json");
    project.write("package.json", r#"{ "dependencies": { "next": "16.4.6", "left-pad": "1" } }"#);
    age(&project, "package.json", 100);
    installed("package.json");
    project.write(
        "package.json",
        r#"{ "scripts": { "lint": "eslint" }, "dependencies": { "next": "16.4.6", "left-pad": "1" } }"#,
    );
    age(&project, "package.json", 200);
    let why = said(&start(&project, &[]));
    assert!(why.len() == 1 && why[0].starts_with("building: package.json"), "a script is no package: {why:?}");
}
