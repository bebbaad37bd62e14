//! Promise: new certificates are taken when their files change or on SIGHUP, without a connection lost; bad ones are
//! refused, and the old ones stay.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::certificate::{Authority, Files, Issued};
use crate::harness::secure::{self, Client};
use crate::harness::{App, Door, PATIENCE, door};

struct Site {
    door: Door,
    authority: Authority,
    files: Files,
    first: Issued,
    _app: App,
}

async fn site() -> Site {
    let app = App::saying("hello").await;
    let authority = Authority::new();
    let first = authority.issue(&["site.test"]);
    let builder = door();
    let files = first.write(builder.folder(), "site");
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}{}", files.keys(), app.config());
    Site { door: builder.config(config).start(), authority, files, first, _app: app }
}

impl Site {
    /// A fresh client, so that nothing is resumed.
    async fn shows(&self) -> Vec<u8> {
        let stream = Client::new(&self.authority).connect(self.door.https(), "site.test").await;
        secure::shown(&stream).to_vec()
    }

    async fn wait_until_it_shows(&self, issued: &Issued) {
        let deadline = Instant::now() + PATIENCE;
        while self.shows().await != issued.der.to_vec() {
            assert!(Instant::now() < deadline, "never shown:\n{}", self.door.output());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// In place, one file after the other.
    fn write(&self, issued: &Issued) {
        std::fs::write(&self.files.certificate, &issued.certificate).unwrap();
        std::fs::write(&self.files.key, &issued.key).unwrap();
    }

    async fn refusals(&self) -> f64 {
        self.door.metric("tls_certificate_loads_total{outcome=\"refused\"}").await
    }
}

#[tokio::test]
async fn files_written_in_place_are_noticed() {
    let site = site().await;
    let next = site.authority.issue(&["site.test"]);
    site.write(&next);
    site.wait_until_it_shows(&next).await;
}

#[tokio::test]
async fn files_renamed_into_place_are_noticed() {
    let site = site().await;
    for _ in 0..3 {
        let next = site.authority.issue(&["site.test"]);
        let drafts = next.write(site.door.folder(), "draft");
        std::fs::rename(drafts.certificate, &site.files.certificate).unwrap();
        std::fs::rename(drafts.key, &site.files.key).unwrap();
        site.wait_until_it_shows(&next).await;
    }
}

fn link(target: &Path, link: &Path) {
    let draft = link.with_file_name("draft");
    std::os::unix::fs::symlink(target, &draft).unwrap();
    std::fs::rename(draft, link).unwrap();
}

/// As certbot does it: `live/NAME.pem` leads to `archive/NAME1.pem`, then to `archive/NAME2.pem`.
#[tokio::test]
async fn links_to_files_are_followed() {
    let authority = Authority::new();
    let builder = door();
    let (live, archive) = (builder.folder().join("live"), builder.folder().join("archive"));
    std::fs::create_dir(&live).unwrap();
    std::fs::create_dir(&archive).unwrap();
    let files = Files { certificate: live.join("fullchain.pem"), key: live.join("privkey.pem") };
    let install = |number: usize| {
        let issued = authority.issue(&["site.test"]);
        let written = issued.write(&archive, &number.to_string());
        link(&written.certificate, &files.certificate);
        link(&written.key, &files.key);
        issued
    };
    let first = install(1);
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}", files.keys());
    let door = builder.config(config).start();
    let app = App::saying("hello").await;
    let site = Site { door, authority: Authority::new(), files: Files { ..files }, first, _app: app };
    let site = Site { authority, ..site };
    site.wait_until_it_shows(&site.first).await;
    for number in 2..4 {
        let issued = site.authority.issue(&["site.test"]);
        let written = issued.write(&archive, &number.to_string());
        link(&written.certificate, &site.files.certificate);
        link(&written.key, &site.files.key);
        site.wait_until_it_shows(&issued).await;
    }
}

/// As Kubernetes does it: files are links into `..data`, which is a link to a folder that is swapped.
#[tokio::test]
async fn a_folder_behind_a_link_may_be_swapped() {
    let authority = Authority::new();
    let builder = door();
    let mount = builder.folder().join("mount");
    std::fs::create_dir(&mount).unwrap();
    let install = |number: usize, issued: &Issued| {
        let folder = mount.join(format!("..{number}"));
        std::fs::create_dir(&folder).unwrap();
        issued.write(&folder, "tls");
        link(&folder, &mount.join("..data"));
    };
    let first = authority.issue(&["site.test"]);
    install(1, &first);
    for name in ["tls.pem", "tls.key"] {
        std::os::unix::fs::symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
    }
    let files = Files { certificate: mount.join("tls.pem"), key: mount.join("tls.key") };
    let config = format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}", files.keys());
    let site = Site { door: builder.config(config).start(), authority, files, first, _app: App::saying("").await };
    site.wait_until_it_shows(&site.first).await;
    let next = site.authority.issue(&["site.test"]);
    install(2, &next);
    site.wait_until_it_shows(&next).await;
}

#[tokio::test]
async fn a_bad_certificate_is_refused_and_the_old_one_stays() {
    let site = site().await;
    let (next, other) = (site.authority.issue(&["site.test"]), site.authority.issue(&["site.test"]));
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    let expired = site.authority.issue_for(&["site.test"], now - 2 * day, now - day);
    for (certificate, key, word) in [
        (next.certificate.as_str(), other.key.as_str(), "does not belong to"),
        ("nonsense", next.key.as_str(), "there is no certificate in"),
        (&expired.certificate, &expired.key, "expired on"),
    ] {
        let before = site.refusals().await;
        std::fs::write(&site.files.certificate, certificate).unwrap();
        std::fs::write(&site.files.key, key).unwrap();
        site.door.wait_for_log(|line| {
            line["message"] == "the new certificate is refused, the old one stays"
                && line["why"].as_str().is_some_and(|why| why.contains(word) && why.contains("site."))
        });
        assert!(site.refusals().await > before);
        assert_eq!(site.shows().await, site.first.der.to_vec(), "{word}");
        site.door.signal("HUP");
        site.door.wait_for_log(|line| {
            let refused = line["message"].as_str().is_some_and(|text| text.contains(word));
            line["level"] == "ERROR" && (refused || line["why"].as_str().is_some_and(|why| why.contains(word)))
        });
        assert_eq!(site.shows().await, site.first.der.to_vec(), "{word}, on SIGHUP");
    }
    site.write(&next);
    site.wait_until_it_shows(&next).await;
}

#[tokio::test]
async fn sighup_takes_other_files() {
    let site = site().await;
    let next = site.authority.issue(&["site.test"]);
    let files = next.write(site.door.folder(), "renamed");
    let config = std::fs::read_to_string(site.door.config_file()).unwrap();
    let old = site.files.keys();
    assert!(config.contains(&old));
    std::fs::write(site.door.config_file(), config.replace(&old, &files.keys())).unwrap();
    assert_eq!(site.shows().await, site.first.der.to_vec(), "nobody asked for it yet");
    site.door.signal("HUP");
    site.wait_until_it_shows(&next).await;
    // And these are the ones that are followed from now on.
    let after = site.authority.issue(&["site.test"]);
    after.write(site.door.folder(), "renamed");
    site.wait_until_it_shows(&after).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_no_connection_is_lost() {
    let site = site().await;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let (address, client) = (site.door.https(), Client::with(&site.authority, &["http/1.1"], rustls::ALL_VERSIONS));
    // Connections that stay over every reload, and others that come and go.
    let load = |stays: bool| {
        let (stop, answered, client) = (Arc::clone(&stop), Arc::clone(&answered), client.clone());
        tokio::spawn(async move {
            let mut stream = client.connect(address, "site.test").await;
            while !stop.load(Ordering::SeqCst) {
                if !stays {
                    stream = client.connect(address, "site.test").await;
                }
                assert!(secure::get(&mut stream, "site.test").await.ends_with("hello"));
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let tasks: Vec<_> = [true, true, true, false, false].map(load).into_iter().collect();
    for turn in 0..6 {
        let next = site.authority.issue(&["site.test"]);
        site.write(&next);
        if turn % 2 == 0 {
            site.door.signal("HUP");
        }
        site.wait_until_it_shows(&next).await;
        let before = answered.load(Ordering::SeqCst);
        let deadline = Instant::now() + PATIENCE;
        while answered.load(Ordering::SeqCst) < before + 20 {
            assert!(Instant::now() < deadline && tasks.iter().all(|task| !task.is_finished()), "the load stands still");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.expect("not one request failed");
    }
}
