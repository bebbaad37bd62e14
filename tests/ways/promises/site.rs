//! A door with an app behind it at the far end of a way, and clients at the near one.
#![allow(dead_code, reason = "each promise uses the part that it needs")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use ways::visitor::{Visitor, Wrong};
use ways::{Conditions, Way};

use crate::harness::app::{App, Request, Response, response};
use crate::harness::certificate::Authority;
use crate::harness::{Door, door};

pub struct Site {
    pub way: Way,
    pub door: Door,
    pub app: App,
    /// Where it speaks without TLS.
    pub http: SocketAddr,
    visitor: Visitor,
}

impl Site {
    /// `config` is of more sections.
    pub fn open(conditions: Conditions, config: &str) -> Site {
        Site::listening(conditions, "", config)
    }

    /// With more in `[listen]`.
    pub fn listening(conditions: Conditions, listen: &str, config: &str) -> Site {
        let way = Way::new(conditions).expect("main has tried it");
        let app = way.server.run(App::start(serve));
        let authority = Authority::new();
        let builder = door();
        let files = authority.issue(&["site.test"]).write(builder.folder(), "site");
        let listen = format!("[listen]\nhttp = \"0.0.0.0:0\"\nhttps = \"0.0.0.0:0\"\n{listen}");
        let config = format!("{listen}[tls]\n{}{}{config}", files.keys(), app.config());
        let door = way.server.inside(|| builder.config(config).start());
        let at = |address: SocketAddr| SocketAddr::from((way.server.address(), address.port()));
        let (http, https) = (at(door.http()), at(door.https()));
        Site { visitor: Visitor::new(https, "site.test", authority.roots()), way, door, app, http }
    }

    /// Does something at the client's end.
    pub fn visit<F, T>(&self, act: impl FnOnce(Visitor) -> F) -> T
    where
        F: Future<Output = Result<T, Wrong>> + Send + 'static,
        T: Send + 'static,
    {
        self.way.client.run(act(self.visitor.clone())).unwrap_or_else(|wrong| panic!("{wrong}\n{}", self.door.output()))
    }

    /// Waits until a number of `/metrics` has come to `value`; its whole name without `doorway_`.
    pub fn wait_for_metric(&self, name: &'static str, value: f64) {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        self.way.server.inside(|| runtime().block_on(self.door.wait_for_metric(name, value)));
    }
}

/// The app: `/bytes/N` is so many bytes long, and of a body that comes it says the length.
async fn serve(request: Request) -> Response {
    if let Some(length) = request.uri().path().strip_prefix("/bytes/") {
        return response(200, vec![b'x'; length.parse().expect("a length")]);
    }
    let (mut body, mut length) = (request.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    response(200, length.to_string())
}

/// One takes at most `limit` times as long as the other; `measure` gives the two. Compared is the shortest time of each: a
/// machine that others use makes them longer, so there are up to five tries, and what is really so slow is so in each.
pub fn at_most(limit: f64, mut measure: impl FnMut() -> (Duration, Duration)) {
    let (mut one, mut other) = (Duration::MAX, Duration::MAX);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let (this, that) = measure();
        (one, other) = (one.min(this), other.min(that));
        let ratio = one.as_secs_f64() / other.as_secs_f64();
        seen.push(format!("{ratio:.2} ({this:.2?} to {that:.2?})"));
        if ratio <= limit {
            println!("at most {limit}: {}", seen.join(", "));
            return;
        }
    }
    panic!("more than {limit} times: {}", seen.join(", "));
}
