//! Keeps the map of a cluster: asks its servers, and believes who knows most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::Pipeline;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::address::{Deployment, RedisHost};
use super::answers;
use super::connection::Connection;
use super::health::HealthPart;
use super::shard::ShardParts;
use super::shards::Shards;
use super::slots::SlotMap;
use super::trouble::{RedisState, RedisTrouble};

/// How often it is asked for, and how soon again at the earliest.
const POLL: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(20);

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many answers in a row may be older than what is known.
const OUTDATED: u32 = 30;

/// Servers that are asked at once.
const AT_ONCE: usize = 3;

/// Keeps the map, from when it is known first.
pub(super) async fn keep(shards: Arc<Shards>) {
    // Of what stands in for all until then.
    let health = Arc::clone(&shards.of("").health);
    let (moves, mut outdated) = (Arc::clone(&shards.parts.moves), 0);
    loop {
        let is_news = AtomicBool::new(false);
        let following = async {
            loop {
                moves.news().await;
                follow(&shards);
                is_news.store(true, Ordering::Relaxed);
            }
        };
        let found = tokio::select! {
            found = find(&shards) => found,
            () = following => return,
        };
        match found {
            Ok(map) => {
                take(&shards, map, &mut outdated);
                health.see(HealthPart::Commands, RedisState::Up);
                health.see(HealthPart::Hearing, RedisState::Up);
            }
            Err(trouble) => health.see(HealthPart::Commands, RedisState::Down(trouble)),
        }
        if !is_news.into_inner() {
            let _ = timeout(POLL, moves.news()).await;
            follow(&shards);
        }
        sleep(SOONEST).await;
    }
}

/// Takes over what servers said of single slots.
fn follow(shards: &Shards) {
    let moves = shards.parts.moves.take();
    if let Some(map) = shards.all().1.filter(|_| !moves.is_empty()) {
        shards.take(map.with(&moves));
    }
}

fn take(shards: &Shards, map: SlotMap, outdated: &mut u32) {
    let known = shards.all().1;
    // Who knows less than is known here already will hear of it, unless all has begun anew there.
    if known.as_ref().is_some_and(|known| map.epoch < known.epoch) && *outdated < OUTDATED {
        *outdated += 1;
        return;
    }
    *outdated = 0;
    let before: Vec<RedisHost> = known.map(|known| known.primaries).unwrap_or_default();
    let (new, gone) = (but(&map.primaries, &before), but(&before, &map.primaries));
    match (before.is_empty(), gone.is_empty()) {
        (true, _) => info!(primaries = new, "the cluster is known"),
        (false, false) => warn!(gone, new, "primaries of the cluster have changed"),
        (false, true) if !new.is_empty() => info!(new, "the cluster has more primaries"),
        _ => {}
    }
    shards.take(map);
}

/// Those that are not among the others, in words.
fn but(all: &[RedisHost], others: &[RedisHost]) -> String {
    let all = all.iter().filter(|host| !others.contains(host)).map(RedisHost::to_string);
    all.collect::<Vec<_>>().join(" ")
}

/// Asks some of those to which there is a connection, else whoever was ever heard of.
async fn find(shards: &Shards) -> Result<SlotMap, RedisTrouble> {
    let parts = &shards.parts;
    let (all, known) = shards.all();
    let mut connected: Vec<(RedisHost, Connection)> =
        all.iter().filter_map(|shard| Some((shard.host.clone()?, shard.speaking.connection()?))).collect();
    fastrand::shuffle(&mut connected);
    connected.truncate(AT_ONCE);
    let asked = connected.iter().map(|(host, connection)| ask(host, connection));
    let found = join_all(asked).await.into_iter().filter_map(Result::ok).max_by_key(|map| map.epoch);
    if let Some(found) = found {
        return Ok(found);
    }
    let (primaries, replicas) = known.map(|known| (known.primaries, known.replicas)).unwrap_or_default();
    let named = match &parts.config.url.deployment {
        Deployment::Cluster(hosts) => hosts.clone(),
        _ => Vec::new(),
    };
    let mut why = RedisTrouble::NotYet;
    for host in named.into_iter().chain(replicas).chain(primaries) {
        match connect_and_ask(parts, &host).await {
            Ok(map) => return Ok(map),
            Err(trouble) => why = trouble.of_one(&host.to_string().into()),
        }
    }
    Err(why)
}

async fn connect_and_ask(parts: &ShardParts, host: &RedisHost) -> Result<SlotMap, RedisTrouble> {
    let asked = async {
        let connection = Connection::speak(&parts.config, &parts.dialer, host, None).await?;
        ask(host, &connection).await
    };
    timeout(PATIENCE, asked).await.unwrap_or(Err(RedisTrouble::Silent(PATIENCE.as_secs())))
}

async fn ask(host: &RedisHost, connection: &Connection) -> Result<SlotMap, RedisTrouble> {
    let mut questions = Pipeline::new();
    questions.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let answers = timeout(PATIENCE, connection.send(&questions)).await;
    let mut answers = answers.unwrap_or(Err(RedisTrouble::Silent(PATIENCE.as_secs())))?.into_iter();
    let mut next = || {
        answers.next().transpose().map_err(|refusal| match refusal.trouble() {
            RedisTrouble::Says(said) if said.contains("cluster support disabled") => RedisTrouble::NoCluster,
            trouble => trouble,
        })
    };
    let (info, slots) = (next()?, next()?);
    let info = info.as_ref().and_then(answers::text).unwrap_or_default();
    let field = |name: &str| info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
    if field("cluster_state") != Some("ok") {
        return Err(RedisTrouble::ClusterDown("as it says itself".into()));
    }
    let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
    SlotMap::read(epoch, slots.unwrap_or(::redis::Value::Nil), host)
}
