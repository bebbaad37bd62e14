//! Promise: HEAD is answered as GET is, length and all, but for the content: by whoever answers, over HTTP/1.1 and HTTP/2.

use std::process::Command;

use crate::harness::certificate::Authority;
use crate::harness::frames::{self, END_STREAM, GET, HEADERS, Site};
use crate::harness::{Door, Project, door, eventually};

const TOKEN: &str = "dwt_0123456789012345678901234567890123456789";

/// A site whose app is away, with a file, the API, a route for callbacks and channels.
fn config(project: &Project) -> String {
    project.write("chunks/main.js", "let text = 'again and again'; ".repeat(200));
    format!(
        "[app]\nurl = \"http://127.0.0.1:9\"\nwait_timeout = \"10ms\"\n[files]\ndir = {:?}\n[api]\ntoken = {TOKEN:?}\n\
         [callbacks]\nevents = [\"message\"]\npath = \"/api/hooks\"\n[[realtime.pusher]]\nid = \"1\"\nkey = \"k\"\n\
         secret = \"s\"\n",
        project.path()
    )
}

/// What the door answers by itself: a path, and headers to ask with.
const OWN: &[(&str, &[&str])] = &[
    ("/", &[]),
    ("/", &["accept: text/html", "accept-encoding: br"]),
    ("/", &["accept: application/json"]),
    ("/a//../b", &[]),
    ("/api/hooks", &[]),
    ("/api/ws", &[]),
    ("/api/ws/room", &["accept: application/json"]),
    ("/api/ws/room?since=nothing", &["accept: application/json"]),
    ("/api/ws", &["origin: https://evil.test", "accept: application/json"]),
    ("/socket.io/?EIO=9", &[]),
    ("/apps/1/channels", &[]),
    ("/_doorway/api/v1/channels", &[]),
    ("/_doorway/api/v1/channels", &["authorization: Bearer dwt_0123456789012345678901234567890123456789"]),
    ("/_doorway/api/v1/openapi.json", &["authorization: Bearer dwt_0123456789012345678901234567890123456789"]),
    (
        "/_doorway/api/v1/openapi.json",
        &["authorization: Bearer dwt_0123456789012345678901234567890123456789", "accept-encoding: gzip"],
    ),
    ("/_doorway/api/v1/nothing", &["authorization: Bearer dwt_0123456789012345678901234567890123456789"]),
    ("/_next/static/chunks/main.js", &[]),
    ("/_next/static/chunks/main.js", &["range: bytes=0-9"]),
    ("/_next/static/chunks/main.js", &["if-match: \"another\""]),
    ("/_next/static/chunks/none.js", &[]),
];

struct Curl {
    door: Door,
    authority: std::path::PathBuf,
}

impl Curl {
    fn start(config: &str) -> Curl {
        let authority = Authority::new();
        let builder = door();
        let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
        let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}\n{config}", files.keys());
        let file = builder.folder().join("authority.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        Curl { door: builder.config(config).start(), authority: file }
    }

    /// The head of an answer as lines, without those that change from one to the next; fails where curl does.
    fn head(&self, flags: &[&str], path: &str, headers: &[&str]) -> Vec<String> {
        let port = self.door.https().port();
        let output = Command::new("curl")
            .args(["-sS", "--path-as-is", "--max-time", "60", "-D", "-", "-o", "/dev/null", "--cacert"])
            .arg(&self.authority)
            .args(["--resolve", &format!("site.test:{port}:127.0.0.1")])
            .args(flags)
            .args(headers.iter().flat_map(|header| ["-H", header]))
            .arg(format!("https://site.test:{port}{path}"))
            .output()
            .expect("curl runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flags:?} {path} {headers:?}: {} {said}", output.status);
        let text = String::from_utf8(output.stdout).unwrap().to_lowercase();
        let changes = |line: &&str| {
            ["date:", "x-request-id:", "set-cookie:", "transfer-encoding:"].iter().any(|name| line.starts_with(name))
        };
        let mut lines: Vec<_> = text.lines().filter(|line| !changes(line)).map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

#[tokio::test]
async fn own_answers_to_head_are_those_to_get_without_content() {
    let project = Project::new();
    let curl = Curl::start(&config(&project));
    for version in ["--http2", "--http1.1"] {
        for (path, headers) in OWN {
            // A part is for GET alone (RFC 9110 section 14.2).
            let of_get: Vec<_> = headers.iter().filter(|header| !header.starts_with("range:")).copied().collect();
            let got = curl.head(&[version], path, &of_get);
            assert_eq!(curl.head(&[version, "--head"], path, headers), got, "{version} {path} {headers:?}");
        }
    }
    let is_head = |line: &&serde_json::Value| line["target"] == "access" && line["method"] == "HEAD";
    let count = || curl.door.log().iter().filter(is_head).count();
    eventually("all of them are logged", || std::future::ready(count() == 2 * OWN.len())).await;
    for line in curl.door.log().iter().filter(is_head) {
        assert_eq!((&line["bytes_out"], &line["ending"]), (&0.into(), &"whole".into()), "{line}");
    }
}

#[tokio::test]
async fn over_http2_the_head_is_the_end() {
    let project = Project::new();
    let site = Site::new(&config(&project));
    let mut connection = site.connect(&[]).await;
    for (number, (path, headers)) in OWN.iter().enumerate() {
        let stream = 2 * number as u32 + 1;
        let mut fields: Vec<(&str, &str)> = GET.to_vec();
        fields[0].1 = "HEAD";
        fields[3].1 = path;
        fields.extend(headers.iter().map(|header| header.split_once(": ").expect("a header")));
        assert!(connection.request(stream, &fields).await);
        let frame = loop {
            let frame = connection.next().await.expect("an answer");
            if frame.stream == stream {
                break frame;
            }
            assert_eq!(frame.stream, 0, "nothing comes behind an end: {frame:?}");
        };
        assert_eq!((frame.kind, frame.flags & END_STREAM), (HEADERS, END_STREAM), "{path} {headers:?}: {frame:?}");
    }
    // Whatever was sent behind the last of them comes before this is answered.
    connection.send(frames::PING, 0, 0, b"the end.").await;
    loop {
        let frame = connection.next().await.expect("an answer");
        assert_eq!(frame.stream, 0, "{frame:?}");
        if frame.kind == frames::PING && frame.payload == b"the end." {
            break;
        }
    }
}

#[tokio::test]
async fn an_event_stream_is_not_begun_for_head() {
    let project = Project::new();
    let curl = Curl::start(&config(&project));
    for version in ["--http2", "--http1.1"] {
        let head = curl.head(&[version, "--head"], "/api/ws/room", &["accept: text/event-stream"]);
        assert!(head.iter().any(|line| line.contains(" 400") || line.contains(" 426")), "{head:?}");
    }
    curl.door.wait_for_metric("http_requests_in_flight", 0.0).await;
}
