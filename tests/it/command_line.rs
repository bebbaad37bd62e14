//! Promise: what a user types does what the help says, and what goes wrong is said in a sentence and an exit code.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::harness::socket::connect;
use crate::harness::{App, Stub, door, response, wire};

fn doorway(folder: &Path, arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_doorway");
    Command::new(binary).args(arguments).current_dir(folder).env_remove("RUST_LOG").output().expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn help_and_version() {
    let here = folder(&[]);
    let help = doorway(here.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for word in ["check", "config", "--config", "--version", "[DIR]", "Exit codes", "SIGHUP"] {
        assert!(stdout(&help).contains(word), "{word} in {}", stdout(&help));
    }
    let version = doorway(here.path(), &["--version"]);
    assert_eq!(
        (version.status.code(), stdout(&version)),
        (Some(0), format!("doorway {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn what_cannot_be_understood_exits_2() {
    let here = folder(&[]);
    for arguments in [&["--conifg", "x"][..], &["one", "two"], &["--config"], &["check", "one", "two"]] {
        let output = doorway(here.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
    assert!(stderr(&doorway(here.path(), &["--conifg", "x"])).contains("--config"), "suggests the nearest option");
}

#[test]
fn check_says_that_a_good_file_is_good() {
    let here = folder(&[("proxy.toml", "[drain]\ntimeout = \"5s\"\n"), ("other.toml", "")]);
    for arguments in [&["check"][..], &["check", "other.toml"]] {
        let output = doorway(here.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("no problems"), "{}", stdout(&output));
    }
}

#[test]
fn check_says_which_channels_are_open_to_anyone() {
    let rooms = "[[realtime.channel]]\nmatch = [\"news\", \"room-*\"]\npublish = \"app\"\n[[realtime.channel]]\nmatch = \"x\"\nsubscribe = \"identified\"\npublish = \"identified\"\n";
    let asking = "[callbacks]\nevents = [\"connect\"]\n";
    let tokens = "[realtime.tokens]\nrequired = true\nsecret = \"a secret of at least thirty-two bytes\"\n";
    let unnamed = "in every channel that no [[realtime.channel]] names";
    for (config, open, others_are_open) in [
        (String::new(), vec![], true),
        (rooms.to_owned(), vec!["anyone may hear in channels \"news\", \"room-*\""], true),
        (format!("{rooms}{asking}"), vec!["anyone may hear in channels \"news\", \"room-*\""], false),
        (asking.to_owned(), vec!["no channel is open to anyone"], false),
        (tokens.to_owned(), vec!["no channel is open to anyone"], false),
    ] {
        let here = folder(&[("proxy.toml", &config)]);
        let output = doorway(here.path(), &["check"]);
        assert_eq!(output.status.code(), Some(0), "{config}: {}", stderr(&output));
        let said = stdout(&output);
        assert!(open.iter().all(|line| said.lines().any(|said| said == *line)), "{config}: {said}");
        assert_eq!(said.contains(&format!("anyone may hear and speak {unnamed}")), others_are_open, "{config}: {said}");
        assert!(!said.contains("\"x\""), "{said}");
    }
}

#[test]
fn check_says_every_problem_with_its_place_and_exits_1() {
    let text = "[listen]\nhttp = \"8080\"\n\n[drain]\ntimeout = \"soon\"\n\n[tls]\ncertificate = \"nowhere.pem\"\n\n[realtimes]\n";
    let here = folder(&[("proxy.toml", text)]);
    let output = doorway(here.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for words in [
        "proxy.toml:2:8",
        "listen.http must be an address with a port",
        "proxy.toml:5:11",
        "drain.timeout must be a duration",
        "proxy.toml:8:15",
        "nowhere.pem",
        "proxy.toml:10:2",
        "unknown key `realtimes`",
        "did you mean `realtime`?",
        "proxy.toml: 4 problems",
    ] {
        assert!(said.contains(words), "{words:?} in\n{said}");
    }
    let start = doorway(here.path(), &[]);
    assert_eq!((start.status.code(), stderr(&start)), (Some(1), said), "a start says the same");
}

#[test]
fn check_of_a_file_that_is_not_there() {
    let here = folder(&[]);
    for arguments in [&["check", "mine.toml"][..], &["--config", "mine.toml"]] {
        let output = doorway(here.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).starts_with("doorway: cannot read "), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "one sentence: {}", stderr(&output));
    }
}

#[test]
fn check_of_a_folder_and_of_none_at_all() {
    let here = folder(&[]);
    for arguments in [&["check"][..], &["check", "."]] {
        let output = doorway(here.path(), arguments);
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        assert!(said.starts_with("built-in defaults: no problems\n"), "{said}");
    }
    let project = folder(&[("proxy.toml", "[drain]\ntimeout = \"soon\"\n")]);
    let output = doorway(here.path(), &["check", project.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("drain.timeout must be a duration"), "{}", stderr(&output));
}

const SECRET: &str = "[[realtime.pusher]]\nid = \"1\"\nkey = \"k\"\nsecret_env = \"ONLY_THERE\"\n";

#[test]
fn secrets_are_those_of_the_app_that_runs() {
    let dev = "[app]\ndev = true\n";
    for (folders, file, more, is_good) in [
        (&[][..], ".env", "", true),
        (&[], ".env.production", "", true),
        (&[], ".env.production", dev, false),
        (&[], ".env.development", "", false),
        (&[], ".env.development", dev, true),
        // Of releases it is the live one, or what each of them gets.
        (&["releases", "shared"], "shared/.env", "", true),
        (&["releases", "current"], "current/.env", "", true),
        (&["releases", "current", "shared"], "shared/.env", "", false),
        (&["releases"], ".env", "", false),
    ] {
        let here = folder(&[("proxy.toml", &format!("{SECRET}{more}"))]);
        for name in folders {
            std::fs::create_dir(here.path().join(name)).unwrap();
        }
        std::fs::write(here.path().join(file), "ONLY_THERE=x\n").unwrap();
        let output = doorway(here.path(), &["check", here.path().to_str().unwrap()]);
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(said.contains(": no problems\n"), is_good, "{folders:?} {file} {more}: {said}");
        assert_eq!(said.contains("have ONLY_THERE"), !is_good, "{folders:?} {file} {more}: {said}");
    }
}

#[test]
fn check_says_one_error_for_one_mistake() {
    let pusher = |id: &str| format!("[[realtime.pusher]]\nid = {id}\nkey = \"k\"\nsecret = \"s\"\n");
    for (text, words) in [
        (pusher("1"), "realtime.pusher[].id must be "),
        (pusher("“1”"), "quotes are straight in TOML: \" or ' in place of “"),
        ("[listen]\nhttp = “0.0.0.0:8080”\n[drain]\ntimeout = \"5s\"\n".to_owned(), "quotes are straight in TOML"),
        ("[app]\nhealth_path = 1\n".to_owned(), "app.health_path must be "),
        ("[app]\nurl = \"off\"\n[callbacks]\nevents = [\"connect\"]\ntimeout = \"1s\"\n".to_owned(), "no app to ask"),
        ("[callbacks]\nevents = [\"conect\"]\n".to_owned(), "(did you mean \"connect\"?)"),
        ("[realtime.plain]\nbroadcast = \"other\"\n".to_owned(), "(did you mean \"others\"?)"),
    ] {
        let here = folder(&[("proxy.toml", &text)]);
        let output = doorway(here.path(), &["check"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(said.ends_with("proxy.toml: 1 problem\n") && said.contains(words), "{text}\n{words} in\n{said}");
    }
}

#[test]
fn check_says_what_is_odd() {
    let here = folder(&[]);
    for (text, words) in [
        ("[tls]\nself_signed = true\n", "nothing listens for https: give [listen] https an address"),
        ("[app]\ndev = true\nurl = \"http://127.0.0.1:3000\"\n", "[app] dev starts nothing beside url"),
    ] {
        std::fs::write(here.path().join("proxy.toml"), text).unwrap();
        let output = doorway(here.path(), &["check"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(
            stdout(&output).contains("no problems\nodd: ") && stdout(&output).contains(words),
            "{}",
            stdout(&output)
        );
    }
}

#[test]
fn a_command_mistyped_is_not_taken_for_a_folder() {
    let here = folder(&[]);
    for (word, meant) in [("chekc", "check"), ("relaod", "reload"), ("confg", "config")] {
        let output = doorway(here.path(), &[word]);
        assert_eq!(output.status.code(), Some(1));
        let said = format!("doorway: there is no folder {word}: did you mean `doorway {meant}`?\n");
        assert_eq!(stderr(&output), said);
    }
}

#[test]
fn config_prints_the_documented_file_which_changes_nothing() {
    let here = folder(&[]);
    let output = doorway(here.path(), &["config"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    assert_eq!(stdout(&output), include_str!("../../proxy.toml"));

    std::fs::write(here.path().join("proxy.toml"), &output.stdout).unwrap();
    let check = doorway(here.path(), &["check"]);
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    for arguments in [&["config", "--diff"][..], &["config", "--diff", "proxy.toml"]] {
        let diff = doorway(here.path(), arguments);
        assert_eq!((diff.status.code(), stdout(&diff)), (Some(0), String::new()), "{}", stderr(&diff));
        assert_eq!(stderr(&diff), "nothing differs from the defaults\n");
    }
}

#[test]
fn config_diff_says_key_value_and_default_of_what_differs() {
    let text = r#"
[listen]
http = ["127.0.0.1:8081", "[::1]:8081"]
tcp_keepalive = "30000ms"      # the default, in other words
backlog = 4096
[app]
dir = "."
url = "http://127.0.0.1:3000"  # the default, but beside dir there is none
env = { DATABASE_URL = "postgres://user:password@db/app" }
[callbacks]
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
[[realtime.channel]]
match = "room-*"
history = 0
[[realtime.channel]]
match = "news"
publish = "app"
history = 10
[realtime.plain]
echo = false
"#;
    let here = folder(&[("mine.toml", text)]);
    let output = doorway(here.path(), &["config", "--diff", "mine.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let mut lines: Vec<_> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            r#"app.dir = "."  # no default"#,
            r#"app.env = "(not shown)"  # default: {}"#,
            r#"app.url = "http://127.0.0.1:3000"  # no default"#,
            r#"callbacks.secret = "(not shown)"  # no default"#,
            r#"listen.http = ["127.0.0.1:8081", "[::1]:8081"]  # default: "0.0.0.0:8080""#,
            r#"realtime.channel[0].match = "room-*"  # no default"#,
            r#"realtime.channel[1].history = 10  # default: 0"#,
            r#"realtime.channel[1].match = "news"  # no default"#,
            r#"realtime.channel[1].publish = "app"  # default: "anyone""#,
            r#"realtime.plain.echo = false  # default: true"#,
        ]
    );
}

#[test]
fn config_diff_of_a_wrong_file_says_what_check_says() {
    let here = folder(&[("mine.toml", "[drain]\ntimeout = \"soon\"\n[app]\ndir = \"nowhere\"\n")]);
    let check = doorway(here.path(), &["check", "mine.toml"]);
    for (file, expected) in
        [("mine.toml", stderr(&check)), ("none.toml", stderr(&doorway(here.path(), &["check", "none.toml"])))]
    {
        let diff = doorway(here.path(), &["config", "--diff", file]);
        assert_eq!((diff.status.code(), stdout(&diff), stderr(&diff)), (Some(1), String::new(), expected));
    }
    assert!(stderr(&check).contains("2 problems"), "{}", stderr(&check));
}

#[test]
fn a_port_in_use_is_one_sentence_and_exit_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for section in ["listen]\nhttp", "admin]\nlisten"] {
        let mut door = door().config(format!("[{section} = \"{address}\"\n")).spawn();
        assert_eq!(door.wait().code(), Some(1), "{}", door.output());
        let log = door.log();
        let last = log.last().expect("a line");
        assert_eq!(last["level"], "ERROR", "{}", door.output());
        let said = last["message"].as_str().unwrap();
        assert!(said.contains(&address.to_string()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_arguments_the_file_here_is_read() {
    let app = App::saying("by ./proxy.toml").await;
    let mut door = door().config(app.config()).arguments(&[]).start();
    assert!(wire::get(door.http(), "/").await.ends_with("by ./proxy.toml"));
    door.wait_for_log(|line| line["message"] == "starting" && line["config"] == "proxy.toml");
    door.signal("TERM");
    assert_eq!(door.wait().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_run_with_its_own_config_before_the_one_here() {
    let project = Stub::new();
    project.write(
        "proxy.toml",
        "[listen]\nhttp = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[realtime]\npath = \"/own\"\n[app]\nrestart_delay = \"50ms\"\n",
    );
    let dir = project.path().to_str().unwrap();
    let door = door().config("[realtime]\npath = \"/here\"\n").arguments(&[dir]).start();
    let ready = door.wait_for_log(|line| line["message"] == "ready");
    assert_eq!((&ready["realtime"], &ready["app"]), (&"/own".into(), &dir.into()));
    let overlooked =
        door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.starts_with("not read")));
    assert_eq!(overlooked["file"], door.config_file().canonicalize().unwrap().to_str().unwrap());
    connect(&door, "/own").await.is_quiet().await;
    door.signal("HUP");
    let again = door.wait_for_log(|line| line["message"] == "reloaded");
    assert_eq!(again["config"], project.path().join("proxy.toml").to_str().unwrap());
}

#[tokio::test]
async fn the_start_says_where_it_listens_and_what_it_fronts() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    let ready = door.wait_for_log(|line| line["message"] == "ready");
    assert_eq!(ready["open"], format!("http://{}", door.http()));
    assert_eq!(ready["app"], format!("http://{}", app.address));
    assert_eq!(ready["realtime"], "/api/ws");
    let starting = door.wait_for_log(|line| line["message"] == "starting");
    assert_eq!(starting["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_level_that_cannot_be_understood_is_said_before_the_start() {
    let mut door = door().env("RUST_LOG", "loud=very").spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("doorway: RUST_LOG cannot be understood"), "{}", door.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_stand_in_for_keys() {
    let app = App::saying("by flags").await;
    let url = format!("http://{}", app.address);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let opened = folder(&[]);
    let browser = opened.path().join("browser");
    std::fs::write(&browser, format!("#!/bin/sh\necho $1 > {}\n", opened.path().join("url").display())).unwrap();
    std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let door =
        door().arguments(&["--app", &url, "--port", &port, "--open"]).env("BROWSER", browser.to_str().unwrap()).start();
    assert_eq!(door.http().to_string(), format!("127.0.0.1:{port}"), "the address of [listen], the port of --port");
    assert!(wire::get(door.http(), "/").await.ends_with("by flags"));
    let url = opened.path().join("url");
    crate::harness::raw::eventually("the browser is opened", || {
        std::fs::read_to_string(&url).is_ok_and(|text| text == format!("http://127.0.0.1:{port}\n"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_for_the_first_day_is_a_flag() {
    let app = App::saying("secure").await;
    let state = folder(&[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let door = door()
        .config(app.config())
        .arguments(&["--https", "--port", &port])
        .env("XDG_STATE_HOME", state.path().to_str().unwrap())
        .start();
    assert_eq!(door.https().port().to_string(), port);
    let ready = door.wait_for_log(|line| line["message"] == "ready");
    assert_eq!(ready["open"], format!("https://localhost:{port}"), "and nothing by plain HTTP");
    let certificate = state.path().join("doorway/self-signed.crt");
    let url = format!("https://localhost:{port}/");
    let curl = tokio::process::Command::new("curl").args(["-s", "--cacert"]).arg(&certificate).arg(&url).output().await;
    assert_eq!(String::from_utf8_lossy(&curl.unwrap().stdout), "secure");
}

#[tokio::test]
async fn development_is_a_flag_too() {
    let project = Stub::new();
    let directory = project.path().to_str().unwrap();
    project.write(".env.development", "ONLY_THERE=x\n");
    let door = door().config(SECRET).arguments(&[directory, "--dev"]).start();
    assert!(wire::get(door.http(), "/").await.contains("\"command\":\"dev\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_asks_the_running_door() {
    let app = App::saying("hello").await;
    let door = door().config(app.config()).start();
    let file = folder(&[("proxy.toml", &format!("[admin]\nlisten = \"{}\"\n", door.admin()))]);
    crate::harness::raw::eventually("it is ready", || doorway(file.path(), &["status"]).status.code() == Some(0)).await;
    let said = stdout(&doorway(file.path(), &["status"]));
    assert!(said.starts_with("ready\n") && said.contains("\nsockets: "), "{said}");
    drop(app);
    drop(door);
    let nobody = doorway(file.path(), &["status"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).starts_with("doorway: no answer from http://"), "{}", stderr(&nobody));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_listed() {
    let app = App::start(|_| async {
        let mut answer = response(200, "hello");
        answer.headers_mut().insert("cache-control", http::HeaderValue::from_static("s-maxage=600"));
        answer.headers_mut().insert("cache-tag", http::HeaderValue::from_static("posts"));
        answer
    })
    .await;
    let door = door().config(format!("{}[cache]\npaths = [\"/blog/*\"]\n", app.config())).start();
    let file = folder(&[("proxy.toml", &format!("[admin]\nlisten = \"{}\"\n", door.admin()))]);
    wire::get(door.http(), "/blog/one").await;
    door.wait_for_metric("cache_fetches_total{outcome=\"kept\"}", 1.0).await;
    let listed = doorway(file.path(), &["cache"]);
    let said = stdout(&listed);
    assert_eq!(listed.status.code(), Some(0), "{said}");
    assert!(said.starts_with("pages: none: the app is no Next.js"), "{said}");
    assert!(said.contains("\npaths: /blog/*\nanswers: 1\nbytes: "), "{said}");
    assert!(said.contains("fresh") && said.contains("/blog/one  [posts]"), "{said}");

    for (url, words) in [
        ("/blog/one", "would be kept: the app declares it to be everybody's, good for "),
        ("/blog/two?x=1", "would be kept: "),
        ("/other", "would not be kept: no pattern of [cache] paths fits its path, and the app is no Next.js"),
    ] {
        let said = stdout(&doorway(file.path(), &["cache", "--why", url]));
        assert!(said.starts_with(words), "{url}: {said}");
        assert_eq!(said.contains("fresh"), url == "/blog/one", "{url}: {said}");
    }
    let wrong = doorway(file.path(), &["cache", "--why", "blog"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("has no path"), "{}", stderr(&wrong));

    for (arguments, state) in [
        (&["cache", "--purge", "/other", "--purge-tag", "others"][..], "fresh"),
        (&["cache", "--purge-tag", "posts"], "purged"),
    ] {
        assert_eq!(doorway(file.path(), arguments).status.code(), Some(0), "{arguments:?}");
        let said = stdout(&doorway(file.path(), &["cache"]));
        assert!(said.contains(state), "{arguments:?}: {said}");
    }
    let wrong = doorway(file.path(), &["cache", "--purge", "blog"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("begins with a slash"), "{}", stderr(&wrong));
}

#[test]
fn a_flag_that_cannot_be_understood_exits_2() {
    let here = folder(&[]);
    for (arguments, words) in [
        (&["--app", "https://example.com"][..], "TLS ends at the door"),
        (&["--port", "80000"], "80000"),
        (&["--build", "--no-build"], "cannot be used with"),
    ] {
        let output = doorway(here.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}
