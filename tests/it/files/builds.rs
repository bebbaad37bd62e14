//! Promise: a deploy needs no word to the door: new files are there at once, and old tabs keep theirs for a while.

use serde_json::json;

use crate::harness::{App, Door, Project, client, door, eventually, response};

async fn app() -> App {
    App::start(|request| async move {
        let mut answer = response(404, "the app knows no such page");
        answer.headers_mut().insert("x-app", request.uri().path().parse().unwrap());
        answer
    })
    .await
}

async fn body(door: &Door, path: &str) -> String {
    String::from_utf8(client::get(door.http(), path, &[]).await.bytes().await.to_vec()).unwrap()
}

/// Whether `folder` has `file` of a build; builds lie in folders named `build-TIME-NAME`.
fn is_kept(folder: &std::path::Path, file: &str) -> bool {
    let (build, file) = file.split_once('/').unwrap();
    let builds = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    builds.into_iter().any(|path| path.to_string_lossy().ends_with(&format!("-{build}")) && path.join(file).exists())
}

async fn until(door: &Door, path: &str, expected: &str) {
    eventually(&format!("{path} is {expected:?}"), || async { body(door, path).await == expected }).await;
}

#[tokio::test]
async fn a_new_build_is_seen_and_the_files_of_the_old_one_stay() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/old-1.js", "old chunk");
    project.write("chunks/never-asked-for-1.js", "old and never read");
    project.write("service-worker/sw.js", "old worker");
    let door = door().config(project.config(&app, "")).start();
    assert_eq!(body(&door, "/_next/static/chunks/old-1.js").await, "old chunk");
    // Kept behind the back of the start: what is deleted before it is kept cannot be kept.
    eventually("the first build is kept", || async { is_kept(&door.kept(), "one/chunks/never-asked-for-1.js") }).await;
    project.clean();
    until(&door, "/_next/static/chunks/old-1.js", "old chunk").await;
    assert_eq!(body(&door, "/_next/static/chunks/never-asked-for-1.js").await, "old and never read", "while it builds");
    project.write("chunks/new-2.js", "new chunk");
    project.write("service-worker/sw.js", "new worker");
    project.build("two");
    assert_eq!(body(&door, "/_next/static/chunks/new-2.js").await, "new chunk", "the very next request");
    until(&door, "/_next/static/service-worker/sw.js", "new worker").await;
    for (name, text) in [("old-1.js", "old chunk"), ("never-asked-for-1.js", "old and never read")] {
        let answer = client::get(door.http(), &format!("/_next/static/chunks/{name}"), &[]).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(answer.bytes().await, text, "for tabs of before the deploy");
    }
    assert!(door.metric("files_previous_build_total").await >= 2.0);
    eventually("the second build is kept too", || async {
        client::get(door.http(), "/_next/static/chunks/new-2.js", &[]).await;
        is_kept(&door.kept(), "two/chunks/new-2.js")
    })
    .await;
}

#[tokio::test]
async fn earlier_builds_survive_a_restart_of_the_door() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/old-1.js", "old chunk");
    let kept = tempfile::tempdir().unwrap();
    let config = project.config(&app, &format!("keep_dir = {:?}", kept.path()));
    let first = door().config(config.clone()).start();
    eventually("it is kept where the config says", || async { is_kept(kept.path(), "one/chunks/old-1.js") }).await;
    drop(first);
    project.clean();
    project.build("two");
    let second = door().config(config).start();
    until(&second, "/_next/static/chunks/old-1.js", "old chunk").await;
    assert!(!second.kept().exists());
}

#[tokio::test]
async fn keeping_can_be_switched_off_and_need_not_be_possible() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/old-1.js", "old chunk");
    let off = door().config(project.config(&app, "keep_previous = \"0s\"")).start();
    // A file where the folder would have to be.
    let blocked = project.write_at("blocked", "");
    let impossible = door().config(project.config(&app, &format!("keep_dir = {blocked:?}"))).start();
    impossible.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("open tabs will miss")));
    for door in [&off, &impossible] {
        assert_eq!(body(door, "/_next/static/chunks/old-1.js").await, "old chunk");
    }
    project.clean();
    project.build("two");
    for door in [&off, &impossible] {
        until(door, "/_next/static/chunks/old-1.js", "the app knows no such page").await;
    }
    assert!(!off.kept().exists() && !impossible.kept().exists());
}

#[tokio::test]
async fn a_file_that_changes_under_its_name_is_read_again() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/same.js", "one");
    let door = door().config(project.config(&app, "keep_previous = \"0s\"")).start();
    let first = client::get(door.http(), "/_next/static/chunks/same.js", &[]).await;
    project.write("chunks/same.js", "another");
    until(&door, "/_next/static/chunks/same.js", "another").await;
    assert_ne!(
        client::get(door.http(), "/_next/static/chunks/same.js", &[]).await.header("etag"),
        first.header("etag")
    );
    std::fs::remove_file(project.path().join(".next/static/chunks/same.js")).unwrap();
    until(&door, "/_next/static/chunks/same.js", "the app knows no such page").await;
}

#[tokio::test]
async fn a_build_made_after_the_start_is_found() {
    let app = app().await;
    let project = Project::unbuilt();
    let door = door().config(project.config(&app, "")).start();
    assert_eq!(body(&door, "/_next/static/chunks/a.js").await, "the app knows no such page");
    project.write("chunks/a.js", "built at last");
    project.build("one");
    until(&door, "/_next/static/chunks/a.js", "built at last").await;
}

#[tokio::test]
async fn base_path_and_asset_prefix_come_from_the_build() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/a.js", "chunk");
    project.write_at("public/images/a.txt", "public");
    project.manifests(json!({ "basePath": "/docs", "assetPrefix": "https://cdn.test/assets" }), json!([]));
    let door = door().config(project.config(&app, "public = [\"/images/\"]")).start();
    for (path, expected) in [
        ("/docs/_next/static/chunks/a.js", "chunk"),
        ("/assets/_next/static/chunks/a.js", "chunk"),
        ("/_next/static/chunks/a.js", "the app knows no such page"),
        ("/docs/images/a.txt", "public"),
        ("/images/a.txt", "the app knows no such page"),
    ] {
        assert_eq!(body(&door, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn public_files_are_the_apps_unless_the_config_names_them() {
    let app = app().await;
    let project = Project::new();
    project.write_at("public/robots.txt", "robots");
    project.write_at("public/images/a.txt", "picture");
    project.write_at("public/other.txt", "other");
    let by_default = door().config(project.config(&app, "")).start();
    assert_eq!(body(&by_default, "/robots.txt").await, "the app knows no such page", "proxy.ts may have a word");
    let named = door().config(project.config(&app, "public = [\"/images/\", \"/robots.txt\"]")).start();
    let answer = client::get(named.http(), "/robots.txt", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=0");
    assert_eq!(answer.bytes().await, "robots");
    assert_eq!(body(&named, "/images/a.txt").await, "picture");
    assert_eq!(body(&named, "/other.txt").await, "the app knows no such page");
}

#[tokio::test]
async fn the_apps_own_header_rules_hold_for_files_too() {
    let app = app().await;
    let project = Project::new();
    project.write("chunks/a.js", "a".repeat(2000));
    project.write("media/font.woff2", "font");
    let any = "^(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?(?:/)?$";
    let rules = json!([
        { "source": "/:path*", "regex": any, "headers": [
            { "key": "Access-Control-Allow-Origin", "value": "https://other.test" },
            { "key": "Vary", "value": "Origin" }, { "key": "Content-Length", "value": "3" } ] },
        { "source": "/_next/static/media/(.*)", "regex": "^/_next/static/media(?:/(.*))(?:/)?$",
          "headers": [{ "key": "Timing-Allow-Origin", "value": "*" }],
          "has": [{ "type": "header", "key": "origin" }] },
    ]);
    project.manifests(json!({ "basePath": "", "assetPrefix": "" }), rules);
    let door = door().config(project.config(&app, "")).start();
    for headers in [vec![], vec![("range", "bytes=0-9")], vec![("if-none-match", "*")]] {
        let answer = client::get(door.http(), "/_next/static/chunks/a.js", &headers).await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://other.test", "{}", answer.status);
        assert_eq!(answer.header("vary"), "Origin, accept-encoding");
    }
    assert_eq!(body(&door, "/_next/static/chunks/a.js").await.len(), 2000);
    let font = client::get(door.http(), "/_next/static/media/font.woff2", &[]).await;
    assert_eq!(font.header("x-app"), "/_next/static/media/font.woff2", "this rule only the app can evaluate");
}

#[tokio::test]
async fn a_reload_takes_the_new_section() {
    let app = app().await;
    let (one, two) = (Project::new(), Project::new());
    one.write("chunks/a.js", "of one");
    two.write("chunks/a.js", "of two");
    let door = door().config(one.config(&app, "")).start();
    assert_eq!(body(&door, "/_next/static/chunks/a.js").await, "of one");
    let text = std::fs::read_to_string(door.config_file()).unwrap();
    let text = text.replace(one.path().to_str().unwrap(), two.path().to_str().unwrap());
    std::fs::write(door.config_file(), text).unwrap();
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    assert_eq!(body(&door, "/_next/static/chunks/a.js").await, "of two");
}
