//! What the log says once the door is open: where, and in front of what.

use std::net::{IpAddr, SocketAddr};

use tracing::info;

use crate::config::Config;
use crate::listen::Listener;

/// Says "ready"; gives the same in one sentence for the service manager.
pub fn say(config: &Config, urls: &str) -> String {
    let app = app(config);
    info!(open = urls, app, realtime = config.realtime.entrance.path, "ready");
    format!("serving {app} on {urls}")
}

/// What to type into a browser on this machine, for each of `listeners`.
pub fn urls(listeners: &[Listener]) -> String {
    listeners.iter().filter_map(url).collect::<Vec<_>>().join(" ")
}

fn app(config: &Config) -> String {
    match (&config.app.dir, &config.app.url) {
        _ if config.app.off => "no app".to_owned(),
        (Some(dir), _) => dir.display().to_string(),
        (None, Some(url)) => url.to_string().trim_end_matches('/').to_owned(),
        (None, None) => "no app".to_owned(),
    }
}

fn url(listener: &Listener) -> Option<String> {
    let address = listener.socket.local_addr().ok()?;
    let scheme = if listener.is_secure { "https" } else { "http" };
    Some(match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("{scheme}://localhost:{}", address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("{scheme}://localhost:{}", address.port()),
        ip => format!("{scheme}://{}", SocketAddr::new(ip, address.port())),
    })
}
