//! In which channels' rosters this door has something: Redis is told before the first, so that whoever sweeps behind the
//! door finds all.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use tokio::sync::Mutex;

use super::commands::{Commands, Question};
use super::trouble::RedisError;
use crate::realtime::vocabulary::Channel;

/// Locks, so that one channel's first field does not wait for another's.
const SHARDS: usize = 64;

/// What this door has where.
pub(super) struct OwnFields {
    shards: Vec<Mutex<HashMap<Channel, Account>>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Account {
    /// Its fields there, as hashes. One of which nobody knows whether it was put is among them.
    fields: HashSet<u64>,
    under_way: usize,
    /// Had nothing when somebody last looked.
    was_empty: bool,
}

impl OwnFields {
    pub(super) fn new() -> OwnFields {
        OwnFields { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    fn shard(&self, channel: &Channel) -> &Mutex<HashMap<Channel, Account>> {
        let hash = usize::try_from(self.hasher.hash_one(channel) >> 1).unwrap_or_default();
        &self.shards[hash % SHARDS]
    }

    /// A field is about to be put; `set` is where Redis is told.
    ///
    /// # Errors
    /// Redis could not be told.
    pub(super) async fn begin(&self, commands: &Commands, set: &str, channel: &Channel) -> Result<(), RedisError> {
        let mut accounts = self.shard(channel).lock().await;
        if !accounts.contains_key(channel) {
            commands.ask(Question::command("SADD", &[set, channel.as_str()])).await?;
        }
        accounts.entry(channel.clone()).or_default().under_way += 1;
        Ok(())
    }

    /// It was put, or nobody knows.
    pub(super) async fn end(&self, channel: &Channel, field: &str) {
        let mut accounts = self.shard(channel).lock().await;
        if let Some(account) = accounts.get_mut(channel) {
            account.under_way = account.under_way.saturating_sub(1);
            account.fields.insert(self.hasher.hash_one(field));
        }
    }

    /// It is there no more.
    pub(super) async fn removed(&self, channel: &Channel, field: &str) {
        if let Some(account) = self.shard(channel).lock().await.get_mut(channel) {
            account.fields.remove(&self.hasher.hash_one(field));
        }
    }

    /// Forgets the channels that have had nothing for a while.
    pub(super) async fn tidy(&self, commands: &Commands, set: &str) {
        for shard in &self.shards {
            let mut accounts = shard.lock().await;
            let mut empty = Vec::new();
            for (channel, account) in &mut *accounts {
                let is_empty = account.fields.is_empty() && account.under_way == 0;
                if std::mem::replace(&mut account.was_empty, is_empty) && is_empty {
                    empty.push(channel.clone());
                }
            }
            for channel in empty {
                // What cannot be said now is said the next time.
                if commands.ask(Question::command("SREM", &[set, channel.as_str()])).await.is_err() {
                    return;
                }
                accounts.remove(&channel);
            }
        }
    }

    /// Redis knows of none of it any more.
    pub(super) async fn forget(&self) {
        for shard in &self.shards {
            shard.lock().await.clear();
        }
    }
}
