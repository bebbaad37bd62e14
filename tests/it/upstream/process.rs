//! Promise: `doorway DIR` installs, builds, starts and keeps running an app, and ends it at its end.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::raw::eventually;
use crate::harness::{Door, PATIENCE, Stub, client, door};

async fn json(door: &Door, path: &str) -> Value {
    let answer = client::get(door.http(), path, &[]).await;
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.bytes().await).expect("JSON")
}

fn is_alive(pid: i64) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

fn started(door: &Door) -> Vec<Value> {
    door.log().into_iter().filter(|line| line["message"] == "app started").collect()
}

fn count(door: &Door, message: &str) -> usize {
    door.log().iter().filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with(message))).count()
}

#[tokio::test]
async fn a_project_is_installed_built_and_started() {
    let project = Stub::fresh();
    project.write("package-lock.json", "{}");
    let directory = project.path().to_str().unwrap().to_owned();
    let mut door =
        door().env("PATH", project.search_path()).env("NODE_ENV", "production").arguments(&[&directory]).start();
    let app = json(&door, "/").await;
    assert_eq!((app["command"].as_str(), app["build"].as_str()), (Some("start"), Some("first")));
    assert_eq!(project.read("npm-was-called"), "ci\nNODE_ENV=\n", "what building needs is installed too");
    let line = door.wait_for_log(|line| line["message"] == "app started");
    assert_eq!(line["pid"], app["pid"]);
    let address = line["address"].as_str().unwrap();
    assert!(address.starts_with("http://127.0.0.1:") || address.starts_with("http://[::1]:"), "{line}");
    // Its progress is in the log, under its own name.
    for (step, text) in [("install", "added 1 package"), ("build", "Creating an optimized"), ("run", "it listens")] {
        let line = door.wait_for_log(|line| line["message"].as_str().is_some_and(|message| message.starts_with(text)));
        assert_eq!((line["target"].as_str(), line["step"].as_str()), (Some("app"), Some(step)), "{line}");
    }
    let process = json(&door, "/args").await;
    assert_eq!(process["cwd"], std::fs::canonicalize(project.path()).unwrap().to_str().unwrap());
    assert_eq!(process["args"].as_array().unwrap()[1..=3], ["start", "-H", "localhost"]);
    door.signal("TERM");
    assert!(door.wait().success());
    assert!(!is_alive(app["pid"].as_i64().unwrap()), "it ends with the door");
}

#[tokio::test]
async fn without_a_lock_npm_install_runs_once() {
    let project = Stub::fresh();
    let door1 = door().config(project.config()).env("PATH", project.search_path()).start();
    drop(door1);
    assert!(project.read("npm-was-called").starts_with("install\n"), "{}", project.read("npm-was-called"));
    let before = project.read("npm-was-called");
    let door2 = door().config(project.config()).env("PATH", project.search_path()).start();
    assert_eq!(project.read("npm-was-called"), before);
    assert_eq!(json(&door2, "/").await["build"], "first");
    assert_eq!(count(&door2, "building"), 0, "a build that is there is used");
}

#[tokio::test]
async fn a_script_of_its_own_that_builds_is_used() {
    let project = Stub::new();
    project.write(
        "package.json",
        r#"{ "dependencies": { "next": "16.4.6" }, "scripts": { "build": "prisma generate && next build" } }"#,
    );
    let door = door().config(project.config()).env("PATH", project.search_path()).start();
    assert!(project.read("npm-was-called").starts_with("run build\n"), "{}", project.read("npm-was-called"));
    assert_eq!(json(&door, "/").await["build"], "first");
}

/// Starts the door on `project`; it must end with code 1 and one sentence that contains each of `words`.
fn refused(project: &Stub, path: &str, words: &[&str]) {
    let mut door = door().config(project.config()).env("PATH", path).spawn();
    let status = door.wait();
    assert_eq!(status.code(), Some(1), "{}", door.output());
    let errors: Vec<_> = door.log().into_iter().filter(|line| line["level"] == "ERROR" || line.is_string()).collect();
    assert_eq!(errors.len(), 1, "{}", door.output());
    let text = errors[0].to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text}");
    }
}

#[test]
fn what_is_no_next_project_is_refused() {
    let project = Stub::new();
    project.write("package.json", r#"{ "dependencies": { "express": "5" } }"#);
    refused(&project, &project.search_path(), &["is not an app", "lists no framework and has no start script"]);
    project.write("package.json", "{ nonsense");
    refused(&project, &project.search_path(), &["package.json is not JSON"]);
    project.remove("package.json");
    refused(&project, &project.search_path(), &["is not an app", "no package.json"]);
}

#[test]
fn a_failed_step_ends_the_door_with_its_name() {
    let project = Stub::fresh();
    project.write("unreachable", "");
    refused(&project, &project.search_path(), &["npm install", "failed", "exit status: 1"]);
    let project = Stub::new();
    project.write("broken", "");
    refused(&project, &project.search_path(), &["next build", "failed", "exit status: 1"]);
    let project = Stub::new();
    project.write("broken-late", "");
    for _ in 0..2 {
        // What the first attempt left does not pass for a build.
        refused(&project, &project.search_path(), &["next build", "failed", "exit status: 1"]);
    }
    let project = Stub::new();
    project.write("nothing", "");
    refused(&project, &project.search_path(), &["left no whole .next", "BUILD_ID"]);
    let project = Stub::new();
    project.write("crash", "");
    refused(&project, &project.search_path(), &["ended before it answered", "exit status: 3"]);
}

#[test]
fn a_missing_program_is_named() {
    let project = Stub::new();
    refused(&project, "/nowhere", &["cannot run Node.js", "app.node"]);
    let project = Stub::fresh();
    let tools = project.path().join("only-node");
    std::fs::create_dir(&tools).unwrap();
    let node = std::process::Command::new("sh").args(["-c", "command -v node"]).output().unwrap().stdout;
    std::os::unix::fs::symlink(String::from_utf8(node).unwrap().trim(), tools.join("node")).unwrap();
    refused(&project, tools.to_str().unwrap(), &["npm install", "no such program"]);
}

#[test]
fn an_app_that_never_answers_is_given_up() {
    let project = Stub::new();
    project.write("package.json", r#"{ "dependencies": { "next": "16.4.6" } }"#);
    // It listens where nobody asks.
    let config =
        project.config() + "start_timeout = \"600ms\"\nstop_timeout = \"100ms\"\n[app.env]\nPORT_OF_THE_TEST = \"0\"\n";
    let mut door = door().config(config).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("gave no answer within 600ms"), "{}", door.output());
}

#[tokio::test]
async fn an_old_version_is_warned_of() {
    let project = Stub::new();
    project.version("16.4.4");
    let door = door().config(project.config()).start();
    door.wait_for_log(|line| line["message"] == "Next.js 16.4.4 has known holes: move to 16.4.5 or newer");
}

#[tokio::test]
async fn ready_means_that_a_route_answers() {
    let project = Stub::new();
    project.write("slow", "");
    let door = door().config(project.config()).start();
    let listening = door.wait_for_log(|line| line["message"] == "it listens");
    let started = door.wait_for_log(|line| line["message"] == "app started");
    let time = |line: &Value| line["timestamp"].as_str().unwrap().to_owned();
    assert!(time(&listening) < time(&started));
    assert_eq!(json(&door, "/").await["build"], "first");
}

#[tokio::test]
async fn an_app_that_ends_is_started_again_while_requests_wait() {
    let project = Stub::new();
    let door = door().config(project.config()).start();
    let first = json(&door, "/").await["pid"].as_i64().unwrap();
    let answer = client::ask(door.http(), "POST", "/exit", &[], "").await;
    assert_eq!(answer.status, 502, "the request that killed it is not repeated");
    let second = json(&door, "/").await["pid"].as_i64().unwrap();
    assert_ne!(first, second);
    let ended = door.wait_for_log(|line| line["message"] == "app ended");
    assert_eq!((ended["pid"].as_i64(), ended["status"].as_str()), (Some(first), Some("exit status: 7")));
    eventually("its second start is in the log", || started(&door).len() == 2).await;
}

#[tokio::test]
async fn that_it_ended_is_said_before_anybody_asks() {
    let project = Stub::new();
    let door = door().config(project.config() + "health_interval = \"1h\"\n").start();
    project.write("crash", "");
    // A request that ends it would see that it is gone, too.
    let pid = door.wait_for_log(|line| line["message"] == "app started")["pid"].to_string();
    assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
    door.wait_for_log(|line| line["message"] == "the app does not answer" && line["why"] == "it ended");
    assert_eq!(door.metric("upstream_ready").await, 0.0);
}

#[tokio::test]
async fn restarts_come_ever_slower_but_come() {
    let project = Stub::new();
    let door = door().config(project.config() + "restart_delay_max = \"200ms\"\n").start();
    project.write("crash", "");
    client::ask(door.http(), "POST", "/exit", &[], "").await;
    let began = Instant::now();
    let failed = || count(&door, "the app does not start");
    eventually("it is tried again and again", || failed() >= 4).await;
    // Half of 50, 100, 200 and 200 ms at least.
    assert!(began.elapsed() > Duration::from_millis(250), "{:?}", began.elapsed());
    project.remove("crash");
    assert_eq!(json(&door, "/").await["build"], "first");
    let failed = failed();
    assert!(failed < 60, "{failed} starts in {:?}", began.elapsed());
}

#[tokio::test]
async fn its_output_is_in_the_log_line_by_line() {
    let project = Stub::new();
    let door = door().config(project.config()).start();
    client::get(door.http(), "/say?what=hello%0Athere%1B%5B31m", &[]).await;
    for (text, level) in [("hello", "INFO"), ("there", "INFO"), ("aloud: hello", "WARN"), ("there", "WARN")] {
        door.wait_for_log(|line| {
            let is_it = line["message"].as_str().is_some_and(|message| message.starts_with(text));
            is_it && line["target"] == "app" && line["level"] == level
        });
    }
    let long = "x".repeat(7_000);
    client::get(door.http(), &format!("/say?what={long}"), &[]).await;
    door.wait_for_log(|line| line["message"] == Value::String(long.clone()));
}

#[tokio::test]
async fn app_gets_the_configs_environment_and_no_service_managers() {
    let project = Stub::new();
    let config = project.config() + "[app.env]\nGREETING = \"hi\"\nTZ = \"UTC\"\n";
    let door = door().config(config).env("TZ", "Asia/Tokyo").env("WATCHDOG_USEC", "0").env("INHERITED", "yes").start();
    let env = json(&door, "/env").await;
    let secret = env["DOORWAY_WEBHOOK_SECRET"].as_str().expect("what signs callbacks");
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!((env["GREETING"].as_str(), env["TZ"].as_str()), (Some("hi"), Some("UTC")));
    assert_eq!((env["INHERITED"].as_str(), env["NODE_ENV"].as_str()), (Some("yes"), Some("production")));
    assert_eq!(env["WATCHDOG_USEC"], Value::Null);
}

#[tokio::test]
async fn dev_runs_next_dev_without_a_build() {
    let project = Stub::new();
    let door = door().config(project.config() + "dev = true\n").start();
    let app = json(&door, "/").await;
    assert_eq!((app["command"].as_str(), app["build"].as_str()), (Some("dev"), Some("none")));
    assert_eq!(json(&door, "/env").await["NODE_ENV"], "development");
}

#[tokio::test]
async fn a_stubborn_app_is_killed_after_its_grace() {
    let project = Stub::new();
    project.write("stubborn", "");
    let mut door = door().config(project.config() + "stop_timeout = \"300ms\"\n").start();
    let pid = json(&door, "/").await["pid"].as_i64().unwrap();
    door.signal("TERM");
    assert!(door.wait().success());
    assert!(!is_alive(pid));
    assert!(door.output().contains("it is killed"), "{}", door.output());
}

#[tokio::test]
async fn an_app_does_not_outlive_a_door_that_is_killed() {
    let project = Stub::new();
    let mut door = door().config(project.config()).start();
    let pid = json(&door, "/").await["pid"].as_i64().unwrap();
    door.signal("KILL");
    door.wait();
    eventually("the app ends", || !is_alive(pid)).await;
}

#[tokio::test]
async fn a_deploy_costs_no_request() {
    let project = Stub::new();
    let mut door = door().config(project.config()).start();
    let first = json(&door, "/").await;
    let address = door.http();
    // One that began before and ends after.
    let long = tokio::spawn(async move { client::get(address, "/?wait=1500", &[]).await.bytes().await });
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = std::sync::Arc::clone(&stop);
    let asking = tokio::spawn(async move {
        let (mut asked, mut builds) = (0, std::collections::BTreeSet::new());
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            let answer = client::ask(address, "POST", "/", &[], "x").await;
            assert_eq!(answer.status, 200);
            let app: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
            builds.insert(app["build"].as_str().unwrap().to_owned());
            asked += 1;
        }
        (asked, builds)
    });
    project.write(".next/BUILD_ID", "second");
    door.signal("HUP");
    let deadline = Instant::now() + PATIENCE;
    while json(&door, "/").await["build"] != "second" {
        assert!(Instant::now() < deadline, "the new build never came:\n{}", door.output());
    }
    let long: Value = serde_json::from_slice(&long.await.unwrap()).unwrap();
    assert_eq!(long["pid"], first["pid"], "it was answered by the app that it was asked of");
    eventually("the app before ends", || !is_alive(first["pid"].as_i64().unwrap())).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let (asked, builds) = asking.await.unwrap();
    assert!(asked > 0);
    assert_eq!(builds.into_iter().collect::<Vec<_>>(), ["first", "second"]);
    door.signal("TERM");
    assert!(door.wait().success());
}

/// The process that answers, and of which build it is; not by which connection.
fn who(answer: &Value) -> [&Value; 2] {
    [&answer["pid"], &answer["build"]]
}

#[tokio::test]
async fn a_build_that_does_not_start_leaves_the_old_one_in_place() {
    let project = Stub::new();
    let door = door().config(project.config()).start();
    let first = json(&door, "/").await;
    project.write("crash", "");
    project.write(".next/BUILD_ID", "second");
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "the new app does not start, the old one stays");
    assert_eq!(who(&json(&door, "/").await), who(&first));
}

#[tokio::test]
async fn a_reload_without_a_new_build_starts_nothing() {
    let project = Stub::new();
    let door = door().config(project.config()).start();
    let first = json(&door, "/").await;
    std::fs::write(door.config_file(), std::fs::read_to_string(door.config_file()).unwrap() + "\n# touched\n").unwrap();
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    assert_eq!(who(&json(&door, "/").await), who(&first));
    assert_eq!(started(&door).len(), 1);
}

#[tokio::test]
async fn a_standalone_build_runs_with_its_static_files() {
    let project = Stub::new();
    let described = r#"{ "config": { "output": "standalone" }, "relativeAppDir": "apps/web" }"#;
    project.write(".next/BUILD_ID", "first");
    project.write(".next/required-server-files.json", described);
    for name in ["routes-manifest", "prerender-manifest", "export-marker"] {
        project.write(&format!(".next/{name}.json"), "{}");
    }
    project.write(".next/static/chunk.js", "chunk");
    project.write("public/robots.txt", "robots");
    let server = "process.chdir(__dirname); const fs = require('fs');\n\
                  const read = (name) => fs.readFileSync(name, 'utf8');\n\
                  const text = read('.next/static/chunk.js') + read('public/robots.txt');\n\
                  require('http').createServer((_, answer) => answer.end(text)).listen(process.env.PORT, process.env.HOSTNAME);";
    project.write(".next/standalone/apps/web/server.js", server);
    let door = door().config(project.config()).start();
    assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"chunkrobots");
}

#[tokio::test]
async fn a_folder_that_is_a_standalone_build_runs_too() {
    let project = Stub::new();
    for name in ["required-server-files", "routes-manifest", "prerender-manifest"] {
        project.write(&format!(".next/{name}.json"), "{}");
    }
    project.write(".next/BUILD_ID", "image");
    project.remove("node_modules/next/dist/bin/next");
    let server = "require('http').createServer((_, answer) => answer.end('from an image'))\
                  .listen(process.env.PORT, process.env.HOSTNAME);";
    project.write("server.js", server);
    let door = door().config(project.config()).start();
    assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"from an image");
}

#[tokio::test]
async fn url_and_dir_together_start_nothing() {
    let project = Stub::new();
    let app = crate::harness::App::saying("run by another").await;
    let config = format!("{}url = \"http://{}\"\n", project.config(), app.address);
    let door = door().config(config).start();
    assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"run by another");
    assert_eq!((started(&door).len(), count(&door, "preparing")), (0, 0));
}

#[tokio::test]
async fn only_what_the_app_itself_listens_on_is_dialled() {
    let project = Stub::new();
    // Where `localhost` is neither of the usual addresses, and where another has the app's port on one of those.
    project.write("elsewhere", "");
    for stranger in [false, true] {
        if stranger {
            project.write("stranger", "");
        }
        let door = door().config(project.config()).env("PATH", project.search_path()).start();
        assert_eq!(json(&door, "/").await["command"], "start");
        let line = door.wait_for_log(|line| line["message"] == "app started");
        assert!(line["address"].as_str().unwrap().starts_with("http://127.0.1.1:"), "{line}");
    }
}

#[tokio::test]
async fn app_trusts_the_doors_certificate_too() {
    let project = Stub::new();
    let state = tempfile::tempdir().expect("a folder");
    project.write("own.pem", "-----BEGIN CERTIFICATE-----\nthe user's own\n-----END CERTIFICATE-----");
    let own = project.path().join("own.pem");
    let tls = "[listen]\nhttps = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n[https]\nredirect = false\n[tls]\nself_signed = true\n";
    for (by_config, given) in [(false, own.to_str().unwrap()), (true, "own.pem"), (false, "nothing.pem"), (false, "")] {
        let variable = format!("env = {{ NODE_EXTRA_CA_CERTS = \"{given}\" }}\n");
        let config = format!("{tls}{}{}", project.config(), if by_config { &variable } else { "" });
        let door = door()
            .config(config)
            .env("PATH", project.search_path())
            .env("XDG_STATE_HOME", state.path().to_str().unwrap());
        let door = if by_config { door } else { door.env("NODE_EXTRA_CA_CERTS", given) }.start();
        let trusted = json(&door, "/env").await["NODE_EXTRA_CA_CERTS"].as_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&trusted).unwrap();
        let ours = std::fs::read_to_string(state.path().join("doorway/self-signed.crt")).unwrap();
        assert!(text.contains(&ours), "{text}");
        assert_eq!(
            text.contains("the user's own\n-----END CERTIFICATE-----\n"),
            given.ends_with("own.pem"),
            "{given}: {text}"
        );
        if given == "nothing.pem" {
            door.wait_for_log(|line| {
                line["message"].as_str().is_some_and(|text| text.starts_with("NODE_EXTRA_CA_CERTS cannot be read"))
            });
        }
    }
    // What is kept there from another time is not the certificate of a door that has none.
    let door = door().config(project.config()).env("PATH", project.search_path());
    let door = door
        .env("XDG_STATE_HOME", state.path().to_str().unwrap())
        .env("NODE_EXTRA_CA_CERTS", own.to_str().unwrap())
        .start();
    assert_eq!(json(&door, "/env").await["NODE_EXTRA_CA_CERTS"], own.to_str().unwrap());
}
