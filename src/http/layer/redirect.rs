//! From http to https, where there is https; and the header that makes browsers remember it (HSTS, RFC 6797).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{LOCATION, STRICT_TRANSPORT_SECURITY};
use http::uri::Scheme;
use http::{HeaderValue, StatusCode};

use super::{After, Answer, Middleware};
use crate::http::{Body, Facts, Failure, Request, Response, path};
use crate::settings::{Live, Section};

/// Where certificate authorities look (RFC 8555 section 8.3): they ask over http.
const ACME: &str = "/.well-known/acme-challenge/";

/// The section `[https]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Send clients from http to https, where Doorway listens for https. Default true.
    pub redirect: bool,
    /// The port of https as clients know it, where it is not the one listened on. No default.
    pub public_port: Option<u16>,
    /// How long browsers remember to ask over https only; zero for not at all. Default 0 s.
    pub hsts: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Config { redirect: true, public_port: None, hsts: Duration::ZERO }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        Config {
            redirect: section.value("redirect", default.redirect),
            public_port: section.optional("public_port"),
            hsts: section.value("hsts", default.hsts),
        }
    }
}

/// The layer.
#[derive(Clone)]
pub struct Redirect {
    config: Live<Config>,
    /// Where https is listened for, if it is.
    port: Option<u16>,
}

impl Redirect {
    pub fn new(config: Live<Config>, port: Option<u16>) -> Redirect {
        Redirect { config, port }
    }

    /// Where a request over http belongs.
    fn target(&self, config: &Config, request: &Request, facts: &Facts) -> Option<HeaderValue> {
        let port = config.public_port.or(self.port).filter(|_| config.redirect)?;
        let target = path::resolved_target(request.uri(), request.extensions());
        if facts.scheme != Scheme::HTTP || request.uri().path().starts_with(ACME) {
            return None;
        }
        let host = facts.authority.host();
        let target =
            if port == 443 { format!("https://{host}{target}") } else { format!("https://{host}:{port}{target}") };
        HeaderValue::from_str(&target).ok()
    }
}

impl Middleware for Redirect {
    type After = Remembered;

    fn before(&self, request: &mut Request) -> ControlFlow<Answer<Remembered>, Remembered> {
        let config = self.config.get();
        let facts = request.extensions().get::<Facts>();
        if let Some(target) = facts.and_then(|facts| self.target(&config, request, facts)) {
            let mut response = Response::new(Body::Empty);
            // 308 keeps the method and the body, as 301 does not.
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, target);
            return ControlFlow::Break(Ok(response));
        }
        let is_remembered = facts.is_some_and(|facts| facts.scheme == Scheme::HTTPS) && !config.hsts.is_zero();
        ControlFlow::Continue(Remembered(is_remembered.then_some(config)))
    }
}

/// By which settings browsers remember that there is https.
#[derive(Debug)]
pub struct Remembered(Option<Arc<Config>>);

impl After for Remembered {
    type InnerError = Failure;
    type Error = Failure;

    fn after(self, answer: Result<Response, Failure>) -> Result<Response, Failure> {
        let mut response = answer?;
        let value = self.0.and_then(|config| HeaderValue::from_str(&format!("max-age={}", config.hsts.as_secs())).ok());
        if let Some(value) = value {
            // The app's own word, if it says one, is not overruled.
            response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
        }
        Ok(response)
    }
}
