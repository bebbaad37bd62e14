//! What the log says once the door is open: where, and in front of what.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use tracing::{info, warn};

use crate::config::Config;
use crate::listen::Listener;
use crate::upstream::silence;

/// An app that has said nothing for so long has said all about its start.
const PAUSE: Duration = Duration::from_millis(500);
/// And one that goes on and on is not waited for any longer.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Says "ready"; gives the same in one sentence for the service manager.
pub fn say(config: &Config, urls: &str) -> String {
    let app = app(config);
    info!(open = urls, app, realtime = config.realtime.entrance.path, "ready");
    format!("serving {app} on {urls}")
}

/// What to type into a browser on this machine, for each of `listeners`; where certificates are ordered for `domains`, they
/// are for the first of these.
pub fn urls(listeners: &[Listener], domains: &[String]) -> String {
    let name = domains.iter().find(|name| !name.starts_with("*."));
    let mut urls: Vec<_> = listeners.iter().filter_map(|listener| url(listener, name)).collect();
    // Both families have one name.
    urls.dedup();
    urls.join(" ")
}

/// On a terminal, where to look stands below what the app itself says as it starts: a line of its own, once that has come.
pub async fn say_last(urls: String) {
    let Some(url) = best(&urls) else { return };
    silence(PAUSE, MAX_WAIT).await;
    info!("open at {url}");
}

/// Opens the door in a browser.
pub fn open(urls: &str) {
    let Some(url) = best(urls) else { return };
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let browser = std::env::var_os("BROWSER").filter(|browser| !browser.is_empty()).unwrap_or_else(|| usual.into());
    let quiet = Stdio::null;
    if let Err(error) = Command::new(&browser).arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn() {
        warn!(%error, browser = %browser.display(), url, "cannot open a browser");
    }
}

/// The one of `urls` to look at: the last, which is by https where there is one.
fn best(urls: &str) -> Option<&str> {
    urls.split(' ').next_back().filter(|url| !url.is_empty())
}

fn app(config: &Config) -> String {
    match (&config.app.dir, &config.app.url) {
        _ if config.app.off => "no app".to_owned(),
        (Some(dir), _) => dir.display().to_string(),
        (None, Some(url)) => url.to_string().trim_end_matches('/').to_owned(),
        (None, None) => "no app".to_owned(),
    }
}

fn url(listener: &Listener, name: Option<&String>) -> Option<String> {
    let address = listener.socket.local_addr().ok()?;
    let scheme = if listener.is_secure { "https" } else { "http" };
    let everywhere = match name.filter(|_| listener.is_secure && address.ip().is_unspecified()) {
        Some(name) if address.port() == 443 => return Some(format!("https://{name}")),
        Some(name) => name,
        None => "localhost",
    };
    Some(match address.ip() {
        ip if ip.is_unspecified() => format!("{scheme}://{everywhere}:{}", address.port()),
        ip => format!("{scheme}://{}", SocketAddr::new(ip, address.port())),
    })
}
