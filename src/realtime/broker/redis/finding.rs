//! Which server takes writes: the one that the URL names, or the one that Sentinel knows.

use std::time::Duration;

use ::redis::Pipeline;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::address::{Deployment, RedisHost, RedisLogin};
use super::connection::Connection;
use super::stream::Dialer;
use super::trouble::RedisTrouble;
use super::{Config, answers};

/// How long one Sentinel may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often Sentinel is asked whether the primary is another.
const POLL: Duration = Duration::from_secs(1);

/// Where the primary is.
///
/// # Errors
/// Nobody knows one.
pub(super) async fn find(config: &Config, dialer: &Dialer) -> Result<RedisHost, RedisTrouble> {
    let (sentinels, name) = match &config.url.deployment {
        Deployment::Single(host) => return Ok(host.clone()),
        Deployment::Sentinel { sentinels, name } => (sentinels, name),
        // Each of its servers has a place of its own.
        Deployment::Cluster(_) => return Err(RedisTrouble::NotYet),
    };
    let mut why = Vec::new();
    for sentinel in sentinels {
        match timeout(PATIENCE, ask(config, dialer, sentinel, name)).await {
            Ok(Ok(host)) => return Ok(host),
            Ok(Err(trouble)) => why.push(format!("{sentinel}: {trouble}")),
            Err(_) => why.push(format!("{sentinel}: it does not answer")),
        }
    }
    Err(RedisTrouble::NoPrimary(why.join("; ").into()))
}

async fn ask(config: &Config, dialer: &Dialer, sentinel: &RedisHost, name: &str) -> Result<RedisHost, RedisTrouble> {
    let mut asked = config.clone();
    // User and password are those of Redis. A Sentinel has no databases.
    asked.url.login = RedisLogin::default();
    asked.url.database = 0;
    let connection = Connection::speak(&asked, dialer, sentinel, None).await?;
    let mut question = Pipeline::new();
    question.cmd("SENTINEL").arg("get-master-addr-by-name").arg(name);
    let mut all = connection.send(&question).await?;
    let answer = all.pop().transpose().map_err(|refusal| refusal.trouble())?;
    let address = answer.and_then(answers::list).unwrap_or_default();
    match &address[..] {
        [host, port] => {
            let port = answers::number(port).and_then(|port| u16::try_from(port).ok());
            let host = answers::text(host).filter(|host| !host.is_empty());
            let (Some(host), Some(port)) = (host, port) else {
                return Err(RedisTrouble::Says("an address that is none".into()));
            };
            Ok(RedisHost::Tcp { host, port })
        }
        _ => Err(RedisTrouble::Says(format!("it watches nothing called {name}").into())),
    }
}

/// Watches whether the primary is still the one in `current`; resolves when Sentinel has named another twice. Never where
/// there is no Sentinel.
pub(super) async fn moved(config: &Config, dialer: &Dialer, current: &watch::Receiver<Option<RedisHost>>) {
    if !matches!(config.url.deployment, Deployment::Sentinel { .. }) {
        return std::future::pending().await;
    }
    let mut other = None;
    loop {
        sleep(POLL).await;
        let Ok(found) = find(config, dialer).await else { continue };
        let is_another = current.borrow().as_ref().is_some_and(|current| *current != found);
        if is_another && other.as_ref() == Some(&found) {
            return;
        }
        other = is_another.then_some(found);
    }
}
