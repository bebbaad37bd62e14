//! Promise: a stock Next.js app works behind the door as `doorway DIR` starts it.

use serde_json::Value;

use crate::harness::raw::eventually;
use crate::harness::{Door, client, door, next};

fn start() -> Door {
    let app = next::test_app();
    let config = format!("[app]\ndir = \"{}\"\nrestart_delay = \"50ms\"\n", app.display());
    door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start()
}

async fn json(door: &Door, path: &str) -> Value {
    let answer = client::get(door.http(), path, &[]).await;
    assert_eq!(answer.status, 200, "{path}");
    serde_json::from_slice(&answer.bytes().await).expect("JSON")
}

#[tokio::test]
async fn the_app_has_its_pages_made_anew_at_its_public_address() {
    let door = start();
    let manifest = std::fs::read(next::test_app().join(".next/prerender-manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let secret = manifest["preview"]["previewModeId"].as_str().unwrap();
    let made_anew = async |value: &str| {
        let answer = client::ask(door.http(), "HEAD", "/isr", &[("x-prerender-revalidate", value)], "").await;
        assert_eq!(answer.status, 200);
        answer.header("x-nextjs-cache") == "REVALIDATED"
    };
    assert!(made_anew(secret).await);
    assert!(!made_anew("forged").await);
}

/// The hidden fields of the form on a page, with the values that the page gives them.
fn hidden_fields(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input").skip(1).filter_map(|rest| rest.split_once('>')).map(|(input, _)| input);
    let attribute = |input: &str, name: &str| {
        let value = input.split_once(&format!(" {name}=\"")).and_then(|(_, rest)| rest.split_once('"'))?.0;
        Some(value.replace("&quot;", "\"").replace("&amp;", "&"))
    };
    let hidden = inputs.filter(|input| input.contains("type=\"hidden\""));
    hidden
        .filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value").unwrap_or_default())))
        .collect()
}

#[tokio::test]
async fn server_action_runs_behind_a_balancer_with_x_forwarded_port() {
    let app = next::test_app();
    let config = format!("[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n[app]\ndir = \"{}\"\n", app.display());
    let door = door().config(config).env("NEXT_TELEMETRY_DISABLED", "1").start();
    let said = [("host", "site.test"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")];
    let page = client::ask(door.http(), "GET", "/action", &said, "").await;
    let page = String::from_utf8(page.bytes().await.to_vec()).unwrap();
    let mut fields = hidden_fields(&page);
    assert!(!fields.is_empty(), "{page}");
    fields.push(("name".into(), "Ada".into()));
    let part = |(name, value): &(String, String)| {
        format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = fields.iter().map(part).collect::<String>() + "--limit--\r\n";
    for (origin, runs) in
        [("https://site.test:8443", true), ("https://site.test", false), ("https://evil.test:8443", false)]
    {
        let more = [("origin", origin), ("content-type", "multipart/form-data; boundary=limit")];
        let headers = [said.as_slice(), &more].concat();
        let answer = client::ask(door.http(), "POST", "/action", &headers, body.clone()).await;
        let status = answer.status;
        let text = String::from_utf8_lossy(&answer.bytes().await).into_owned();
        assert_eq!(status == 200 && text.contains("Ada"), runs, "{origin}: {status} {text}");
    }
}

#[tokio::test]
async fn pages_stream_uploads_pass_and_a_crash_is_mended() {
    let mut door = start();

    let page = client::get(door.http(), "/", &[]).await;
    assert_eq!((page.status, page.header("x-app-proxy").as_str()), (200, "seen"));
    assert!(String::from_utf8_lossy(&page.bytes().await).contains("</html>"));

    // The shell of a streamed page is here before its slow part is sent.
    let mut page = client::get(door.http(), "/stream?wait=1500", &[]).await;
    let mut text = String::new();
    while !text.contains("id=\"shell\"") {
        text.push_str(&String::from_utf8_lossy(&page.chunk().await.expect("the shell")));
    }
    assert!(!text.contains("ms later"), "the slow part came with the shell");
    while let Some(chunk) = page.chunk().await {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("ms later") && text.contains("</html>"), "{text}");

    let upload = vec![b'x'; 12 * 1024 * 1024];
    let answer = client::ask(door.http(), "POST", "/api/upload", &[], upload).await;
    let told: Value = serde_json::from_slice(&answer.bytes().await).unwrap();
    assert_eq!(told["size"], 12 * 1024 * 1024);

    let headers = [("x-middleware-subrequest", "proxy:proxy:proxy:proxy:proxy")];
    let page = client::get(door.http(), "/", &headers).await;
    assert_eq!(page.header("x-app-proxy"), "seen", "nobody outside skips proxy.ts");

    let first = json(&door, "/api/process").await["pid"].as_i64().unwrap();
    assert_eq!(door.wait_for_log(|line| line["message"] == "app started")["pid"], first);
    let killed = std::process::Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    assert!(killed.success());
    // A request that was already with the dying process may fail; those after it wait for the next one.
    let restarted = |line: &Value| line["message"] == "app started" && line["pid"] != first;
    door.wait_for_log(restarted);
    let second = json(&door, "/api/process").await["pid"].as_i64().unwrap();
    assert_ne!(first, second);

    door.signal("TERM");
    assert!(door.wait().success());
    eventually("the app ends with the door", || !std::path::Path::new(&format!("/proc/{second}")).exists()).await;
}
