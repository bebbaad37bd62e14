//! Promise: certificates come by themselves for the names of the config, are renewed when the authority says, and a fault
//! ends in a sentence and a state that goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::pebble::{Advice, Adviser, Doorstep, Pebble};
use crate::harness::raw::eventually;
use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, DoorBuilder, client, door, wire};

/// A door on `doorstep` with its storage in `storage`.
pub(super) fn begin(doorstep: &Doorstep, app: &str, domains: &[&str], acme: &str) -> DoorBuilder {
    door().socket("http", doorstep.http()).socket("https", doorstep.https()).config(config(app, domains, acme))
}

pub(super) fn config(app: &str, domains: &[&str], acme: &str) -> String {
    format!("{app}[tls]\ndomains = {domains:?}\n{acme}")
}

/// Until the door says that the certificate of `name` is in use.
pub(super) fn in_use(door: &Door, name: &str) {
    door.wait_for_log(|line| line["message"] == "the certificate is in use" && line["name"] == name);
}

/// Until an order has failed; gives the line that says so.
pub(super) fn refused(door: &Door, name: &str) -> Value {
    door.wait_for_log(|line| line["message"] == "no certificate" && line["name"] == name)
}

fn orders(door: &Door) -> usize {
    door.log().iter().filter(|line| line["message"] == "ordering a certificate").count()
}

pub(super) fn state(folder: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join("state.json")).unwrap()).unwrap()
}

pub(super) struct Storage {
    folder: tempfile::TempDir,
}

impl Storage {
    pub(super) fn new() -> Storage {
        Storage { folder: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("acme")
    }
}

#[tokio::test]
async fn names_get_certificates_over_http_and_keep_them() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let acme = pebble.config(&storage.path(), "email = \"me@example.com\"\nchallenge = \"http-01\"");
    let domains = ["one.test", "two.test"];
    let running = begin(&doorstep, &app.config(), &domains, &acme).start();
    let client = pebble.client().await;
    let mut shown = Vec::new();
    for name in domains {
        in_use(&running, name);
        let mut stream = client.connect(doorstep.https_address(), name).await;
        assert!(secure::get(&mut stream, name).await.contains("hello"));
        shown.push(secure::shown(&stream));
        let plain = client::get(doorstep.http_address(), "/a?b", &[("host", name)]).await;
        assert_eq!(plain.status, 308);
        assert!(plain.header("location").starts_with(&format!("https://{name}")), "{}", plain.header("location"));
        let metric = format!("tls_certificate_not_after_timestamp_seconds{{certificate=\"{name}\"}}");
        assert!(running.metric(&metric).await > 1.7e9);
        running.wait_for_metric(&format!("acme_orders_total{{name=\"{name}\",outcome=\"issued\"}}"), 1.0).await;
        assert_eq!(running.metric(&format!("acme_last_result{{name=\"{name}\"}}")).await, 1.0);
    }
    assert_ne!(shown[0], shown[1], "one certificate a name");
    let counts: Value = serde_json::from_str(wire::body(&wire::get(running.admin(), "/connections").await)).unwrap();
    assert!(counts["certificate_days"]["one.test"].as_u64().unwrap() > 30, "{counts}");
    for name in domains {
        let key = pebble.folder(&storage.path(), name).join("live/privkey.pem");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // What is known outlives the process: nothing is ordered again.
    drop(running);
    let running = begin(&doorstep, &app.config(), &domains, &acme).start();
    let stream = client.connect(doorstep.https_address(), "one.test").await;
    assert_eq!((secure::shown(&stream), orders(&running)), (shown[0].clone(), 0));
    // A name that is added is served without a restart; the others keep theirs.
    running.rewrite(&config(&app.config(), &["one.test", "two.test", "three.test"], &acme));
    running.signal("HUP");
    in_use(&running, "three.test");
    client.connect(doorstep.https_address(), "three.test").await;
    let stream = client.connect(doorstep.https_address(), "one.test").await;
    assert_eq!(secure::shown(&stream), shown[0]);
}

#[tokio::test]
async fn names_and_addresses_are_shown_in_the_handshake() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let acme = pebble.config(&storage.path(), "challenge = \"tls-alpn-01\"");
    // Only https is listened for.
    let domains = ["one.test", "127.0.0.1"];
    let running = door().socket("https", doorstep.https()).config(config(&app.config(), &domains, &acme)).start();
    let client = pebble.client().await;
    for name in domains {
        in_use(&running, name);
    }
    let mut stream = client.connect(doorstep.https_address(), "one.test").await;
    assert!(secure::get(&mut stream, "one.test").await.contains("hello"));
    assert_eq!(running.metric("tls_handshake_failures_total{reason=\"disagreement\"}").await, 0.0);
    // Nobody is shown it who asks for it without an order under way.
    let strange = Client::trusting(pebble.roots().await, &["acme-tls/1"], rustls::ALL_VERSIONS);
    assert!(strange.try_connect(doorstep.https_address(), "one.test").await.is_err());
}

#[tokio::test]
async fn wildcards_are_shown_in_the_dns_by_a_program() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let hook = storage.folder.path().join("hook");
    let said = storage.folder.path().join("said");
    let script = format!(
        "#!/usr/bin/env node\nconst [what, name, value] = process.argv.slice(2);\n\
         require('fs').appendFileSync({said:?}, `${{what}} ${{name}}\\n`);\n\
         const path = what === 'present' ? 'set-txt' : 'clear-txt';\n\
         fetch(`http://{}/${{path}}`, {{ method: 'POST', body: JSON.stringify({{ host: name + '.', value }}) }});\n",
        pebble.dns()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let acme = pebble.config(&storage.path(), &format!("dns_hook = {hook:?}"));
    let running = begin(&doorstep, &app.config(), &["*.wild.test"], &acme).start();
    in_use(&running, "*.wild.test");
    let client = pebble.client().await;
    let mut stream = client.connect(doorstep.https_address(), "any.wild.test").await;
    assert!(secure::get(&mut stream, "any.wild.test").await.contains("hello"));
    let said = std::fs::read_to_string(&said).unwrap();
    assert_eq!(said, "present _acme-challenge.wild.test\ncleanup _acme-challenge.wild.test\n");
    assert!(pebble.folder(&storage.path(), "+.wild.test").join("live/fullchain.pem").is_file());
}

#[tokio::test]
async fn one_name_at_fault_holds_up_no_other() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    pebble.lead_astray("astray.test").await;
    let acme = pebble.config(&storage.path(), "challenge = \"http-01\"");
    let mut running = begin(&doorstep, &app.config(), &["astray.test", "good.test"], &acme).start();
    let line = refused(&running, "astray.test");
    let why = line["why"].as_str().unwrap();
    assert!(why.contains("127.255.255.254") && why.contains("Http01"), "the authority's own words: {why}");
    assert_eq!(line["level"], "ERROR");
    in_use(&running, "good.test");
    running.wait_for_metric("acme_orders_total{name=\"astray.test\",outcome=\"failed\"}", 1.0).await;
    assert_eq!(running.metric("acme_last_result{name=\"astray.test\"}").await, 0.0);
    // What waits says so, on both ports, and the app is not asked.
    let waiting = client::get(doorstep.http_address(), "/", &[("host", "astray.test"), ("accept", "text/html")]).await;
    assert_eq!((waiting.status, waiting.header("retry-after").as_str()), (503, "5"));
    let page = String::from_utf8(waiting.bytes().await.to_vec()).unwrap();
    assert!(page.contains("certificate") && page.contains("refresh"), "{page}");
    let client = pebble.client().await;
    assert!(client.try_connect(doorstep.https_address(), "astray.test").await.is_err(), "nobody vouches for it");
    client.connect(doorstep.https_address(), "good.test").await;
    let good = client::get(doorstep.http_address(), "/", &[("host", "good.test")]).await;
    assert_eq!(good.status, 308);
    let health = wire::get(running.admin(), "/health/ready").await;
    assert_eq!(wire::status(&health), 200);
    assert!(health.contains("astray.test waits for its first certificate") && !health.contains("good.test"));
    // The try is not forgotten by a restart.
    running.signal("TERM");
    assert!(running.wait().success());
    assert_eq!(state(&pebble.folder(&storage.path(), "astray.test"))["failures"], 1);
    let running = begin(&doorstep, &app.config(), &["astray.test", "good.test"], &acme).start();
    assert_eq!(orders(&running), 0);
}

#[tokio::test]
async fn authority_that_is_away_is_waited_for() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    // A port that is taken and never answers is slow; one that is closed is away.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let acme = pebble.config_at(closed, &storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("cannot speak with 127.0.0.1"), "{why}");
    let waiting = client::get(doorstep.http_address(), "/", &[("host", "elsewhere.test")]).await;
    assert_eq!(waiting.status, 503, "nothing is served before there is any certificate");
    // Another authority in the config is asked at once.
    running.rewrite(&config(&app.config(), &["one.test"], &pebble.config(&storage.path(), "")));
    running.signal("HUP");
    in_use(&running, "one.test");
}

#[tokio::test]
async fn account_elsewhere_is_named_where_it_is_asked_for() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let binding = json!({ "externalAccountBindingRequired": true, "externalAccountMACKeys": { "kid-1": key } });
    let pebble = Pebble::with(&doorstep, binding).await;
    let without = pebble.config(&storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &without).start();
    let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("externalAccountRequired"), "{why}");
    drop(running);
    let file = storage.folder.path().join("eab");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let other = Storage::new();
    let with = pebble.config(&other.path(), &format!("eab_key_id = \"kid-1\"\neab_key_file = {file:?}"));
    // The name may also be said on the command line.
    let builder = begin(&doorstep, &app.config(), &[], &with);
    let file = builder.folder().join("proxy.toml").display().to_string();
    let running = builder.arguments(&["--config", &file, "--domain", "One.Test"]).start();
    in_use(&running, "one.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_is_when_the_authority_says_and_names_the_old_one() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    // A mass revocation: each certificate is to go at once. The first order is said to be one too many.
    let advice = Advice { window: Some((7200, 3600)), is_replaced: true, ..Advice::default() };
    let adviser = Adviser::before(&pebble, advice).await;
    let acme = pebble.config_at(adviser.address, &storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    in_use(&running, "one.test");
    let client = pebble.client().await;
    let first = secure::shown(&client.connect(doorstep.https_address(), "one.test").await);
    drop(running);
    assert_eq!(adviser.advice.lock().orders, 1, "never two within an hour");
    // An hour and more passes.
    let folder = storage.path().join(format!("{}-dir", adviser.address)).join("one.test");
    let mut known = state(&folder);
    known["issued"] = json!(known["issued"].as_u64().unwrap() - 7200);
    std::fs::write(folder.join("state.json"), known.to_string()).unwrap();
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    running.wait_for_log(|line| line["message"].as_str().unwrap_or_default().contains("replaced already"));
    in_use(&running, "one.test");
    let second = secure::shown(&client.connect(doorstep.https_address(), "one.test").await);
    assert_ne!(first, second);
    let counted = || adviser.advice.lock().orders == 2;
    eventually(&format!("a second order\n{}", running.output()), counted).await;
    let advice = adviser.advice.lock();
    assert_eq!(advice.replaced, [advice.asked[0].clone()], "it was named once, and then ordered without");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limit_of_the_authority_is_waited_for() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let adviser = Adviser::before(&pebble, Advice { limit: Some(90_000), ..Advice::default() }).await;
    let acme = pebble.config_at(adviser.address, &storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    let line = refused(&running, "one.test");
    assert!(line["why"].as_str().unwrap().contains("too many certificates"), "{line}");
    let folder = storage.path().join(format!("{}-dir", adviser.address)).join("one.test");
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
    drop(running);
    let pause = &state(&folder)["next_try"];
    let length = pause["until"].as_u64().unwrap() - pause["from"].as_u64().unwrap();
    assert!((89_900..=90_000).contains(&length), "{pause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_ordered_that_cannot_be_kept() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let adviser = Adviser::before(&pebble, Advice::default()).await;
    // A file where the folder should be: also root cannot write into it.
    std::fs::write(storage.path(), "").unwrap();
    let acme = pebble.config_at(adviser.address, &storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("cannot write into"), "{why}");
    assert_eq!(adviser.advice.lock().orders, 0);
    drop(running);
    // A disk with room for a few bytes only.
    let small = Storage::new();
    let acme = pebble.config_at(adviser.address, &small.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).full_disk(8).start();
    let why = refused(&running, "one.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("cannot write into") && why.contains("File too large"), "{why}");
    assert_eq!(adviser.advice.lock().orders, 0);
    running.wait_for_metric("acme_orders_total{name=\"one.test\",outcome=\"failed\"}", 1.0).await;
    drop(running);
    // Once there is room, and its minute has passed.
    let folder = small.path().join(format!("{}-dir", adviser.address)).join("one.test");
    let mut known = state(&folder);
    known["next_try"] = Value::Null;
    std::fs::write(folder.join("state.json"), known.to_string()).unwrap();
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    in_use(&running, "one.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_failures_an_order_is_tried_where_it_does_not_count() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let adviser = Adviser::before(&pebble, Advice::default()).await;
    pebble.lead_astray("astray.test").await;
    let acme = pebble.config_at(adviser.address, &storage.path(), &pebble.as_staging());
    let folder = storage.path().join(format!("{}-dir", adviser.address));
    for name in ["astray.test", "good.test"] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        let known = json!({ "failures": 2, "chance": 0.5 });
        std::fs::write(folder.join(name).join("state.json"), known.to_string()).unwrap();
    }
    let running = begin(&doorstep, &app.config(), &["astray.test", "good.test"], &acme).start();
    let why = refused(&running, "astray.test")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("tried at 127.0.0.1") && why.contains("127.255.255.254"), "{why}");
    in_use(&running, "good.test");
    assert_eq!(adviser.advice.lock().orders, 1, "the other one was not asked for what would fail");
    assert_eq!(state(&folder.join("astray.test"))["failures"], 3);
    assert!(!pebble.folder(&storage.path(), "good.test").exists(), "what was tried is not kept");
}

#[tokio::test]
async fn check_online_says_what_an_order_would_fail_at() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let check = |domains: &[&str], acme: &str| {
        let file = storage.folder.path().join("proxy.toml");
        std::fs::write(&file, config(&app.config(), domains, acme)).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_doorway")).args(["check", "--online"]).arg(&file).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    };
    let there = pebble.config(&storage.path(), "");
    let (is_good, said, wrong) = check(&["localhost"], &there);
    assert!(is_good && said.contains("name localhost: leads to 127.0.0.1"), "{said}{wrong}");
    assert!(said.contains("its terms") && said.contains("data:text/plain"), "{said}");
    let (is_good, said, wrong) = check(&["nowhere.invalid"], &there);
    assert!(!is_good && wrong.contains("name nowhere.invalid: ") && wrong.contains("record"), "{said}{wrong}");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (is_good, _, wrong) = check(&["localhost"], &pebble.config_at(closed, &storage.path(), ""));
    assert!(!is_good && wrong.contains("cannot speak with 127.0.0.1"), "{wrong}");
    assert!(!storage.path().exists(), "nothing was ordered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_that_was_cut_short_is_gone_on_with() {
    let (doorstep, storage, app) = (Doorstep::new(), Storage::new(), App::saying("hello").await);
    let pebble = Pebble::start(&doorstep).await;
    let adviser = Adviser::before(&pebble, Advice { holds_certificates: true, ..Advice::default() }).await;
    let acme = pebble.config_at(adviser.address, &storage.path(), "");
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    // The certificate is there, and does not come: then the process is killed.
    adviser.asked_for_certificate().await;
    drop(running);
    let folder = storage.path().join(format!("{}-dir", adviser.address)).join("one.test");
    let mut known = state(&folder);
    assert_eq!(known["failures"], 1, "it was counted before it was begun");
    let key = std::fs::read_to_string(folder.join("0001/privkey.pem")).unwrap();
    // Its minute passes.
    known["next_try"] = Value::Null;
    std::fs::write(folder.join("state.json"), known.to_string()).unwrap();
    adviser.advice.lock().holds_certificates = false;
    let running = begin(&doorstep, &app.config(), &["one.test"], &acme).start();
    in_use(&running, "one.test");
    assert_eq!(std::fs::read_to_string(folder.join("live/privkey.pem")).unwrap(), key);
    assert_eq!(adviser.advice.lock().orders, 1, "one order, and one certificate");
    pebble.client().await.connect(doorstep.https_address(), "one.test").await;
}

#[test]
fn what_no_authority_gives_is_refused_in_the_config() {
    for (domains, acme, said) in [
        ("[\"app.test\"]", "", "private"),
        ("[\"localhost\"]", "", "self_signed"),
        ("[\"192.168.1.5\"]", "", "private"),
        ("[\"*.example.com\"]", "", "dns-01"),
        ("[\"https://example.com\"]", "", "neither a host name"),
        ("[\"example.com\", \"Example.com\"]", "", "twice"),
        ("[\"example.com\"]", "challenge = \"dns-01\"", "dns_hook"),
        ("[\"example.com\"]", "eab_key_id = \"a\"", "go together"),
        ("[\"example.com\"]", "fallback = \"zerossl\"\nfallback_eab_key_id = \"a\"", "go together"),
        ("[\"example.com\"]", "fallback = \"letsencrypt\"", "name another authority"),
        ("[\"example.com\"]", "directory = \"http://ca.test/\"", "https address"),
        ("[\"example.com\"]", "ca_file = \"/nowhere/ca.pem\"", "/nowhere/ca.pem"),
        ("[\"example.com\"]", "email = \"me\"", "tls.acme.email must be an address"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.toml");
        std::fs::write(&file, format!("[tls]\ndomains = {domains}\n[tls.acme]\n{acme}\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_doorway")).arg("check").arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{domains} {acme}: {text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_doorway")).args(["--domain", "app.test"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("--domain") && text.contains("private"), "{text}");
}
