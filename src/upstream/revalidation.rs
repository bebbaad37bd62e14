//! Requests by which the app has a page of its own made anew, at its public address (`res.revalidate()`): known by the
//! secret of its build, which nobody outside has. The header with any other value ends at the door.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;

use super::config::Config;
use crate::build::{Build, Home, revalidation_secret, revalidation_secret_written};
use crate::settings::Live;

const HEADER: HeaderName = HeaderName::from_static("x-prerender-revalidate");

/// In the extensions of a request that has the secret: its header is sent on.
#[derive(Debug, Clone, Copy)]
pub struct OwnRevalidation;

/// The secret of the build that is asked, once somebody claims to have it.
pub struct Revalidation {
    home: Live<Option<Home>>,
    config: Live<Config>,
    known: Arc<Mutex<Option<Known>>>,
}

/// The secret that was found last.
struct Known {
    of: Origin,
    secret: Option<String>,
}

/// Where a secret is from.
#[derive(Debug, Clone, PartialEq)]
enum Origin {
    /// The build that a process of ours runs, whatever is on disk meanwhile.
    Build(Box<Build>),
    /// Whichever build is there: its folder, and when it was written.
    Folder(PathBuf, Option<SystemTime>),
}

impl Revalidation {
    pub fn new(home: Live<Option<Home>>, config: Live<Config>) -> Revalidation {
        Revalidation { home, config, known: Arc::default() }
    }

    /// Whether `headers` have the secret. Without the header, which is nearly always, nothing is looked at.
    pub async fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(said) = headers.get(HEADER) else { return false };
        let Some(home) = self.home.get().as_ref().clone() else { return false };
        let (dist, known) = (home.directory.join(&self.config.get().dist), Arc::clone(&self.known));
        // Files are looked at.
        let secret = tokio::task::spawn_blocking(move || find(home, dist, &known)).await;
        let secret = secret.ok().flatten();
        secret.is_some_and(|secret| verify_slices_are_equal(secret.as_bytes(), said.as_bytes()).is_ok())
    }
}

fn find(home: Home, dist: PathBuf, known: &Mutex<Option<Known>>) -> Option<String> {
    let of = match home.build {
        Some(build) => Origin::Build(Box::new(build)),
        None => Origin::Folder(dist.clone(), revalidation_secret_written(&dist)),
    };
    let mut known = known.lock();
    if let Some(known) = known.as_ref().filter(|known| known.of == of) {
        return known.secret.clone();
    }
    let secret = match &of {
        // Another build may have taken its place on disk, with a secret that the process does not know.
        Origin::Build(build) if !build.is_there() => None,
        Origin::Build(build) => revalidation_secret(&build.dist),
        Origin::Folder(dist, _) => revalidation_secret(dist),
    };
    *known = Some(Known { of, secret: secret.clone() });
    secret
}
