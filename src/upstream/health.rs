//! Looks after one pool: drops what grew old, asks the app for a sign of life when there is no traffic, and finds it
//! again when it was lost.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use super::availability::Availability;
use super::exchange::{ExchangeHead, ask};
use super::pool::{NoConnection, Pool};
use super::response_body;
use super::upload::{Encoding, Upload};
use crate::drain::Signal;
use crate::http::Body;
use crate::shares::Holder;

/// How often idle connections are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Between two tries to reach an app that is away, at first and at most.
const FIRST_TRY: Duration = Duration::from_millis(50);
const LAST_TRY: Duration = Duration::from_secs(1);

/// Runs until the pool is retired or the door ends. Holds no guard: it serves nobody, and must not delay the drain.
pub async fn keep(pool: Arc<Pool>, availability: Arc<Availability>, mut drain: Signal) {
    tokio::select! {
        () = look_after(&pool, &availability) => {}
        () = drain.ended() => {}
    }
}

async fn look_after(pool: &Arc<Pool>, availability: &Availability) {
    let mut next_look = Instant::now();
    let mut was_found = false;
    while !pool.is_retired() {
        if availability.previous.is(pool) {
            // Its process is watched; a new one would not help it.
            sleep(SWEEP_INTERVAL).await;
            pool.sweep();
            continue;
        }
        if !availability.leads_to(pool) {
            find(pool, availability, was_found).await;
            was_found = true;
            next_look = Instant::now();
            continue;
        }
        if Instant::now() >= next_look {
            next_look = Instant::now() + pool.config.health_interval;
            if !availability.take_heard() {
                look(pool, availability).await;
            }
        }
        tokio::select! {
            () = sleep(SWEEP_INTERVAL) => pool.sweep(),
            () = pool.lost.notified() => {}
        }
    }
    pool.retire();
}

/// Asks for a sign of life.
async fn look(pool: &Arc<Pool>, availability: &Availability) {
    match probe(pool).await {
        Ok(()) => availability.mark_up(),
        Err(NoSign::Unasked(why)) => warn!(why, "the app could not be asked how it is"),
        // Another has taken its place meanwhile: its silence is no news.
        Err(NoSign::Silent(why)) if availability.leads_to(pool) => availability.falls_silent(&why),
        Err(NoSign::Silent(_)) => {}
    }
    availability.take_heard();
}

/// Dials until the app takes a connection, or the pool is retired. Where there never was one, it says what to do: whoever
/// has just started the door looks at the log.
async fn find(pool: &Arc<Pool>, availability: &Availability, mut is_said: bool) {
    let mut pause = FIRST_TRY;
    while !pool.is_retired() {
        match pool.connect_anew(Holder::House).await {
            Ok(connection) => {
                pool.give_back(connection);
                availability.open(pool);
                return;
            }
            Err(error) => {
                if !std::mem::replace(&mut is_said, true) && !pool.config.is_supervised() {
                    let cause = error.cause();
                    warn!(
                        "nothing answers at {} ({cause}): start the app, or name its folder: doorway DIR",
                        pool.address
                    );
                }
                debug!(%error, "still away");
                availability.not_found(error.to_string());
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_TRY);
    }
}

/// Why there is no sign of life.
#[derive(Debug, thiserror::Error)]
pub enum NoSign {
    /// The app is not to blame.
    #[error("{0}")]
    Unasked(String),
    #[error("{0}")]
    Silent(String),
}

impl From<NoConnection> for NoSign {
    fn from(error: NoConnection) -> NoSign {
        match error {
            NoConnection::Shortage { .. } => NoSign::Unasked(error.to_string()),
            error => NoSign::Silent(error.to_string()),
        }
    }
}

/// Asks `health_path`, or what costs the app nothing; any status below 500 is an answer. Where nobody knows what runs
/// there, it is one that the app takes a connection.
///
/// # Errors
/// What went wrong, for the log.
pub async fn probe(pool: &Arc<Pool>) -> Result<(), NoSign> {
    let config = &pool.config;
    let path = match config.health_path.clone() {
        Some(path) => Some(path),
        None => {
            let pool = Arc::clone(pool);
            tokio::task::spawn_blocking(move || pool.sign.path()).await.unwrap_or_default()
        }
    };
    let Some(path) = path else {
        let connected = timeout(config.connect_timeout + config.health_timeout, pool.connect_anew(Holder::House)).await;
        let connection = connected.map_err(|_| NoSign::Silent("no connection in time".to_owned()))??;
        // Kept, one more would be idle each time.
        drop(connection);
        return Ok(());
    };
    ask_for(pool, &Method::HEAD, &path, config.health_timeout).await
}

/// Asks for a page as a client would, to know whether it can be made: any status below 500 will do. It may take as long
/// as any answer.
///
/// # Errors
/// What went wrong, as a clause.
pub async fn answers(pool: &Arc<Pool>, path: &str) -> Result<(), NoSign> {
    ask_for(pool, &Method::GET, path, pool.config.answer_timeout).await.map_err(|why| match why {
        NoSign::Silent(why) if why.starts_with(path) => NoSign::Silent(why),
        why => NoSign::Silent(format!("{path}: {why}")),
    })
}

async fn ask_for(pool: &Arc<Pool>, method: &Method, path: &str, longest: Duration) -> Result<(), NoSign> {
    let config = &pool.config;
    let asked = async {
        let mut connection = pool.connect_anew(Holder::House).await?;
        let authority = pool.address.authority();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: doorway\r\naccept: */*\r\n\r\n");
        let mut upload = Upload::new(head.into_bytes(), Body::Empty, Encoding::None);
        let question =
            ExchangeHead { method, wants_upgrade: false, asked: Instant::now(), timeout: longest, client: None };
        let silent = |error: &dyn std::fmt::Display| NoSign::Silent(error.to_string());
        let head = ask(&mut connection, &mut upload, &question).await.map_err(|error| silent(&error))?;
        let status = head.status;
        response_body::body(connection, &head, upload, pool).map_err(|error| silent(&error))?;
        Ok::<StatusCode, NoSign>(status)
    };
    let status = timeout(config.connect_timeout + longest, asked).await;
    let status = status.map_err(|_| NoSign::Silent("no answer in time".to_owned()))??;
    if status.is_server_error() {
        return Err(NoSign::Silent(format!("{path} answers {status}")));
    }
    Ok(())
}
