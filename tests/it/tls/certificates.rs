//! Promise: the certificate fits the name; keys of every kind are read; what is wrong is said with the file's name.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::harness::certificate::{Authority, Files};
use crate::harness::secure::{self, Client};
use crate::harness::wire;
use crate::harness::{App, Door, door};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What `doorway check` says of a config, and whether it is content.
fn check(folder: &Path, config: &str) -> (bool, String) {
    let file = folder.join("check.toml");
    std::fs::write(&file, config).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_doorway")).arg("check").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_for_the_name_it_asks_for() {
    let authority = Authority::new();
    let builder = door();
    let issue = |file: &str, names: &[&str]| (authority.issue(names), file.to_owned());
    let issued = [
        issue("first", &["site.test", "fallback.test"]),
        issue("second", &["*.site.test"]),
        issue("third", &["www.site.test", "other.test"]),
    ];
    let files: Vec<Files> = issued.iter().map(|(issued, file)| issued.write(builder.folder(), file)).collect();
    let config = format!(
        "[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}[[tls.certificates]]\n{}[[tls.certificates]]\n{}",
        files[0].keys(),
        files[1].keys(),
        files[2].keys()
    );
    let door = builder.config(config).start();
    let client = Client::new(&authority);
    for (name, expected) in
        [("site.test", 0), ("api.site.test", 1), ("www.site.test", 2), ("WWW.Site.Test", 2), ("other.test", 2)]
    {
        let stream = client.connect(door.https(), name).await;
        assert_eq!(secure::shown(&stream), issued[expected].0.der, "{name}");
    }
    // A name that fits none gets the first, which the client then refuses.
    assert!(client.try_connect(door.https(), "unknown.test").await.is_err());
    let nameless = Command::new("openssl")
        .args(["s_client", "-noservername", "-connect", &door.https().to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let body: String = issued[0].0.certificate.lines().filter(|line| !line.starts_with('-')).collect();
    let shown: String = String::from_utf8_lossy(&nameless.stdout).split_whitespace().collect();
    assert!(shown.contains(&body.replace(['\r', '\n'], "")), "{shown}");
    for file in ["first", "second", "third"] {
        let path = door.folder().join(format!("{file}.pem"));
        let metric = format!("tls_certificate_not_after_timestamp_seconds{{certificate=\"{}\"}}", path.display());
        assert!(door.metric(&metric).await > 1.7e9);
    }
}

#[tokio::test]
async fn every_kind_of_key_is_read_and_chosen_for_the_client() {
    let app = App::saying("hello").await;
    let builder = door();
    let folder = builder.folder().to_owned();
    let subject = "-subj /CN=site.test -addext subjectAltName=DNS:site.test -days 30";
    openssl(&folder, "genrsa -traditional -out pkcs1.key 2048");
    openssl(&folder, "ecparam -name prime256v1 -genkey -out sec1.key");
    openssl(&folder, "genpkey -algorithm ed25519 -out pkcs8.key");
    let mut pairs = Vec::new();
    for (kind, header) in
        [("pkcs1", "BEGIN RSA PRIVATE KEY"), ("sec1", "BEGIN EC PRIVATE KEY"), ("pkcs8", "BEGIN PRIVATE KEY")]
    {
        assert!(std::fs::read_to_string(folder.join(format!("{kind}.key"))).unwrap().contains(header), "{kind}");
        openssl(&folder, &format!("req -x509 -key {kind}.key -out {kind}.pem {subject}"));
        pairs.push(format!("[[tls.certificates]]\ncertificate = \"{kind}.pem\"\nkey = \"{kind}.key\"\n"));
    }
    let door = builder.config(format!("[listen]\nhttps = \"127.0.0.1:0\"\n{}{}", pairs.concat(), app.config())).start();
    for (algorithms, kind) in [
        ("rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256", "pkcs1"),
        ("ecdsa_secp256r1_sha256", "sec1"),
        ("ed25519", "pkcs8"),
    ] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &door.https().to_string(), "-servername", "site.test"])
            .args(["-sigalgs", algorithms, "-CAfile", &format!("{kind}.pem"), "-verify_return_error"])
            .current_dir(&folder)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("Verify return code: 0 (ok)"), "{kind}: {said}");
    }
}

#[tokio::test]
async fn byte_order_marks_are_passed_over() {
    const MARK: &str = "\u{feff}";
    let authority = Authority::new();
    let builder = door();
    let issued = authority.issue(&["site.test"]);
    // As an editor of Windows writes each file, and as they are then put together.
    let chain = format!("{MARK}{}{MARK}{}", issued.certificate, authority.pem);
    let files = Files { certificate: builder.folder().join("site.pem"), key: builder.folder().join("site.key") };
    std::fs::write(&files.certificate, chain).unwrap();
    std::fs::write(&files.key, format!("{MARK}{}", issued.key)).unwrap();
    let door = builder.config(format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}", files.keys())).start();
    let stream = Client::new(&authority).connect(door.https(), "site.test").await;
    assert_eq!(stream.get_ref().1.peer_certificates().map(<[_]>::len), Some(2), "the whole chain");
}

/// Every way in which files can be wrong: what the config says, and what must be said of it.
fn wrong(folder: &Path, authority: &Authority) -> Vec<(String, Vec<String>)> {
    let good = authority.issue(&["site.test"]).write(folder, "good");
    let other = authority.issue(&["site.test"]).write(folder, "other");
    let write = |name: &str, text: &str| -> PathBuf {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    openssl(folder, "pkcs8 -topk8 -in good.key -passout pass:secret -out encrypted.key");
    openssl(folder, "genrsa -traditional -aes128 -passout pass:secret -out encrypted1.key 2048");
    let missing = folder.join("missing.pem");
    let empty = write("empty.pem", "");
    let cut = write("cut.pem", &read(&good.certificate)[..200]);
    let garbage = write("garbage.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let turned = write("turned.pem", &format!("{}{}", authority.pem, read(&good.certificate)));
    let cases = [
        (&missing, &good.key, vec!["cannot read the certificate", "missing.pem"]),
        (&good.certificate, &missing, vec!["cannot read the key", "missing.pem"]),
        (&empty, &good.key, vec!["there is no certificate in", "empty.pem", "BEGIN CERTIFICATE"]),
        (&good.key, &good.key, vec!["there is no certificate in", "good.key"]),
        (&cut, &good.key, vec!["cut.pem", "not PEM"]),
        (&garbage, &good.key, vec!["cannot be understood", "garbage.pem"]),
        (&good.certificate, &good.certificate, vec!["there is no private key in", "good.pem"]),
        (&good.certificate, &other.key, vec!["does not belong to", "other.key", "good.pem"]),
        (&turned, &good.key, vec!["wrong order", "turned.pem"]),
        (&good.certificate, &folder.join("encrypted.key"), vec!["encrypted.key", "is encrypted", "openssl pkey"]),
        (&good.certificate, &folder.join("encrypted1.key"), vec!["encrypted1.key", "is encrypted"]),
    ];
    let config = |certificate: &Path, key: &Path| {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}", files.keys())
    };
    let cases = cases.into_iter();
    cases
        .map(|(certificate, key, words)| (config(certificate, key), words.into_iter().map(str::to_owned).collect()))
        .collect()
}

#[tokio::test]
async fn wrong_files_are_named_by_check_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    for (config, words) in wrong(folder.path(), &Authority::new()) {
        let (is_content, said) = check(folder.path(), &config);
        assert!(!is_content, "{config}");
        for word in &words {
            assert!(said.contains(word), "{word:?} is missing in:\n{said}");
        }
        assert!(said.contains("check.toml:4:") || said.contains("check.toml:5:"), "{said}");
        assert!(said.contains("1 problem"), "{said}");
    }
}

#[tokio::test]
async fn the_door_stays_closed_with_wrong_files() {
    let folder = tempfile::tempdir().unwrap();
    for (config, words) in wrong(folder.path(), &Authority::new()).into_iter().skip(6).take(2) {
        let mut door = door().config(config).spawn();
        assert_eq!(door.wait().code(), Some(1));
        for word in &words {
            assert!(door.output().contains(word), "{word:?} is missing in:\n{}", door.output());
        }
    }
}

#[tokio::test]
async fn wrong_entries_of_the_list_are_named_too() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (good, other) = (
        authority.issue(&["a.test"]).write(folder.path(), "good"),
        authority.issue(&["b.test"]).write(folder.path(), "other"),
    );
    let mixed = Files { certificate: good.certificate.clone(), key: other.key.clone() };
    let config = format!(
        "[[tls.certificates]]\n{}[[tls.certificates]]\n{}[[tls.certificates]]\nkey = \"x\"\n",
        good.keys(),
        mixed.keys()
    );
    let (is_content, said) = check(folder.path(), &config);
    assert!(!is_content);
    assert!(said.contains("check.toml:6:") && said.contains("does not belong to"), "{said}");
    assert!(said.contains("needs `certificate`") && said.contains("2 problems"), "{said}");
    let (is_content, said) = check(folder.path(), &format!("[[tls.certificates]]\n{}", good.keys()));
    assert!(is_content, "{said}");
}

fn serve_for(from: SystemTime, until: SystemTime) -> (Door, PathBuf) {
    let builder = door();
    let files = Authority::new().issue_for(&["site.test"], from, until).write(builder.folder(), "site");
    let certificate = files.certificate.clone();
    (builder.config(format!("[listen]\nhttps = \"127.0.0.1:0\"\n[tls]\n{}", files.keys())).start(), certificate)
}

#[tokio::test]
async fn expired_certificates_are_complained_of_and_still_shown() {
    let now = SystemTime::now();
    let (door, file) = serve_for(now - 30 * DAY, now - DAY);
    let line = door.wait_for_log(|line| line["level"] == "ERROR");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("expired on 20") && message.contains(&file.display().to_string()), "{message}");
    let config = std::fs::read_to_string(door.config_file()).unwrap();
    let (is_content, said) = check(door.folder(), &config);
    assert!(!is_content && said.contains("expired on 20") && said.contains("site.pem"), "{said}");

    let (door, _) = serve_for(now + DAY, now + 30 * DAY);
    let line = door.wait_for_log(|line| line["level"] == "ERROR");
    assert!(line["message"].as_str().unwrap().contains("is not valid before 20"), "{line}");
}

#[tokio::test]
async fn certificates_that_expire_soon_are_warned_of() {
    let now = SystemTime::now();
    let soon = |door: &Door| door.log().into_iter().any(|line| line["message"] == "a certificate expires soon");
    let (door, file) = serve_for(now - 80 * DAY, now + 10 * DAY);
    let line = door.wait_for_log(|line| line["message"] == "a certificate expires soon");
    assert_eq!(line["certificate"], file.display().to_string());
    assert!(line["left"].as_str().unwrap().starts_with("9days"), "{line}");
    let health = wire::get(door.admin(), "/health/ready").await;
    let told: serde_json::Value = serde_json::from_str(wire::body(&health)).unwrap();
    let warning = format!("the certificate {} expires in 9 days", file.display());
    assert_eq!(told["warnings"], serde_json::json!([warning]));
    // Half of a short life is not soon.
    let (door, _) = serve_for(now - 3 * DAY, now + 3 * DAY);
    assert!(!soon(&door));
    let (door, _) = serve_for(now - 6 * DAY, now + DAY);
    assert!(soon(&door));
}
