//! Who takes part in which case, and how each is set up: with the defaults its users get, one processor.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process::{Process, Usage};
use crate::{ably, instructions, liveblocks, pusher};

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    Doorway,
    Nginx,
    Haproxy,
    Caddy,
    Envoy,
    Ws,
    Bun,
    /// The Node server of Socket.IO.
    SocketIo,
    /// A server of Pusher Channels in Rust.
    Sockudo,
    /// The server of `y-websocket`, as its package starts it: documents in memory alone.
    YWebsocket,
    /// The usual `server.js`: the app inside an Express server.
    Express,
    /// `next start` with nothing before it.
    Next,
    /// No peer but the limit: a loop of `send()` calls.
    Bare,
}

/// What a contender is set up for.
#[derive(Debug, Clone)]
pub enum Role {
    /// In front of an app.
    Proxy { upstream: SocketAddr, tls: bool },
    /// In front of an app whose pages it keeps, if it `keeps` them.
    Cache { upstream: SocketAddr, keeps: bool },
    /// Files of `folder` under `/_next/static/`.
    Files { folder: PathBuf, upstream: SocketAddr },
    /// Every message back to its sender.
    Echo,
    /// Every message to everybody of its room (the path), the sender too.
    Broadcast { tls: bool },
    /// Every message to everybody in its Socket.IO namespace, the sender too.
    SocketIo,
    /// The same, one of several servers that share a Redis, which has this socket.
    SharedSocketIo { redis: PathBuf },
    /// An app of Pusher Channels, whose clients may send events.
    Pusher,
    /// An app of Ably.
    Ably,
    /// Documents of Yjs and of Liveblocks, in a folder that is new, or the one of before.
    Documents { anew: bool },
    /// In front of a Next.js app, the one of `project`.
    Page { project: PathBuf },
    /// The same, and pages that are everybody's are kept: by the door's own defaults, where it starts the app.
    KeptPage { project: PathBuf },
}

/// A contender that is up.
pub struct Running {
    pub process: Process,
    pub address: SocketAddr,
    /// The app behind it, where that is not a part of the contender.
    pub app: Option<Process>,
}

impl Running {
    /// Of the contender and its app.
    pub fn usage(&self) -> Usage {
        let own = self.process.usage();
        self.app.as_ref().map_or(own, |app| own.and(app.usage()))
    }
}

/// What one address may have where it stands for many.
const CONNECTIONS: &str = "max_connections = 17000\nmax_connections_per_address = 17000\n";
const CHANNELS: &str = "[realtime]\nmax_channels = 400000\n";

#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where configs, certificates and logs are written.
    pub folder: &'a Path,
    pub certificate: &'a Path,
    pub key: &'a Path,
    pub doorway: &'a Path,
    /// `tests/bench/peers`, with its packages installed.
    pub peers: &'a Path,
    /// Clients come from far: everybody listens everywhere, and nginx buffers as it does by default. Else it passes on what
    /// comes, as the others do.
    pub far: bool,
    /// One address does what those of many do: what it may have alone is raised.
    pub alone: bool,
    /// So many processors a contender has.
    pub processors: usize,
    /// Contenders are run by a program that counts their instructions, and writes what it counts to files of this name.
    pub counts: Option<&'a Path>,
}

impl Contender {
    pub fn name(self) -> &'static str {
        match self {
            Contender::Doorway => "Doorway",
            Contender::Nginx => "nginx",
            Contender::Haproxy => "HAProxy",
            Contender::Caddy => "Caddy",
            Contender::Envoy => "Envoy",
            Contender::Ws => "ws",
            Contender::Bun => "Bun",
            Contender::SocketIo => "Socket.IO",
            Contender::Sockudo => "Sockudo",
            Contender::YWebsocket => "y-websocket",
            Contender::Express => "Express",
            Contender::Next => "next start",
            Contender::Bare => "bare send()",
        }
    }

    /// The program, if it is installed.
    pub fn program(self, site: &Site) -> Option<PathBuf> {
        let in_path = |name: &str| {
            let path = std::env::var_os("PATH")?;
            let more = ["/usr/sbin".into(), site.peers.join("bin"), site.peers.join("node_modules/.bin")];
            std::env::split_paths(&path).chain(more).map(|folder| folder.join(name)).find(|file| file.is_file())
        };
        match self {
            Contender::Doorway => Some(site.doorway.to_owned()).filter(|file| file.is_file()),
            Contender::Nginx => in_path("nginx"),
            Contender::Haproxy => in_path("haproxy"),
            Contender::Caddy => in_path("caddy"),
            Contender::Envoy => in_path("envoy"),
            Contender::Ws => in_path("node").filter(|_| site.peers.join("node_modules/ws").is_dir()),
            Contender::Bun => in_path("bun"),
            Contender::SocketIo => in_path("node").filter(|_| site.peers.join("node_modules/socket.io").is_dir()),
            Contender::Sockudo => std::env::var_os("SOCKUDO").map(PathBuf::from).or_else(|| in_path("sockudo")),
            Contender::YWebsocket => in_path("y-websocket-server"),
            Contender::Express => in_path("node").filter(|_| site.peers.join("node_modules/express").is_dir()),
            Contender::Next => in_path("node"),
            Contender::Bare => std::env::current_exe().ok(),
        }
    }

    pub fn start(self, role: &Role, site: &Site) -> Result<Running> {
        let program = self.program(site).context("not installed")?.to_string_lossy().into_owned();
        let address = free_address()?;
        let port = address.port();
        let listen_at =
            SocketAddr::new(if site.far { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST }.into(), port);
        let log = site.folder.join(format!("{}.log", self.name()));
        let file = |name: &str, text: String| -> Result<String> {
            let path = site.folder.join(name);
            fs::write(&path, text)?;
            Ok(path.to_string_lossy().into_owned())
        };
        let (certificate, key) = (site.certificate.display(), site.key.display());
        let mut environment = Vec::new();
        let app = match (self, role) {
            (Contender::Express, _) => None,
            (Contender::Nginx, Role::KeptPage { project }) | (_, Role::Page { project }) => {
                Some(next(project, &site.folder.join("next.log"))?)
            }
            _ => None,
        };
        let upstream = app.as_ref().map(|(_, address)| *address);
        let command = match self {
            Contender::Doorway => {
                let listen = match role {
                    Role::Proxy { tls: true, .. } | Role::Broadcast { tls: true } => {
                        format!(
                            "http = []\nhttps = \"{listen_at}\"\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\""
                        )
                    }
                    _ => format!("http = \"{listen_at}\""),
                };
                let (connections, channels) = if site.alone { (CONNECTIONS, CHANNELS) } else { ("", "") };
                let app = match role {
                    Role::Proxy { upstream, .. } | Role::Cache { upstream, keeps: false } => {
                        format!("[app]\nurl = \"http://{upstream}\"")
                    }
                    Role::Cache { upstream, .. } => {
                        format!("[app]\nurl = \"http://{upstream}\"\n[cache]\npaths = [\"*\"]")
                    }
                    Role::Page { project } => {
                        let upstream = upstream.context("no app")?;
                        format!("[app]\nurl = \"http://{upstream}\"\ndir = \"{}\"", project.display())
                    }
                    Role::KeptPage { project } => format!("[app]\ndir = \"{}\"\nbuild = \"never\"", project.display()),
                    Role::Files { folder, upstream } => {
                        format!("[app]\nurl = \"http://{upstream}\"\ndir = \"{}\"", folder.display())
                    }
                    _ => String::new(),
                };
                let pusher = format!(
                    "[[realtime.pusher]]\nid = \"{}\"\nkey = \"{}\"\nsecret = \"{}\"",
                    pusher::APP,
                    pusher::KEY,
                    pusher::SECRET
                );
                let ably = format!("[[realtime.ably]]\nkey = \"{}\"", ably::KEY);
                let documents = site.folder.join("documents");
                if matches!(role, Role::Documents { anew: true }) && documents.is_dir() {
                    fs::remove_dir_all(&documents)?;
                }
                let documents = format!(
                    "[documents]\ndir = \"{}\"\n[realtime.yjs]\nrooms = [\"*\"]\n[realtime.liveblocks]\npublic_key = \"{}\"",
                    documents.display(),
                    liveblocks::KEY
                );
                let sharing = match role {
                    Role::SharedSocketIo { redis } => format!(
                        "[realtime.redis]\nurl = \"unix://{}\"\n[[realtime.socketio]]\nnamespaces = [\"/\", \"/room-*\"]",
                        redis.display()
                    ),
                    _ => String::new(),
                };
                let hub = match role {
                    Role::SharedSocketIo { .. } => &sharing,
                    Role::Echo => "[realtime.plain]\nbroadcast = \"off\"",
                    Role::SocketIo => "[[realtime.socketio]]\nnamespaces = [\"/\", \"/room-*\"]",
                    Role::Pusher => &pusher,
                    Role::Ably => &ably,
                    Role::Documents { .. } => &documents,
                    _ => "[realtime.plain]\necho = false",
                };
                let text =
                    format!("[listen]\n{connections}{listen}\n{app}\n{channels}{hub}\n[admin]\nlisten = \"off\"\n");
                vec![program, "--config".into(), file(&format!("doorway-{port}.toml"), text)?]
            }
            Contender::Nginx => {
                let (folder, processors) = (site.folder.display(), site.processors);
                let listen = match role {
                    Role::Proxy { tls: true, .. } => format!(
                        "listen {listen_at} ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_session_cache shared:s:10m; ssl_protocols TLSv1.3;"
                    ),
                    _ => format!("listen {listen_at} reuseport;"),
                };
                let upstream = match role {
                    Role::Proxy { upstream, .. } | Role::Files { upstream, .. } | Role::Cache { upstream, .. } => {
                        *upstream
                    }
                    Role::Page { .. } | Role::KeptPage { .. } => upstream.context("no app")?,
                    _ => anyhow::bail!("not for this case"),
                };
                let files = match role {
                    Role::Files { folder, .. } => {
                        let root = folder.join(".next/static");
                        format!(
                            "location /_next/static/ {{ alias {}/; gzip_static on; add_header Cache-Control \"public, max-age=31536000, immutable\"; }}",
                            root.display()
                        )
                    }
                    _ => String::new(),
                };
                // Variants by what `Vary` names, as each of the others has them; gzip at each hit is the only way it has.
                let (zone, kept) = match role {
                    Role::Cache { keeps: true, .. } | Role::KeptPage { .. } => (
                        format!(
                            "proxy_cache_path {folder}/nginx.cache levels=1:2 keys_zone=pages:10m max_size=64m; gzip_proxied any; gzip on;"
                        ),
                        "proxy_cache pages; proxy_cache_valid 200 10m; proxy_cache_lock on;",
                    ),
                    _ => (String::new(), ""),
                };
                let buffering = if site.far || !kept.is_empty() {
                    kept
                } else {
                    "proxy_buffering off; proxy_request_buffering off;"
                };
                // Workers of another user cannot be told to write their counts.
                let user = if site.counts.is_some() { "user root; " } else { "" };
                // Access log on, as Doorway's is; everything else as the distribution's own file has it.
                let text = format!(
                    "{user}worker_processes {processors}; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;\n\
                     events {{ worker_connections 65536; }}\n\
                     http {{ access_log {folder}/nginx.access; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;\n\
                     client_body_temp_path {folder}/nginx.body; proxy_temp_path {folder}/nginx.proxy; fastcgi_temp_path {folder}/nginx.f; uwsgi_temp_path {folder}/nginx.u; scgi_temp_path {folder}/nginx.s;\n\
                     types {{ application/javascript js; }} {zone}\n\
                     upstream app {{ server {upstream}; keepalive 128; keepalive_requests 1000000; }}\n\
                     server {{ {listen}\n {files} location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
                     proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme; {buffering} }} }} }}\n"
                );
                vec![program, "-c".into(), file("nginx.conf", text)?]
            }
            Contender::Haproxy => {
                let (Role::Proxy { upstream, tls }, folder) = (role, site.folder) else {
                    anyhow::bail!("not for this case")
                };
                let both = folder.join("haproxy.pem");
                fs::write(
                    &both,
                    format!("{}{}", fs::read_to_string(site.certificate)?, fs::read_to_string(site.key)?),
                )?;
                let tls = if *tls { format!("ssl crt {} alpn h2,http/1.1", both.display()) } else { String::new() };
                let text = format!(
                    "global\n nbthread 1\n maxconn 8000\n log stderr format raw local0\n\
                     defaults\n mode http\n option httplog\n log global\n timeout client 30s\n timeout server 30s\n timeout connect 5s\n option forwardfor\n http-reuse always\n\
                     frontend f\n bind {address} {tls}\n default_backend b\n\
                     backend b\n server s {upstream}\n"
                );
                vec![program, "-f".into(), file("haproxy.cfg", text)?]
            }
            Contender::Caddy => {
                let Role::Proxy { upstream, tls } = role else { anyhow::bail!("not for this case") };
                let (site_address, tls) = if *tls {
                    (format!("https://localhost:{port}, https://127.0.0.1:{port}"), format!("tls {certificate} {key}"))
                } else {
                    (format!("http://127.0.0.1:{port}, http://localhost:{port}"), String::new())
                };
                environment.push(("XDG_DATA_HOME", site.folder.display().to_string()));
                environment.push(("XDG_CONFIG_HOME", site.folder.display().to_string()));
                environment.push(("GOMAXPROCS", "1".to_owned()));
                let text = format!(
                    "{{\n admin off\n auto_https disable_redirects\n}}\n{site_address} {{\n log\n {tls}\n reverse_proxy {upstream}\n}}\n"
                );
                vec![
                    program,
                    "run".into(),
                    "--adapter".into(),
                    "caddyfile".into(),
                    "--config".into(),
                    file("Caddyfile", text)?,
                ]
            }
            Contender::Envoy => {
                let Role::Proxy { upstream, tls } = role else { anyhow::bail!("not for this case") };
                let text = envoy(address, *upstream, tls.then_some((site.certificate, site.key)), site.folder);
                vec![
                    program,
                    "--concurrency".into(),
                    "1".into(),
                    "--log-level".into(),
                    "error".into(),
                    "--disable-hot-restart".into(),
                    "-c".into(),
                    file("envoy.json", text)?,
                ]
            }
            Contender::Bare => vec![program, "--bare".into(), address.to_string()],
            Contender::SocketIo => {
                environment.push(("PORT", port.to_string()));
                if let Role::SharedSocketIo { redis } = role {
                    environment.push(("REDIS", redis.display().to_string()));
                }
                vec![program, site.peers.join("socketio.js").to_string_lossy().into_owned()]
            }
            Contender::Sockudo => {
                let on = || "true".to_owned();
                environment.extend([
                    ("HOST", "127.0.0.1".to_owned()),
                    ("PORT", port.to_string()),
                    ("METRICS_PORT", free_address()?.port().to_string()),
                    // By default 100 clients, 20 sockets and 100 requests a minute from one address: load is refused.
                    ("RATE_LIMITER_ENABLED", "false".to_owned()),
                    ("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", "100000".to_owned()),
                    ("SOCKUDO_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SECOND", "100000".to_owned()),
                    ("SOCKUDO_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SECOND", "100000".to_owned()),
                    ("SOCKUDO_DEFAULT_APP_ENABLED", on()),
                    ("SOCKUDO_ENABLE_CLIENT_MESSAGES", on()),
                    ("SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", on()),
                    ("SOCKUDO_DEFAULT_APP_ID", pusher::APP.to_owned()),
                    ("SOCKUDO_DEFAULT_APP_KEY", pusher::KEY.to_owned()),
                    ("SOCKUDO_DEFAULT_APP_SECRET", pusher::SECRET.to_owned()),
                ]);
                vec![program]
            }
            Contender::YWebsocket => {
                environment.push(("HOST", "127.0.0.1".to_owned()));
                environment.push(("PORT", port.to_string()));
                vec![program]
            }
            Contender::Express => {
                let Role::Page { project } = role else { anyhow::bail!("not for this case") };
                environment.push(("PORT", port.to_string()));
                environment.push(("PROJECT", project.display().to_string()));
                environment.push(("NODE_ENV", "production".to_owned()));
                vec![program, site.peers.join("express.js").to_string_lossy().into_owned()]
            }
            Contender::Next => {
                let Role::KeptPage { project } = role else { anyhow::bail!("not for this case") };
                let next = project.join("node_modules/next/dist/bin/next").to_string_lossy().into_owned();
                let (project, port) = (project.to_string_lossy().into_owned(), port.to_string());
                let options = ["start", &project, "-H", "127.0.0.1", "-p", &port].map(str::to_owned);
                [vec![program, next], options.to_vec()].concat()
            }
            Contender::Ws | Contender::Bun => {
                let mode = match role {
                    Role::Echo => "echo",
                    Role::Broadcast { .. } => "broadcast",
                    _ => anyhow::bail!("not for this case"),
                };
                environment.push(("PORT", port.to_string()));
                environment.push(("MODE", mode.to_owned()));
                if let Role::Broadcast { tls: true } = role {
                    environment.push(("CERTIFICATE", certificate.to_string()));
                    environment.push(("KEY", key.to_string()));
                }
                let script = site.peers.join(if self == Contender::Ws { "ws.js" } else { "bun.js" });
                vec![program, script.to_string_lossy().into_owned()]
            }
        };
        let command = site.counts.map_or_else(|| command.clone(), |file| instructions::counted(file, &command));
        let process = Process::start_on(site.processors, &command, &environment, &log, address)?;
        Ok(Running { process, address, app: app.map(|(process, _)| process) })
    }
}

fn envoy(address: SocketAddr, upstream: SocketAddr, tls: Option<(&Path, &Path)>, folder: &Path) -> String {
    let socket = |address: SocketAddr| serde_json::json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let mut chain = serde_json::json!({"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "f", "codec_type": "AUTO",
        "access_log": [{"name": "file", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": folder.join("envoy.access")}}],
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}]}
    }}]});
    if let Some((certificate, key)) = tls {
        chain["transport_socket"] = serde_json::json!({"name": "tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}]}
        }});
    }
    serde_json::json!({"static_resources": {
        "listeners": [{"name": "l", "address": socket(address), "filter_chains": [chain]}],
        "clusters": [{"name": "app", "type": "STATIC", "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket(upstream)}}]}]}}]
    }})
    .to_string()
}

/// `next start` in `project`.
fn next(project: &Path, log: &Path) -> Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let next = project.join("node_modules/next/dist/bin/next");
    let port = address.port().to_string();
    let command =
        ["node", &next.to_string_lossy(), "start", &project.to_string_lossy(), "-H", "127.0.0.1", "-p", &port]
            .map(str::to_owned);
    Ok((Process::start(&command, &[("NEXT_TELEMETRY_DISABLED", "1".to_owned())], log, address)?, address))
}

pub fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
