//! Promise: after SIGHUP the app and its files are those of the build that is there then, whatever its name is.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::releases::Releases;
use crate::harness::raw::eventually;
use crate::harness::{Door, Stub, client, door};

/// As `next build` does with a `deploymentId`: every build has this name.
const NAME: &str = "build-TfctsWXpff2fKS";

async fn page(door: &Door) -> Value {
    serde_json::from_slice(&client::get(door.http(), "/args", &[]).await.bytes().await).expect("JSON")
}

async fn pid(door: &Door) -> i64 {
    let answer = client::get(door.http(), "/", &[]).await.bytes().await;
    serde_json::from_slice::<Value>(&answer).expect("JSON")["pid"].as_i64().expect("a pid")
}

async fn text(door: &Door, path: &str) -> String {
    String::from_utf8(client::get(door.http(), path, &[]).await.bytes().await.to_vec()).unwrap()
}

fn said(door: &Door, message: &str) -> usize {
    door.log().iter().filter(|line| line["message"] == message).count()
}

/// Ends as `next build` does, with one chunk.
fn build(project: &Stub, chunk: &str) {
    project.write(".next/routes-manifest.json", r#"{ "version": 3, "basePath": "", "headers": [] }"#);
    project.write(".next/required-server-files.json", r#"{ "config": { "basePath": "", "assetPrefix": "" } }"#);
    project.write(&format!(".next/static/chunks/{chunk}.js"), chunk);
    project.write(".next/static/service-worker/sw.js", &format!("worker of {chunk}"));
    project.write(".next/prerender-manifest.json", "{}");
    project.write(".next/BUILD_ID", NAME);
    project.write(".next/export-marker.json", "{}");
}

fn real(path: &Path) -> String {
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_build_of_the_same_name_is_taken_over() {
    let project = Stub::new();
    build(&project, "one");
    let door = door().config(project.config()).start();
    let first = pid(&door).await;
    fs::remove_dir_all(project.path().join(".next")).unwrap();
    build(&project, "two");
    door.signal("HUP");
    let is_new = || async { pid(&door).await != first };
    crate::harness::eventually("a process of the new build answers", is_new).await;
    eventually("the log says so", || said(&door, "app started") == 2).await;
}

#[tokio::test]
async fn a_build_that_nobody_touched_is_not_started_again() {
    let project = Stub::new();
    build(&project, "one");
    let releases = Releases::leading_to(&project);
    let door = door().config(releases.config()).start();
    let first = pid(&door).await;
    // The same release by another link, and a file that the app itself writes (ISR).
    releases.lead_to(&project);
    project.write(".next/server/app/index.html", "made anew");
    for reloads in 1..=2 {
        door.signal("HUP");
        eventually("it is reloaded", || said(&door, "reloaded") == reloads).await;
    }
    assert_eq!(pid(&door).await, first);
    assert_eq!(said(&door, "app started"), 1);
}

#[tokio::test]
async fn release_link_is_followed_by_process_and_files_together() {
    let (one, two) = (Stub::new(), Stub::new());
    build(&one, "one");
    build(&two, "two");
    let releases = Releases::leading_to(&one);
    let door = door().config(releases.config()).start();
    assert_eq!(page(&door).await["cwd"], real(one.path()));
    assert_eq!(text(&door, "/_next/static/service-worker/sw.js").await, "worker of one");

    // A release that does not start: process and files stay those of the one before.
    two.write("crash", "");
    releases.lead_to(&two);
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "the new app does not start, the old one stays");
    assert_eq!(page(&door).await["cwd"], real(one.path()));
    assert_eq!(text(&door, "/_next/static/service-worker/sw.js").await, "worker of one");
    // Nor does an end of its process bring another release than the one that ran.
    client::ask(door.http(), "POST", "/exit", &[], "").await;
    assert_eq!(page(&door).await["cwd"], real(one.path()));

    two.remove("crash");
    let seen = door.log().len();
    door.signal("HUP");
    door.wait_for_log_after(seen, |line| line["message"] == "app started");
    eventually_text(&door, "/_next/static/service-worker/sw.js", "worker of two").await;
    let is_there = || async { page(&door).await["cwd"] == real(two.path()) };
    crate::harness::eventually("the process of the other release answers", is_there).await;
    assert_eq!(text(&door, "/_next/static/chunks/two.js").await, "two");
}

async fn eventually_text(door: &Door, path: &str, expected: &str) {
    crate::harness::eventually(&format!("{path} is {expected:?}"), || async { text(door, path).await == expected })
        .await;
}

/// `doorway reload` for `door`: its exit code, and what it wrote.
async fn doorway_reload(door: &Door) -> (Option<i32>, String) {
    // A file of its own: one that is written anew may be read, by a command that runs already, while it is empty.
    let file = tempfile::NamedTempFile::new_in(door.folder()).unwrap();
    fs::write(&file, format!("[admin]\nlisten = \"{}\"\n", door.admin())).unwrap();
    let run = move || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorway"));
        command.args(["reload", "--config"]).arg(file.path()).output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn doorway_reload_tells_what_became_of_it() {
    let project = Stub::new();
    build(&project, "one");
    let door = door().config(project.config()).start();
    let first = pid(&door).await;
    assert_eq!(doorway_reload(&door).await, (Some(0), "reloaded, app unchanged\n".into()));
    door.wait_for_log(|line| line["message"] == "app unchanged");

    build(&project, "two");
    let (code, text) = doorway_reload(&door).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with(&format!("reloaded, app replaced: {NAME} in {}", real(project.path()))), "{text}");
    let line = door.wait_for_log(|line| line["message"] == "app replaced");
    assert_ne!(line["before"], line["now"], "{line}");
    let second = pid(&door).await;
    assert_ne!(second, first, "the new app answers when the command ends");

    project.write("crash", "");
    build(&project, "three");
    let (code, text) = doorway_reload(&door).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not reloaded: the app ended before it answered (exit status: 3)"), "{text}");
    assert_eq!(pid(&door).await, second);
    for outcome in ["unchanged", "replaced", "failed"] {
        door.wait_for_metric(&format!("upstream_reloads_total{{outcome=\"{outcome}\"}}"), 1.0).await;
    }

    fs::remove_dir_all(project.path().join(".next")).unwrap();
    let (code, text) = doorway_reload(&door).await;
    assert!(code == Some(1) && text.contains("there is no build in"), "{code:?} {text}");

    door.rewrite("[app]\nurl = 5\n");
    let (code, text) = doorway_reload(&door).await;
    assert!(code == Some(1) && text.contains("url"), "{code:?} {text}");
    assert_eq!(pid(&door).await, second);
}

/// What `POST /reload` says, and whether its status is that of a success.
async fn told(door: &Door) -> (bool, Value) {
    let answer = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
    let is_ok = match answer.status {
        200 => true,
        409 => false,
        other => panic!("{other}"),
    };
    (is_ok, serde_json::from_slice(&answer.bytes().await).unwrap())
}

#[tokio::test]
async fn who_asks_for_a_reload_is_told_what_needs_a_restart() {
    let project = Stub::new();
    build(&project, "one");
    let guarded = project.config() + "[[realtime.channel]]\nmatch = \"news\"\npublish = \"app\"\n";
    let door = door().config(guarded).start();
    let first = pid(&door).await;
    door.rewrite(&format!("{}[log]\nformat = \"human\"\n[listen]\nbacklog = 77\n", project.config()));
    let (is_ok, report) = told(&door).await;
    assert!(!is_ok && report["ok"] == false && report["config"] == "taken" && report["app"] == "unchanged", "{report}");
    assert_eq!(report["needs_restart"], serde_json::json!(["listen.backlog", "log.format"]));
    assert_eq!(report["reason"], "all but listen.backlog, log.format, which needs a restart");
    assert_eq!(report["opened"], serde_json::json!(["realtime.channel"]));
    assert_eq!(doorway_reload(&door).await.0, Some(1));

    // What became of the app is what matters more.
    project.write("crash", "");
    build(&project, "two");
    let (is_ok, report) = told(&door).await;
    assert!(!is_ok && report["app"] == "failed", "{report}");
    assert!(report["reason"].as_str().unwrap().contains("ended before it answered"), "{report}");
    assert!(report["opened"].is_null(), "that was said: {report}");
    assert_eq!(report["needs_restart"], serde_json::json!(["listen.backlog", "log.format"]));
    assert_eq!(pid(&door).await, first);

    project.remove("crash");
    door.rewrite(&project.config());
    let (is_ok, report) = told(&door).await;
    assert!(
        is_ok && report["ok"] == true && report["needs_restart"].is_null() && report["reason"].is_null(),
        "{report}"
    );
}

#[tokio::test]
async fn who_asks_for_a_reload_must_be_no_web_page_and_use_post() {
    let door = door().start();
    assert_eq!(client::get(door.admin(), "/reload", &[("host", "localhost")]).await.status, 405);
    let origin = [("host", "localhost"), ("origin", "http://evil.test")];
    assert_eq!(client::ask(door.admin(), "POST", "/reload", &origin, "").await.status, 403);
    let answer = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 200);
    let told: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    assert_eq!(told, serde_json::json!({ "ok": true, "config": "taken", "app": "unchanged", "changes": [] }));
}

#[test]
fn doorway_reload_without_a_door_says_where_it_asked() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (listen, word) in [(free.to_string(), free.to_string()), ("off".to_owned(), "SIGHUP".to_owned())] {
        let file = folder.path().join("proxy.toml");
        fs::write(&file, format!("[admin]\nlisten = {listen:?}\n")).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_doorway"));
        let output = command.args(["reload", "--config"]).arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&word), "{text}");
    }
}

#[tokio::test]
async fn old_chunks_outlive_a_folder_that_is_deleted() {
    let project = Stub::new();
    build(&project, "one");
    let door = door().config(project.config()).start();
    eventually("the first build is kept", || has(&door.kept(), "one")).await;
    fs::remove_dir_all(project.path().join(".next")).unwrap();
    build(&project, "two");
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "app replaced");
    eventually_text(&door, "/_next/static/chunks/two.js", "two").await;
    eventually_text(&door, "/_next/static/chunks/one.js", "one").await;
    eventually("of the same name, and yet apart", || has(&door.kept(), "two")).await;
    assert_eq!(fs::read_dir(door.kept()).unwrap().flatten().filter(|entry| entry.path().is_dir()).count(), 2);
}

#[tokio::test]
async fn old_chunks_outlive_a_release_that_is_deleted() {
    let (one, two) = (Stub::new(), Stub::new());
    build(&one, "one");
    build(&two, "two");
    let releases = Releases::leading_to(&one);
    let door = door().config(releases.config()).start();
    eventually("the first release is kept", || has(&door.kept(), "one")).await;
    releases.lead_to(&two);
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "app replaced");
    fs::remove_dir_all(one.path().join(".next")).unwrap();
    eventually_text(&door, "/_next/static/chunks/two.js", "two").await;
    eventually_text(&door, "/_next/static/chunks/one.js", "one").await;
}

/// Whether a build with `chunk` is kept in `folder`.
fn has(folder: &Path, chunk: &str) -> bool {
    let builds = fs::read_dir(folder).into_iter().flatten().flatten();
    builds.into_iter().any(|build| build.path().join(format!("chunks/{chunk}.js")).exists())
}

#[tokio::test]
async fn half_a_build_is_not_taken_over() {
    let project = Stub::new();
    build(&project, "one");
    let door = door().config(project.config()).start();
    let first = pid(&door).await;
    fs::remove_dir_all(project.path().join(".next")).unwrap();
    build(&project, "two");
    let files = ["export-marker.json", "prerender-manifest.json", "routes-manifest.json"];
    for (reloads, file) in files.into_iter().enumerate() {
        let text = project.read(&format!(".next/{file}"));
        project.remove(&format!(".next/{file}"));
        let (code, said) = doorway_reload(&door).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("is not whole: it has no {file}")), "{said}");
        #[expect(clippy::cast_precision_loss, reason = "three")]
        let count = (reloads + 1) as f64;
        door.wait_for_metric("upstream_reloads_total{outcome=\"unfinished\"}", count).await;
        project.write(&format!(".next/{file}"), &text);
    }
    door.wait_for_log(|line| line["message"] == "the new build is not whole, the old app stays");
    assert_eq!(pid(&door).await, first);
    let (code, said) = doorway_reload(&door).await;
    assert!(code == Some(0) && said.contains("app replaced"), "{said}");
}

#[tokio::test]
async fn files_follow_the_process_where_a_build_is_replaced_in_place() {
    let project = Stub::new();
    build(&project, "one");
    let door = door().config(project.config()).start();
    eventually("the first build is kept", || has(&door.kept(), "one")).await;
    fs::remove_dir_all(project.path().join(".next")).unwrap();
    build(&project, "two");
    let worker = "/_next/static/service-worker/sw.js";
    // A page of the new build may have been read from the disk by the old process.
    eventually_text(&door, "/_next/static/chunks/two.js", "two").await;
    for _ in 0..2 {
        assert_eq!(text(&door, "/_next/static/chunks/one.js").await, "one");
        assert_eq!(text(&door, worker).await, "worker of one", "a name that stays is the process's");
        // A config that is refused by the app's half of it changes nothing of that either.
        project.remove(".next/export-marker.json");
        assert_eq!(doorway_reload(&door).await.0, Some(1));
        project.write(".next/export-marker.json", "{}");
    }
    assert_eq!(doorway_reload(&door).await.0, Some(0));
    eventually_text(&door, worker, "worker of two").await;
    assert_eq!(text(&door, "/_next/static/chunks/one.js").await, "one");
}

#[tokio::test]
async fn two_reloads_at_once_start_one_process() {
    let project = Stub::new();
    build(&project, "one");
    project.write("slow", "");
    let door = door().config(project.config()).start();
    build(&project, "two");
    let (one, two) = tokio::join!(doorway_reload(&door), doorway_reload(&door));
    assert_eq!((one.0, two.0), (Some(0), Some(0)), "{one:?} {two:?}");
    let replaced = [one, two].iter().filter(|(_, said)| said.contains("app replaced")).count();
    assert_eq!(replaced, 1);
    eventually("two starts are in the log", || said(&door, "app started") == 2).await;
    assert_eq!(door.metric("upstream_starts_total").await, 2.0);
}

#[tokio::test]
async fn a_link_to_a_link_is_followed() {
    let (one, two) = (Stub::new(), Stub::new());
    build(&one, "one");
    build(&two, "two");
    let releases = Releases::leading_to(&one);
    let link = releases.folder.path().join("site");
    std::os::unix::fs::symlink("current", &link).unwrap();
    let door = door().config(format!("[app]\ndir = {link:?}\n")).start();
    assert_eq!(page(&door).await["cwd"], real(one.path()));
    releases.lead_to(&two);
    assert_eq!(doorway_reload(&door).await.0, Some(0));
    assert_eq!(page(&door).await["cwd"], real(two.path()));
}

#[tokio::test]
async fn a_link_above_the_folder_is_followed_and_old_chunks_stay() {
    let (one, two) = (Stub::new(), Stub::new());
    build(&one, "one");
    build(&two, "two");
    let releases = Releases { folder: tempfile::tempdir().unwrap() };
    for (release, project) in [("1", &one), ("2", &two)] {
        let folder = releases.folder.path().join(release);
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(project.path(), folder.join("web")).unwrap();
    }
    let lead_to = |release: &str| {
        let next = releases.folder.path().join("next");
        std::os::unix::fs::symlink(release, &next).unwrap();
        fs::rename(next, releases.current()).unwrap();
    };
    lead_to("1");
    let door = door().config(format!("[app]\ndir = {:?}\n", releases.current().join("web"))).start();
    assert_eq!(page(&door).await["cwd"], real(one.path()));
    eventually("the first release is kept", || has(&door.kept(), "one")).await;
    lead_to("2");
    assert_eq!(doorway_reload(&door).await.0, Some(0));
    assert_eq!(page(&door).await["cwd"], real(two.path()));
    fs::remove_dir_all(one.path()).unwrap();
    fs::create_dir(one.path()).unwrap();
    eventually_text(&door, "/_next/static/chunks/two.js", "two").await;
    eventually_text(&door, "/_next/static/chunks/one.js", "one").await;
    assert!(!two.path().join(".doorway").exists(), "a release is left alone");
}

#[tokio::test]
async fn another_folder_with_the_same_build_is_another_release() {
    let (one, two) = (Stub::new(), Stub::new());
    build(&one, "one");
    std::os::unix::fs::symlink(one.path().join(".next"), two.path().join(".next")).unwrap();
    let releases = Releases::leading_to(&one);
    let door = door().config(releases.config()).start();
    releases.lead_to(&two);
    assert_eq!(doorway_reload(&door).await.0, Some(0));
    assert_eq!(page(&door).await["cwd"], real(two.path()));
}

#[tokio::test]
async fn two_doors_with_one_state_folder_keep_their_apps_apart() {
    let (one, two, state) = (Stub::new(), Stub::new(), tempfile::tempdir().unwrap());
    build(&one, "one");
    build(&two, "two");
    let start = |app: &Stub| door().config(app.config()).env("STATE_DIRECTORY", state.path().to_str().unwrap()).start();
    let (first, _second) = (start(&one), start(&two));
    let all = state.path().join("static");
    let folders = || fs::read_dir(&all).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let both = || ["one", "two"].iter().all(|chunk| folders().iter().filter(|app| has(app, chunk)).count() == 1);
    eventually("both are kept", both).await;
    assert_eq!(folders().len(), 2);
    assert_ne!(text(&first, "/_next/static/chunks/two.js").await, "two", "it is the other's");
}
