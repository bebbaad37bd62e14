//! The documents of channels in Redis: rows of a room, who has it, and the names of all rooms.
//!
//! Whoever has a room is in `owner`, by a claim with a number that only grows: a script that writes compares it, so a door
//! that was taken for dead writes nothing more. No claim ends by itself while its door lives: the door's own lease says
//! whether it does, and whoever finds it gone takes the claim away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::{Value, cmd};
use tracing::warn;

use super::answers;
use super::commands::{Arg, Question};
use super::core::Core;
use super::link::{RedisLink, nonsense};
use super::scripts::Script;
use super::trouble::{RedisError, RedisTrouble};
use crate::documents::{Owning, RoomOwner, RoomSize, Row, SharedStore, StoreError, StoredRow, Waiting};
use crate::realtime::broker::NodeId;

/// What is known of a room that nobody has anything of goes after this, in milliseconds: claims, and their number.
const A_DAY_MS: u64 = 86_400_000;

/// How long a key is there that says whether Redis can be written, in milliseconds.
const PROBE_MS: &str = "1000";

impl Core {
    /// The keys of a room: who has it, the counter of those who had it, its rows.
    fn room(&self, room: &str) -> [String; 3] {
        let names = self.names.named(room);
        [names.owner(), names.tenures(), names.rows()]
    }

    async fn own(&self, room: &str) -> Result<Owning, RedisError> {
        static SAID: AtomicBool = AtomicBool::new(false);
        let args = vec![Arg::Text(self.node.to_string()), Arg::Number(A_DAY_MS)];
        let question = Question::Script { script: Script::Own, keys: self.room(room).into(), args };
        let answer = self.commands.ask(question).await?;
        if self.commands.keeps() == Some(false) && !SAID.swap(true, Ordering::Relaxed) {
            warn!("documents are in a Redis that does not keep its data: set appendonly yes there");
        }
        let [is_ours, claim] = answers::list(answer).and_then(|list| list.try_into().ok()).ok_or_else(nonsense)?;
        let claim = answers::text(&claim).ok_or_else(nonsense)?;
        if answers::number(&is_ours) == Some(1) {
            return Ok(Owning::Ours(claim.into()));
        }
        owner_of(&claim).map(Owning::Theirs).ok_or_else(nonsense)
    }

    async fn owner(&self, room: &str) -> Result<Option<RoomOwner>, RedisError> {
        let claim = self.commands.ask(Question::command("GET", &[&self.names.named(room).owner()])).await?;
        let owner = answers::text(&claim).map(|claim| owner_of(&claim).ok_or_else(nonsense)).transpose()?;
        Ok(owner.filter(|owner| owner.door != self.node.0))
    }

    async fn let_go(&self, room: &str, claim: &str) -> Result<(), RedisError> {
        let args = vec![Arg::Text(claim.to_owned()), Arg::Text(String::new()), Arg::Number(A_DAY_MS)];
        let keys = vec![self.names.named(room).owner()];
        self.commands.ask(Question::Script { script: Script::Settle, keys, args }).await.map(drop)
    }

    async fn write(&self, room: &str, claim: &str, rows: Vec<Row>, replaces: bool) -> Result<bool, RedisError> {
        let puts = rows.iter().filter(|(_, value)| value.is_some()).count();
        let mut args = vec![
            Arg::Text(claim.to_owned()),
            Arg::Number(A_DAY_MS),
            Arg::Number(u64::from(replaces)),
            Arg::Number(puts as u64),
        ];
        let mut gone = Vec::new();
        for (key, value) in rows {
            match value {
                Some(value) => args.extend([Arg::Bytes(key.into()), Arg::Bytes(value.into())]),
                None => gone.push(Arg::Bytes(key.into())),
            }
        }
        args.extend(gone);
        let question = Question::Script { script: Script::Write, keys: self.room(room).into(), args };
        let written = self.commands.ask(question).await?;
        self.copied(room).await?;
        let is_ours = answers::number(&written) == Some(1);
        if is_ours && replaces && puts == 0 {
            self.unlist(room).await?;
        }
        Ok(is_ours)
    }

    async fn amend(&self, room: &str, key: Vec<u8>, known: Option<Vec<u8>>, next: Vec<u8>) -> Result<bool, RedisError> {
        let [_, tenures, rows] = self.room(room);
        let is_new = known.is_none();
        if is_new {
            self.list(room).await?;
        }
        let args = vec![
            Arg::Bytes(key.into()),
            Arg::Number(u64::from(!is_new)),
            Arg::Bytes(known.unwrap_or_default().into()),
            Arg::Bytes(next.into()),
        ];
        let question = Question::Script { script: Script::Amend, keys: vec![rows, tenures], args };
        let is_done = answers::number(&self.commands.ask(question).await?) == Some(1);
        self.copied(room).await?;
        if is_done && is_new {
            // Who took the room away may have taken its name out meanwhile.
            self.list(room).await?;
        }
        Ok(is_done)
    }

    /// Waits until as many replicas of a room's server have what was written as are to have it.
    async fn copied(&self, room: &str) -> Result<(), RedisError> {
        let wanted = self.config.replicas;
        if wanted == 0 {
            return Ok(());
        }
        let names = self.names.named(room);
        let server = self.commands.server_of(&names.rows());
        let got = self.replicas.have(&self.commands, &names.written(), wanted, server).await?;
        let too_few = || RedisError::Refused(RedisTrouble::Says(format!("{got} of {wanted} replicas have it").into()));
        if got < wanted { Err(too_few()) } else { Ok(()) }
    }

    /// A room is among all rooms before it has anything: one too many is looked at in vain, and none is missed.
    async fn list(&self, room: &str) -> Result<(), RedisError> {
        self.commands.ask(Question::command("ZADD", &[&self.names.rooms(), "0", room])).await.map(drop)
    }

    /// A room has nothing any more, unless somebody has put something there since.
    async fn unlist(&self, room: &str) -> Result<(), RedisError> {
        self.commands.ask(Question::command("ZREM", &[&self.names.rooms(), room])).await?;
        if self.has(room).await? { self.list(room).await } else { Ok(()) }
    }

    async fn load(&self, room: &str) -> Result<Vec<StoredRow>, RedisError> {
        let rows = self.commands.ask(Question::command("HGETALL", &[&self.names.named(room).rows()])).await?;
        let mut values = answers::list(rows).ok_or_else(nonsense)?.into_iter();
        let mut rows = Vec::with_capacity(values.len() / 2);
        while let (Some(key), Some(value)) = (values.next(), values.next()) {
            rows.push((answers::bytes(key).ok_or_else(nonsense)?, answers::bytes(value).ok_or_else(nonsense)?));
        }
        rows.sort_unstable();
        Ok(rows)
    }

    async fn get_each(&self, rooms: &[String], key: &[u8]) -> Result<Vec<Option<Vec<u8>>>, RedisError> {
        let questions: Vec<Question> = rooms
            .iter()
            .map(|room| {
                let mut get = cmd("HGET");
                get.arg(self.names.named(room).rows()).arg(key);
                Question::Command(get)
            })
            .collect();
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.commands.ask_all(&questions).await?.into_iter().map(answers::bytes).collect())
    }

    async fn has(&self, room: &str) -> Result<bool, RedisError> {
        let there = self.commands.ask(Question::command("EXISTS", &[&self.names.named(room).rows()])).await?;
        Ok(answers::number(&there) == Some(1))
    }

    async fn rooms(&self, prefix: &str, after: Option<&str>, most: usize) -> Result<Vec<String>, RedisError> {
        // No name has a byte that is 255.
        let (first, last) = (format!("[{prefix}"), [b"[", prefix.as_bytes(), &[255]].concat());
        let first = after.map_or(first, |after| format!("({after}"));
        let mut range = cmd("ZRANGEBYLEX");
        range.arg(self.names.rooms()).arg(first).arg(last).arg("LIMIT").arg(0).arg(most);
        let names = self.commands.ask(Question::Command(range)).await?;
        Ok(answers::list(names).unwrap_or_default().iter().filter_map(answers::text).collect())
    }

    async fn sizes(&self, rooms: Vec<String>) -> Result<Vec<RoomSize>, RedisError> {
        let mut sizes = Vec::with_capacity(rooms.len());
        for room in rooms {
            let keys = vec![self.names.named(&room).rows()];
            let answer = self.commands.ask(Question::Script { script: Script::Size, keys, args: Vec::new() }).await?;
            let [rows, bytes]: [Value; 2] =
                answers::list(answer).and_then(|list| list.try_into().ok()).ok_or_else(nonsense)?;
            let number = |value: &Value| answers::number(value).ok_or_else(nonsense);
            let size = RoomSize { room, rows: number(&rows)?, bytes: number(&bytes)? };
            if size.rows > 0 {
                sizes.push(size);
            }
        }
        Ok(sizes)
    }
}

/// Reads a claim: a number, and the door's name.
fn owner_of(claim: &str) -> Option<RoomOwner> {
    let door = NodeId::read(claim.split_once(' ')?.1)?.0;
    Some(RoomOwner { door, claim: claim.into() })
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> StoreError {
        StoreError::Shared(error.to_string())
    }
}

impl RedisLink {
    fn rows<T, F>(&self, work: impl FnOnce(Arc<Core>) -> F) -> Waiting<T>
    where
        F: Future<Output = Result<T, RedisError>> + Send + 'static,
    {
        let work = work(Arc::clone(&self.core));
        Box::pin(async move { Ok(work.await?) })
    }
}

impl SharedStore for RedisLink {
    fn own(&self, room: &str) -> Waiting<Owning> {
        let room = room.to_owned();
        self.rows(|core| async move { core.own(&room).await })
    }

    fn owner(&self, room: &str) -> Waiting<Option<RoomOwner>> {
        let room = room.to_owned();
        self.rows(|core| async move { core.owner(&room).await })
    }

    fn let_go(&self, room: &str, claim: &str) -> Waiting<()> {
        let (room, claim) = (room.to_owned(), claim.to_owned());
        self.rows(|core| async move { core.let_go(&room, &claim).await })
    }

    fn list(&self, room: &str) -> Waiting<()> {
        let room = room.to_owned();
        self.rows(|core| async move { core.list(&room).await })
    }

    fn write(&self, room: &str, claim: &str, rows: Vec<Row>) -> Waiting<bool> {
        let (room, claim) = (room.to_owned(), claim.to_owned());
        self.rows(|core| async move { core.write(&room, &claim, rows, false).await })
    }

    fn replace(&self, room: &str, claim: &str, rows: Vec<StoredRow>) -> Waiting<bool> {
        let (room, claim) = (room.to_owned(), claim.to_owned());
        let rows = rows.into_iter().map(|(key, value)| (key, Some(value))).collect();
        self.rows(|core| async move { core.write(&room, &claim, rows, true).await })
    }

    fn amend(&self, room: &str, key: &[u8], known: Option<Vec<u8>>, next: Vec<u8>) -> Waiting<bool> {
        let (room, key) = (room.to_owned(), key.to_vec());
        self.rows(|core| async move { core.amend(&room, key, known, next).await })
    }

    fn load(&self, room: &str) -> Waiting<Vec<StoredRow>> {
        let room = room.to_owned();
        self.rows(|core| async move { core.load(&room).await })
    }

    fn get_each(&self, rooms: &[String], key: &[u8]) -> Waiting<Vec<Option<Vec<u8>>>> {
        let (rooms, key) = (rooms.to_vec(), key.to_vec());
        self.rows(|core| async move { core.get_each(&rooms, &key).await })
    }

    fn has(&self, room: &str) -> Waiting<bool> {
        let room = room.to_owned();
        self.rows(|core| async move { core.has(&room).await })
    }

    fn rooms(&self, prefix: &str, after: Option<&str>, most: usize) -> Waiting<Vec<String>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.rows(|core| async move { core.rooms(&prefix, after.as_deref(), most).await })
    }

    fn sizes(&self, rooms: Vec<String>) -> Waiting<Vec<RoomSize>> {
        self.rows(|core| async move { core.sizes(rooms).await })
    }

    fn probe(&self) -> Waiting<()> {
        self.rows(|core| async move {
            let probe = Question::command("SET", &[&core.names.probe(), "1", "PX", PROBE_MS]);
            core.commands.ask(probe).await.map(drop)
        })
    }
}
