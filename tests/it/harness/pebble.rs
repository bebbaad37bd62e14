//! An authority to order certificates from: Debian's `pebble` with its DNS, and what it does not do (ARI, limits) before
//! it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::certificate::Authority;
use super::door::PATIENCE;
use super::secure::Client;
use super::wire;

/// The sockets of a door whose ports an authority must know before it is started.
pub struct Doorstep {
    http: TcpListener,
    https: TcpListener,
}

impl Doorstep {
    pub fn new() -> Doorstep {
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        Doorstep { http: bind(), https: bind() }
    }

    /// The same sockets each time: a door that is started again is where it was.
    pub fn http(&self) -> TcpListener {
        self.http.try_clone().expect("a clone")
    }

    pub fn https(&self) -> TcpListener {
        self.https.try_clone().expect("a clone")
    }

    pub fn http_address(&self) -> SocketAddr {
        self.http.local_addr().expect("an address")
    }

    pub fn https_address(&self) -> SocketAddr {
        self.https.local_addr().expect("an address")
    }
}

/// Ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `pebble` and `pebble-challtestsrv`, which look for every name at 127.0.0.1.
pub struct Pebble {
    _processes: [Running; 2],
    authority: Authority,
    folder: TempDir,
    address: SocketAddr,
    management: SocketAddr,
    dns: SocketAddr,
}

/// A port that was free just now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

impl Pebble {
    pub async fn start(doorstep: &Doorstep) -> Pebble {
        Pebble::with(doorstep, json!({ "externalAccountBindingRequired": false })).await
    }

    /// With more in its config.
    pub async fn with(doorstep: &Doorstep, more: Value) -> Pebble {
        // Another may take a port between the look and the start: then once more.
        for _ in 0..10 {
            if let Some(pebble) = Pebble::attempt(doorstep, &more).await {
                return pebble;
            }
        }
        panic!("pebble does not start: is the package `pebble` installed?");
    }

    async fn attempt(doorstep: &Doorstep, more: &Value) -> Option<Pebble> {
        let authority = Authority::new();
        let folder = tempfile::tempdir().expect("a folder");
        let issued = authority.issue(&["127.0.0.1", "localhost"]).write(folder.path(), "pebble");
        let (address, management, dns_management, dns) = (free(), free(), free(), free());
        let mut config = json!({
            "listenAddress": address,
            "managementListenAddress": management,
            "certificate": issued.certificate,
            "privateKey": issued.key,
            "httpPort": doorstep.http_address().port(),
            "tlsPort": doorstep.https_address().port(),
            "ocspResponderURL": "",
        });
        config.as_object_mut()?.extend(more.as_object()?.clone());
        let file = folder.path().join("pebble.json");
        std::fs::write(&file, json!({ "pebble": config }).to_string()).expect("a file");
        let quiet =
            |command: &mut Command| command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let names = quiet(
            Command::new("pebble-challtestsrv")
                .args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""])
                .args(["-dns01", &dns.to_string(), "-management", &dns_management.to_string()]),
        );
        let mut names = Running(names.expect("pebble-challtestsrv runs"));
        let authority_process = quiet(
            Command::new("pebble")
                .args(["-config", file.to_str()?, "-dnsserver", &dns.to_string()])
                // Some good nonces are rejected, but not four in a row; nothing is waited for.
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "3"), ("PEBBLE_AUTHZREUSE", "0")]),
        );
        let mut process = Running(authority_process.expect("pebble runs"));
        let client = Client::new(&authority);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if names.0.try_wait().ok()?.is_some() || process.0.try_wait().ok()?.is_some() || Instant::now() > deadline {
                return None;
            }
            let mut is_up = TcpStream::connect(dns_management).await.is_ok() && TcpStream::connect(dns).await.is_ok();
            for port in [address, management] {
                let Ok(stream) = TcpStream::connect(port).await else {
                    is_up = false;
                    continue;
                };
                // Its certificate is this authority's: nobody else answers.
                is_up &= client.over(stream, "127.0.0.1").await.is_ok();
            }
            if is_up {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::fs::write(folder.path().join("ca.pem"), &authority.pem).expect("a file");
        Some(Pebble { _processes: [names, process], authority, folder, address, management, dns: dns_management })
    }

    /// `[tls.acme]` that names it, with `more` of its keys, and its storage in `storage`.
    pub fn config(&self, storage: &Path, more: &str) -> String {
        self.config_at(self.address, storage, more)
    }

    /// The same with something before it.
    pub fn config_at(&self, address: SocketAddr, storage: &Path, more: &str) -> String {
        let ca = self.folder.path().join("ca.pem");
        format!("[tls.acme]\ndirectory = \"https://{address}/dir\"\nca_file = {ca:?}\nstorage = {storage:?}\n{more}\n")
    }

    /// The key that names it as where orders are tried.
    pub fn as_staging(&self) -> String {
        format!("staging = \"https://{}/dir\"", self.address)
    }

    /// The key that names it as the one to fall back to.
    pub fn as_fallback(&self) -> String {
        format!("fallback = \"https://{}/dir\"\n", self.address)
    }

    /// Who trusts this one by its file trusts `other` as well.
    pub fn trust_too(&self, other: &Pebble) {
        let both = format!("{}{}", self.authority.pem, other.authority.pem);
        std::fs::write(self.folder.path().join("ca.pem"), both).expect("a file");
    }

    /// The folder of `name` in `storage`.
    pub fn folder(&self, storage: &Path, name: &str) -> PathBuf {
        storage.join(format!("{}-dir", self.address)).join(name)
    }

    /// Where records are put into its DNS.
    pub fn dns(&self) -> SocketAddr {
        self.dns
    }

    /// Names that lead to nothing.
    pub async fn lead_astray(&self, name: &str) {
        let body = json!({ "host": format!("{name}."), "addresses": ["127.255.255.254"] }).to_string();
        let length = body.len();
        let request =
            format!("POST /add-a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        let answer = wire::exchange(self.dns, request).await;
        assert_eq!(wire::status(&answer), 200, "{answer}");
    }

    /// What a browser would trust.
    pub async fn roots(&self) -> RootCertStore {
        let mut stream = Client::new(&self.authority).connect(self.management, "127.0.0.1").await;
        let answer = exchange(&mut stream, b"GET /roots/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&answer).expect("a root")).expect("a root");
        roots
    }

    pub async fn client(&self) -> Client {
        Client::trusting(self.roots().await, &[], rustls::ALL_VERSIONS)
    }
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &[u8]) -> Vec<u8> {
    stream.write_all(request).await.expect("written");
    let mut answer = Vec::new();
    // Go closes without a word.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// What stands before pebble, and what it is to do.
#[derive(Default)]
pub struct Advice {
    /// Renew in this window, in seconds before now.
    pub window: Option<(u64, u64)>,
    /// Say once that a certificate is replaced already.
    pub is_replaced: bool,
    /// Refuse new orders, and say when to come back, in seconds.
    pub limit: Option<u32>,
    /// Certificates that were asked for, and that orders said they replace.
    pub asked: Vec<String>,
    pub replaced: Vec<String>,
    /// How many orders were accepted.
    pub orders: usize,
    /// Hang up on whoever comes.
    pub is_down: bool,
    /// Hand out no certificate for as long as this stands.
    pub holds_certificates: bool,
    /// Hang up on whoever asks for an order that is there.
    pub loses_orders: bool,
    /// How often one was asked for in vain.
    pub held: usize,
}

/// Passes all on to pebble, and says more than that does.
pub struct Adviser {
    pub address: SocketAddr,
    pub advice: Arc<Mutex<Advice>>,
}

impl Adviser {
    pub async fn before(pebble: &Pebble, advice: Advice) -> Adviser {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let advice = Arc::new(Mutex::new(advice));
        let issued = pebble.authority.issue(&["127.0.0.1"]);
        let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![issued.der], key))
            .expect("a config");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let (client, behind, shared) = (Client::new(&pebble.authority), pebble.address, Arc::clone(&advice));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, client, advice) = (acceptor.clone(), client.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    if advice.lock().is_down {
                        return;
                    }
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let request = read_request(&mut stream).await;
                    let path = path(&request);
                    if path.starts_with("/my-order/") && advice.lock().loses_orders {
                        return;
                    }
                    if path.starts_with("/certZ/") && !is_handed_out(&mut stream, &advice).await {
                        return;
                    }
                    let answer = match answer(&request, &advice) {
                        Some(answer) => answer,
                        None => {
                            let mut onward = client.connect(behind, "127.0.0.1").await;
                            let answer = exchange(&mut onward, &request).await;
                            edit(&request, answer, address, &advice)
                        }
                    };
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Adviser { address, advice }
    }

    /// Waits until a certificate was asked for in vain.
    pub async fn asked_for_certificate(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.advice.lock().held == 0 {
            assert!(Instant::now() < deadline, "no certificate was asked for");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits while certificates are held, and says whether who asked is still there then.
async fn is_handed_out(stream: &mut (impl AsyncRead + Unpin), advice: &Mutex<Advice>) -> bool {
    if !advice.lock().holds_certificates {
        return true;
    }
    advice.lock().held += 1;
    let released = async {
        while advice.lock().holds_certificates {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut nothing = [0];
    tokio::select! {
        _ = stream.read(&mut nothing) => false,
        () = released => true,
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return request;
            }
        }
        match stream.read(&mut piece).await {
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            _ => return request,
        }
    }
}

fn path(request: &[u8]) -> String {
    String::from_utf8_lossy(request).split(' ').nth(1).unwrap_or_default().to_owned()
}

/// What a signed request holds.
fn payload(request: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(request).into_owned();
    let signed: Value = serde_json::from_str(wire::body(&text)).ok()?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?).ok()
}

fn replaces(request: &[u8]) -> Option<String> {
    Some(payload(request)?["replaces"].as_str()?.to_owned())
}

fn say(status: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn problem(kind: &str, detail: &str, status: u16) -> Value {
    json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status })
}

/// What pebble is not asked.
fn answer(request: &[u8], advice: &Mutex<Advice>) -> Option<Vec<u8>> {
    let path = path(request);
    let mut advice = advice.lock();
    if let Some(id) = path.strip_prefix("/ari/") {
        advice.asked.push(id.to_owned());
        let (start, end) = advice.window?;
        let before = |seconds| {
            humantime::format_rfc3339_seconds(std::time::SystemTime::now() - Duration::from_secs(seconds)).to_string()
        };
        let window = json!({ "suggestedWindow": { "start": before(start), "end": before(end) } });
        return Some(say("200 OK", "Retry-After: 3600\r\n", &window));
    }
    if path != "/order-plz" {
        return None;
    }
    if let Some(seconds) = advice.limit {
        let problem = problem("rateLimited", "too many certificates (the test says so)", 429);
        return Some(say("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), &problem));
    }
    if let Some(id) = replaces(request) {
        advice.replaced.push(id);
        if std::mem::take(&mut advice.is_replaced) {
            return Some(say("409 Conflict", "", &problem("alreadyReplaced", "it is replaced already", 409)));
        }
    }
    None
}

/// What pebble does not say.
fn edit(request: &[u8], answer: Vec<u8>, address: SocketAddr, advice: &Mutex<Advice>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return answer };
    let Ok(mut body) = serde_json::from_str::<Value>(body) else { return answer };
    // One whose nonce was rejected comes again: what counts is what was accepted.
    if path(request) == "/order-plz" && body["status"] == "pending" {
        advice.lock().orders += 1;
    }
    match (path(request).as_str(), replaces(request)) {
        ("/dir", _) => body["renewalInfo"] = json!(format!("https://{address}/ari")),
        ("/order-plz", Some(id)) if body["status"] == "pending" => body["replaces"] = json!(id),
        _ => return answer,
    }
    let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let kept = headers.split("\r\n").filter(|line| {
        let line = line.to_lowercase();
        !line.starts_with("content-length:") && !line.starts_with("connection:")
    });
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    say(status.trim_start_matches("HTTP/1.1 "), &kept, &body)
}
