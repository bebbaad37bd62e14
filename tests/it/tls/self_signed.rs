//! Promise: on request there is a certificate of the door's own making, for development.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, door};

const CONFIG: &str = "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\nself_signed = true\n";

fn start(state: &Path, more: &str) -> Door {
    door().config(format!("{CONFIG}{more}")).env("XDG_STATE_HOME", state.to_str().unwrap()).start()
}

/// A client that trusts what is kept in `state`.
fn client(state: &Path) -> Client {
    let mut roots = RootCertStore::empty();
    let file = state.join("doorway/self-signed.pem");
    roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
    Client::trusting(roots, &[], rustls::ALL_VERSIONS)
}

#[tokio::test]
async fn it_is_for_localhost_and_the_names_of_the_config() {
    let state = tempfile::tempdir().unwrap();
    let app = App::saying("hello").await;
    let names = "self_signed_names = [\"App.test\", \"192.168.1.5\"]\n";
    let door = start(state.path(), &format!("{names}{}", app.config()));
    door.wait_for_log(|line| {
        line["level"] == "WARN" && line["message"].as_str().is_some_and(|text| text.contains("for development only"))
    });
    for name in ["localhost", "127.0.0.1", "::1", "app.test", "192.168.1.5"] {
        let mut stream = client(state.path()).connect(door.https(), name).await;
        assert!(secure::get(&mut stream, "localhost").await.contains("hello"), "{name}");
    }
    assert!(client(state.path()).try_connect(door.https(), "elsewhere.test").await.is_err());
    let kept = std::fs::metadata(state.path().join("doorway/self-signed.pem")).unwrap();
    assert_eq!(kept.permissions().mode() & 0o777, 0o600, "nobody else may read the key");
}

#[tokio::test]
async fn the_next_start_shows_the_same_until_the_names_change() {
    let state = tempfile::tempdir().unwrap();
    let door = start(state.path(), "");
    let first = secure::shown(&client(state.path()).connect(door.https(), "localhost").await);
    drop(door);
    let door = start(state.path(), "");
    let second = secure::shown(&client(state.path()).connect(door.https(), "localhost").await);
    assert_eq!(first, second);
    // A reload has no reason to make another either.
    door.signal("HUP");
    door.wait_for_log(|line| line["message"] == "reloaded");
    let reloaded = secure::shown(&client(state.path()).connect(door.https(), "localhost").await);
    assert_eq!(first, reloaded);
    drop(door);
    let door = start(state.path(), "self_signed_names = \"app.test\"\n");
    let other = secure::shown(&client(state.path()).connect(door.https(), "app.test").await);
    assert_ne!(first, other);
}

#[tokio::test]
async fn where_nothing_can_be_kept_it_works_all_the_same() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let app = App::saying("hello").await;
    let door = start(file.path(), &app.config());
    door.wait_for_log(|line| line["message"].as_str().is_some_and(|text| text.contains("cannot be kept")));
    let output = tokio::process::Command::new("curl")
        .args(["-sSk", &format!("https://{}/", door.https())])
        .output()
        .await
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello");
}
