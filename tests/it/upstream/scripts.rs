//! Promise: what the project's own start script does besides `next start` is not lost, and its `.env` files count.

use serde_json::Value;

use crate::harness::{Door, Stub, client, door};

async fn json(door: &Door, path: &str) -> Value {
    let answer = client::get(door.http(), path, &[]).await;
    serde_json::from_slice(&answer.bytes().await).expect("JSON")
}

fn with_scripts(scripts: &str) -> Stub {
    let project = Stub::new();
    project
        .write("package.json", &format!(r#"{{ "dependencies": {{ "next": "16.4.6" }}, "scripts": {{ {scripts} }} }}"#));
    project
}

fn start(project: &Stub, more: &str) -> Door {
    door().config(project.config() + more).env("PATH", project.search_path()).start()
}

#[tokio::test]
async fn what_stands_before_next_start_is_done_at_each_start() {
    let project = with_scripts(r#""start": "echo migrated >> migrations && GREETING=hi next start -p 3000""#);
    let mut door = start(&project, "");
    assert_eq!(project.read("migrations"), "migrated\n");
    let (env, process) = (json(&door, "/env").await, json(&door, "/args").await);
    assert_eq!((env["GREETING"].as_str(), env["HOSTNAME"].as_str()), (Some("hi"), Some("localhost")));
    let arguments: Vec<_> = process["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let (own, ours) = (arguments.iter().position(|it| *it == "3000"), arguments.iter().rposition(|it| *it == "-p"));
    assert!(
        own < ours && arguments.contains(&"localhost") && arguments.contains(&"--keepAliveTimeout"),
        "{arguments:?}"
    );
    let line = door.wait_for_log(|line| line["message"] == "starting the app");
    assert!(line["command"].as_str().unwrap().starts_with("npm run start -- -H localhost -p "), "{line}");
    let pid = json(&door, "/").await["pid"].as_i64().unwrap();
    door.signal("TERM");
    assert!(door.wait().success());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "it ends with the door");
    assert!(!door.output().contains("it is killed"), "{}", door.output());
}

#[tokio::test]
async fn a_server_of_its_own_gets_port_and_hostname() {
    let project = with_scripts(r#""start": "node server.js""#);
    let server = "require('http').createServer((_, answer) => answer.end('its own')).listen(process.env.PORT, process.env.HOSTNAME)";
    project.write("server.js", server);
    let door = start(&project, "");
    assert_eq!(client::get(door.http(), "/", &[]).await.bytes().await.as_ref(), b"its own");
}

#[test]
fn a_server_on_a_port_of_its_own_is_said_so() {
    let project = with_scripts(r#""start": "node server.js""#);
    project.write("server.js", "require('http').createServer(() => {}).listen(0, '127.0.0.1')");
    let config = project.config() + "start_timeout = \"15s\"\n";
    let mut door = door().config(config).env("PATH", project.search_path()).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains("and not on that of PORT"), "{}", door.output());
}

#[tokio::test]
async fn hooks_are_run_and_plain_scripts_are_not() {
    let project = with_scripts(r#""prestart": "true", "start": "next start""#);
    let door = start(&project, "");
    assert!(project.read("npm-was-called").contains("run start -- "), "{}", project.read("npm-was-called"));
    drop(door);
    let project = with_scripts(r#""start": "next start -p 3000""#);
    let door = start(&project, "");
    assert!(!project.read("npm-was-called").contains("run start"), "no package manager in between");
    assert_eq!(json(&door, "/").await["command"], "start");
}

#[tokio::test]
async fn development_has_its_script_too() {
    let project = with_scripts(r#""dev": "next dev --turbopack""#);
    let door = start(&project, "dev = true\n");
    assert_eq!(json(&door, "/").await["command"], "dev");
    let process = json(&door, "/args").await;
    assert!(process["args"].as_array().unwrap().iter().any(|it| it == "--turbopack"), "{process}");
}

#[tokio::test]
async fn what_is_left_out_is_warned_of() {
    let project = with_scripts(r#""start": "migrate && next start""#);
    let tools = project.path().join("only-node");
    std::fs::create_dir(&tools).unwrap();
    let node = std::process::Command::new("sh").args(["-c", "command -v node"]).output().unwrap().stdout;
    std::os::unix::fs::symlink(String::from_utf8(node).unwrap().trim(), tools.join("node")).unwrap();
    let door = door().config(project.config()).env("PATH", tools.to_str().unwrap()).start();
    let line = door.wait_for_log(|line| line["script"] == "migrate && next start");
    assert_eq!(line["level"], "WARN");
    assert_eq!(json(&door, "/").await["command"], "start");
}

#[tokio::test]
async fn secrets_come_from_the_projects_env_files_in_nexts_order() {
    let project = Stub::new();
    let pusher =
        |variable: &str| format!("[[realtime.pusher]]\nid = \"1\"\nkey = \"k\"\nsecret_env = \"{variable}\"\n");
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    project.write(".env", "ONLY_HERE='a secret'\nDOORWAY_WEBHOOK_SECRET=whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIh\n");
    project.write(".env.production", "# nothing\n");
    project.write(".env.local", &format!("export DOORWAY_WEBHOOK_SECRET=\"{secret}\"\n"));
    project.write(".env.development", "ONLY_IN_DEVELOPMENT=1\n");
    let door = start(&project, &pusher("ONLY_HERE"));
    assert_eq!(json(&door, "/env").await["DOORWAY_WEBHOOK_SECRET"], secret, "what the app itself would read");
    drop(door);
    let own = self::door().config(project.config()).env("PATH", project.search_path());
    let other = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIh";
    let door = own.env("DOORWAY_WEBHOOK_SECRET", other).start();
    assert_eq!(json(&door, "/env").await["DOORWAY_WEBHOOK_SECRET"], other, "the environment comes first");
    drop(door);
    let mut door = self::door().config(project.config() + &pusher("ONLY_IN_DEVELOPMENT")).spawn();
    assert_eq!(door.wait().code(), Some(1));
    assert!(door.output().contains(".env files have ONLY_IN_DEVELOPMENT"), "{}", door.output());
}
