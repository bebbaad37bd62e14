//! Promise: pages that are open of the build before a deploy are answered by the app of that build for a while, and are
//! told to load themselves anew when it is gone.

use std::fs;

use serde_json::Value;

use super::releases::Releases;
use crate::harness::{Door, Stub, client, door, eventually};

/// A release whose pages call it `id`.
fn release(id: &str) -> Stub {
    let release = Stub::new();
    release.write(".next/routes-manifest.json", r#"{ "version": 3, "basePath": "", "headers": [] }"#);
    release.write(".next/required-server-files.json", &format!(r#"{{ "config": {{ "deploymentId": "{id}" }} }}"#));
    release.write(&format!(".next/static/chunks/{id}.js"), id);
    release.write(".next/static/the-same/_buildManifest.js", &format!("pages of {id}"));
    release.write(".next/prerender-manifest.json", "{}");
    release.write(".next/BUILD_ID", "the-same");
    release.write(".next/export-marker.json", "{}");
    release
}

fn start(releases: &Releases, more: &str) -> Door {
    door().config(format!("{}{more}\n", releases.config())).start()
}

async fn deploy(door: &Door, releases: &Releases, release: &Stub) {
    releases.lead_to(release);
    let answer = client::ask(door.admin(), "POST", "/reload", &[("host", "localhost")], "").await;
    assert_eq!(answer.status, 200);
}

/// What answers a request at `path` that names `deployment`.
async fn answer(door: &Door, path: &str, deployment: &str) -> Value {
    let answer = client::get(door.http(), path, &[("x-deployment-id", deployment)]).await;
    serde_json::from_slice(&answer.bytes().await).expect("JSON")
}

/// Which process that is.
async fn pid(door: &Door, path: &str, deployment: &str) -> i64 {
    answer(door, path, deployment).await["pid"].as_i64().expect("a pid")
}

#[tokio::test]
async fn an_open_page_is_answered_by_the_app_of_its_build() {
    let (one, two, three) = (release("one"), release("two"), release("three"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let first = pid(&door, "/", "one").await;
    assert_eq!(pid(&door, "/", "").await, first);
    let answer = client::get(door.http(), "/cached", &[("x-deployment-id", "one")]).await;
    assert_eq!(answer.header("cache-control"), "s-maxage=60");

    deploy(&door, &releases, &two).await;
    let second = pid(&door, "/", "two").await;
    assert_ne!(second, first);
    for (path, deployment, expected) in [
        ("/", "one", first),
        ("/", "", second),
        ("/", "zero", second),
        ("/?dpl=one", "", first),
        ("/?dpl=two", "one", first),
        ("/?dpl=zero", "", second),
    ] {
        assert_eq!(pid(&door, path, deployment).await, expected, "{path} {deployment}");
    }
    // A page that is loaded is of the new build, whatever its address says.
    let page = client::get(door.http(), "/?dpl=one", &[("sec-fetch-mode", "navigate")]).await.bytes().await;
    assert_eq!(serde_json::from_slice::<Value>(&page).unwrap()["pid"], second);
    for (path, deployment, expected) in [
        ("/cached", "one", "private, no-cache, no-store, max-age=0, must-revalidate"),
        ("/cached?dpl=one", "", "s-maxage=60"),
        ("/cached", "", "s-maxage=60"),
    ] {
        let answer = client::get(door.http(), path, &[("x-deployment-id", deployment)]).await;
        assert_eq!(answer.header("cache-control"), expected, "{path} {deployment}");
    }
    assert_eq!(door.metric("upstream_previous").await, 1.0);
    assert_eq!(door.metric("upstream_previous_requests_total").await, 5.0);
    door.wait_for_log(|line| line["path"] == "/cached" && line["earlier_build"] == "one");

    // One is kept at most.
    deploy(&door, &releases, &three).await;
    let third = pid(&door, "/", "three").await;
    assert_eq!(pid(&door, "/", "two").await, second);
    assert_eq!(pid(&door, "/", "one").await, third);
    door.wait_for_log(|line| line["why"] == "another takes its place");
}

#[tokio::test]
async fn what_the_app_of_before_answers_is_never_kept() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "\n[cache]\npaths = [\"*\"]");
    let first = pid(&door, "/cached", "one").await;
    deploy(&door, &releases, &two).await;
    let second = pid(&door, "/cached", "two").await;
    eventually("it to be kept", async || {
        client::get(door.http(), "/cached", &[]).await.header("cache-status").starts_with("Doorway; hit")
    })
    .await;

    for path in ["/cached", "/cached?new"] {
        let answer = client::get(door.http(), path, &[("x-deployment-id", "one")]).await;
        assert_eq!(answer.header("cache-status"), "Doorway; fwd=bypass; detail=earlier-build", "{path}");
        assert_eq!(pid(&door, path, "one").await, first, "{path}");
        assert_eq!(pid(&door, path, "").await, second, "{path}");
    }
}

#[tokio::test]
async fn when_its_time_is_over_the_new_app_answers() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "skew = \"1s\"");
    let first = pid(&door, "/", "").await;
    deploy(&door, &releases, &two).await;
    door.wait_for_log(|line| line["why"] == "its time is over");
    door.wait_for_metric("upstream_previous", 0.0).await;
    let second = pid(&door, "/", "one").await;
    assert_ne!(second, first);
    let gone = || async { rustix::process::test_kill_process(process(first)).is_err() };
    eventually("its process is gone", gone).await;
}

fn process(pid: i64) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[tokio::test]
async fn an_app_that_was_kept_and_ended_is_not_missed() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let first = pid(&door, "/", "").await;
    deploy(&door, &releases, &two).await;
    let second = pid(&door, "/", "").await;
    assert_eq!(pid(&door, "/", "one").await, first);
    client::ask(door.http(), "POST", "/exit", &[("x-deployment-id", "one")], "").await;
    door.wait_for_log(|line| line["why"] == "it ended by itself" || line["why"] == "it takes no connection");
    assert_eq!(pid(&door, "/", "one").await, second);
    assert_eq!(pid(&door, "/", "").await, second);
    assert_eq!(door.metric("upstream_ready").await, 1.0);
}

#[tokio::test]
async fn connections_to_the_app_of_before_are_used_again() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let first = pid(&door, "/", "").await;
    deploy(&door, &releases, &two).await;
    eventually("a connection is used twice", async || {
        let [before, now] = [answer(&door, "/", "one").await, answer(&door, "/", "one").await];
        assert_eq!((&before["pid"], &now["pid"]), (&first.into(), &first.into()));
        before["peer"] == now["peer"]
    })
    .await;
}

/// Its process lives, so that nothing but the question itself tells.
#[tokio::test]
async fn an_app_that_was_kept_and_takes_nothing_is_not_missed() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let first = pid(&door, "/", "").await;
    deploy(&door, &releases, &two).await;
    let second = pid(&door, "/", "").await;
    assert_eq!(pid(&door, "/deaf", "one").await, first);
    assert_eq!(pid(&door, "/", "one").await, second);
    door.wait_for_log(|line| line["why"] == "it takes no connection");
    assert_eq!(door.metric("upstream_ready").await, 1.0);
}

#[tokio::test]
async fn an_answer_of_the_app_of_before_is_no_sign_of_the_new_one() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "wait_timeout = \"1s\"");
    let first = pid(&door, "/", "").await;
    deploy(&door, &releases, &two).await;
    two.write("crash", "");
    client::ask(door.http(), "POST", "/exit", &[], "").await;
    door.wait_for_metric("upstream_ready", 0.0).await;
    assert_eq!(pid(&door, "/", "one").await, first);
    assert_eq!(door.metric("upstream_ready").await, 0.0);
    assert_eq!(client::get(door.http(), "/", &[]).await.status, 503);
    two.remove("crash");
    door.wait_for_metric("upstream_ready", 1.0).await;
    assert_ne!(pid(&door, "/", "").await, first);
    assert_eq!(pid(&door, "/", "one").await, first);
}

#[tokio::test]
async fn who_has_no_folder_of_his_own_or_no_name_is_not_kept() {
    let (one, two, nameless) = (release("one"), release("two"), release(""));
    for (before, after, more) in
        [(&one, &two, "skew = \"0s\""), (&nameless, &two, ""), (&one, &nameless, "skew = \"0s\"")]
    {
        let releases = Releases::leading_to(before);
        let door = start(&releases, more);
        let first = pid(&door, "/", "").await;
        deploy(&door, &releases, after).await;
        assert_ne!(pid(&door, "/", "one").await, first);
        assert_eq!(door.metric("upstream_previous").await, 0.0);
    }
    // In place: what the old process reads later would be the new build's.
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let first = pid(&door, "/", "").await;
    fs::remove_dir_all(one.path().join(".next")).unwrap();
    fs::rename(two.path().join(".next"), one.path().join(".next")).unwrap();
    deploy(&door, &releases, &one).await;
    assert_ne!(pid(&door, "/", "one").await, first);
    assert_eq!(door.metric("upstream_previous").await, 0.0);
}

#[tokio::test]
async fn a_page_whose_action_is_gone_loads_itself_anew_once() {
    let one = release("one");
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let ask = async |headers: &[(&str, &str)]| {
        let answer = client::ask(door.http(), "POST", "/old-action?a=1", headers, "").await;
        let header = |name| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (answer.status, header("x-nextjs-action-not-found"), header("x-action-redirect"), header("set-cookie"))
    };
    let (status, not_found, redirect, cookie) = ask(&[("x-deployment-id", "zero")]).await;
    assert_eq!((status, not_found, redirect.as_deref()), (409, None, Some("/old-action?a=1;replace")));
    let cookie = cookie.expect("a cookie");
    assert!(cookie.starts_with("doorway-reloaded=1;"), "{cookie}");
    assert_eq!(door.metric("upstream_stale_actions_total").await, 1.0);
    let left_alone = (409, Some("1".to_owned()), None, None);
    for headers in [
        &[("x-deployment-id", "one")][..],
        &[],
        // Where a cache has kept an old page it would go on for ever.
        &[("x-deployment-id", "zero"), ("cookie", "a=b; doorway-reloaded=1")],
    ] {
        assert_eq!(ask(headers).await, left_alone, "{headers:?}");
    }
}

#[tokio::test]
async fn one_name_in_two_builds_is_of_the_build_that_is_named() {
    let (one, two) = (release("one"), release("two"));
    let releases = Releases::leading_to(&one);
    let door = start(&releases, "");
    let text =
        async |path: &str| String::from_utf8(client::get(door.http(), path, &[]).await.bytes().await.to_vec()).unwrap();
    let manifest = "/_next/static/the-same/_buildManifest.js";
    assert_eq!(text(manifest).await, "pages of one");
    eventually("the first release is kept", || async { fs::read_dir(door.kept()).is_ok_and(|all| all.count() == 3) })
        .await;
    deploy(&door, &releases, &two).await;
    eventually("the files are the new build's", || async { text(manifest).await == "pages of two" }).await;
    eventually("both are kept", || async { fs::read_dir(door.kept()).is_ok_and(|all| all.count() == 4) }).await;
    fs::remove_dir_all(one.path().join(".next")).unwrap();
    for (query, expected) in [
        ("?dpl=one", "pages of one"),
        ("?dpl=two", "pages of two"),
        ("?dpl=zero", "pages of two"),
        ("", "pages of two"),
    ] {
        assert_eq!(text(&format!("{manifest}{query}")).await, expected, "{query}");
    }
    assert_eq!(text("/_next/static/chunks/one.js?dpl=one").await, "one");
}

/// What the build was given, and what the process that runs was.
async fn given(door: &Door, project: &Stub) -> [Option<String>; 3] {
    let built: Value = serde_json::from_str(&project.read("built-with")).expect("JSON");
    let runs: Value = serde_json::from_slice(&client::get(door.http(), "/env", &[]).await.bytes().await).expect("JSON");
    let word = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
    [
        word(&built, "NEXT_DEPLOYMENT_ID"),
        word(&runs, "NEXT_DEPLOYMENT_ID"),
        word(&built, "NEXT_SERVER_ACTIONS_ENCRYPTION_KEY"),
    ]
}

#[tokio::test]
async fn each_build_gets_a_name_and_all_of_one_app_get_one_key() {
    let (project, state) = (Stub::new(), tempfile::tempdir().unwrap());
    let start = |more: &str| {
        let config = format!("{}{more}", project.config());
        door().config(config).env("XDG_STATE_HOME", state.path().to_str().unwrap()).start()
    };
    let first = start("");
    let [id, runs, key] = given(&first, &project).await;
    let id = id.expect("an id");
    assert!(id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(runs.as_ref(), Some(&id), "each start of a build gives its name");
    let key = key.expect("a key");
    assert_eq!(key.len(), 44, "32 bytes in base64");
    drop(first);
    // A second start of the same build, and one of another.
    let second = start("");
    assert_eq!(given(&second, &project).await, [Some(id.clone()), Some(id.clone()), Some(key.clone())]);
    drop(second);
    let third = start("build = \"always\"\n");
    let [other, runs, same_key] = given(&third, &project).await;
    assert_ne!(other.as_ref(), Some(&id));
    assert_eq!((other, same_key), (runs, Some(key.clone())));
    // Of another app it is another.
    let neighbour = Stub::new();
    let door = door().config(neighbour.config()).env("XDG_STATE_HOME", state.path().to_str().unwrap()).start();
    assert_ne!(given(&door, &neighbour).await[2], Some(key));
}

#[tokio::test]
async fn an_app_that_names_its_builds_itself_is_left_alone() {
    for (file, text, expected) in [
        (".env", "export NEXT_DEPLOYMENT_ID = mine\nNEXT_SERVER_ACTIONS_ENCRYPTION_KEY=mine\n", None),
        ("next.config.mjs", "export default { deploymentId: 'NEXT_SERVER_ACTIONS_ENCRYPTION_KEY' }", None),
        ("next.config.ts", "export default {}", Some(12)),
    ] {
        let project = Stub::new();
        project.write(file, text);
        let door = door().config(project.config()).start();
        let [id, _, key] = given(&door, &project).await;
        assert_eq!(id.map(|id| id.len()), expected, "{file}");
        assert_eq!(key.is_some(), expected.is_some(), "{file}");
    }
    let project = Stub::new();
    let door = door().config(format!("{}env = {{ NEXT_DEPLOYMENT_ID = \"v5\" }}\n", project.config())).start();
    let [id, runs, _] = given(&door, &project).await;
    assert_eq!((id.as_deref(), runs.as_deref()), (Some("v5"), Some("v5")));
}
