//! Asks Redis, and asks again where an answer was lost: within a time, and so many at once. In a cluster each question goes to
//! the server that has its key, and elsewhere where that sends it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Arg as CommandArg, Cmd, Pipeline, Value};
use futures_util::future::join_all;
use smallvec::{SmallVec, smallvec};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::address::RedisHost;
use super::answers::ErrorAnswer;
use super::connection::{Answer, Connection};
use super::health::HealthPart;
use super::scripts::Script;
use super::shard::Shard;
use super::shards::{Layout, Shards};
use super::slots;
use super::trouble::{RedisError, RedisState, RedisTrouble};
use super::{MOST_WAITING, Metrics};

/// Between two questions to a server that says: in a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Something to ask. It may be asked again, so twice must be as good as once.
pub(super) enum Question {
    Script {
        script: Script,
        keys: Vec<String>,
        args: Vec<Arg>,
    },
    /// Its first argument is a key, or a channel.
    Command(Cmd),
    /// About what was asked before it, of the same server.
    FollowUp(Cmd),
}

impl Question {
    pub(super) fn command(name: &str, args: &[&str]) -> Question {
        let mut command = ::redis::cmd(name);
        command.arg(args);
        Question::Command(command)
    }

    fn key(&self) -> Option<&[u8]> {
        match self {
            Question::Script { keys, .. } => keys.first().map(String::as_bytes),
            Question::Command(command) => match command.args_iter().nth(1) {
                Some(CommandArg::Simple(key)) => Some(key),
                _ => None,
            },
            Question::FollowUp(_) => None,
        }
    }
}

/// What a script is given besides keys.
pub(super) enum Arg {
    Text(String),
    Bytes(bytes::Bytes),
    Number(u64),
    /// A number of 64 bits that nobody has had, as text.
    Fresh,
    /// The server's process.
    Server,
    /// The command that publishes.
    Publishes,
}

/// Whoever asks.
pub(super) struct Commands {
    shards: Arc<Shards>,
    waiting: Semaphore,
    /// To a server that is about to take a slot.
    guest: Mutex<Option<(RedisHost, Connection)>>,
    patience: Duration,
    metrics: Metrics,
}

/// Questions that go together, in their order: those of one slot that stand side by side.
struct Unit {
    questions: Range<usize>,
    slot: u16,
    /// There this once: the slot is on its way.
    ask_at: Option<RedisHost>,
    /// Scripts are given in whole.
    with_text: bool,
    is_done: bool,
}

/// Units that one server is asked at once.
struct Round {
    shard: Arc<Shard>,
    ask_at: Option<RedisHost>,
    units: SmallVec<[usize; 1]>,
}

/// What came of asking one server.
enum Sent {
    Answered(Connection, std::vec::IntoIter<Answer>),
    /// The connection ended before its answer.
    Lost,
    /// Something else has it.
    Moved,
    /// Whoever is to have it is not reached.
    Unreached,
    /// The time is over.
    Away(RedisTrouble),
}

impl Commands {
    pub(super) fn new(shards: Arc<Shards>, patience: Duration, metrics: Metrics) -> Commands {
        Commands { shards, waiting: Semaphore::new(MOST_WAITING), guest: Mutex::default(), patience, metrics }
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// [`RedisError`].
    pub(super) async fn ask(&self, question: Question) -> Result<Value, RedisError> {
        let mut all = self.ask_all(std::slice::from_ref(&question)).await?;
        Ok(all.pop().unwrap_or(Value::Nil))
    }

    /// Asks several things at once, those of one key in their order.
    ///
    /// # Errors
    /// [`RedisError`], if one of them was refused too.
    pub(super) async fn ask_all(&self, questions: &[Question]) -> Result<Vec<Value>, RedisError> {
        let began = Instant::now();
        let answered = match self.waiting.try_acquire() {
            Ok(_permit) => self.ask_until(questions, began + self.patience).await,
            Err(_) => Err(RedisError::TooMany),
        };
        self.metrics.script_seconds.observe(began.elapsed().as_secs_f64());
        if answered.is_err() {
            self.metrics.refused.inc();
        }
        answered
    }

    async fn ask_until(&self, questions: &[Question], deadline: Instant) -> Result<Vec<Value>, RedisError> {
        let mut units = self.units(questions);
        let mut answers = vec![Value::Nil; questions.len()];
        let (mut said, mut is_repeat) = (None, false);
        let mut layouts = self.shards.watch();
        loop {
            if is_repeat {
                self.metrics.repeats.inc();
            }
            layouts.mark_unchanged();
            let rounds = self.rounds(&mut units);
            let sent: SmallVec<[Sent; 1]> = match &rounds[..] {
                [round] => smallvec![self.send(questions, &units, round, deadline).await],
                several => join_all(several.iter().map(|round| self.send(questions, &units, round, deadline)))
                    .await
                    .into_iter()
                    .collect(),
            };
            let mut pause = None;
            for (round, sent) in rounds.iter().zip(sent) {
                match sent {
                    Sent::Answered(connection, all) => {
                        let passes = take(round, &connection, all, &mut units, &mut answers, &self.shards)?;
                        pause = passes.or(pause);
                    }
                    Sent::Lost | Sent::Moved => {}
                    Sent::Unreached => pause = Some(RedisTrouble::Moving),
                    Sent::Away(trouble) => return Err(RedisError::Away(said.unwrap_or(trouble))),
                }
            }
            if units.iter().all(|unit| unit.is_done) {
                return Ok(answers);
            }
            is_repeat = true;
            if let Some(trouble) = pause {
                if Instant::now() + PAUSE >= deadline {
                    return Err(RedisError::Refused(trouble));
                }
                said = Some(trouble);
                // Where it is known sooner who has it, that is asked.
                let _ = timeout(PAUSE, layouts.changed()).await;
            }
        }
    }

    /// Which process of Redis has a key.
    pub(super) fn server_of(&self, key: &str) -> Option<String> {
        self.shards.server_of(key)
    }

    /// Whether what Redis is told survives its processes, as they say themselves; nothing where none is asked.
    pub(super) fn keeps(&self) -> Option<bool> {
        let connections = self.shards.all().0.into_iter().filter_map(|shard| shard.speaking.connection());
        connections.map(|connection| connection.keeps()).reduce(|one, other| one && other)
    }

    /// What goes together; all does, where there is one server.
    fn units(&self, questions: &[Question]) -> SmallVec<[Unit; 1]> {
        let mut units: SmallVec<[Unit; 1]> = SmallVec::new();
        let is_cluster = self.shards.is_cluster();
        for (index, question) in questions.iter().enumerate() {
            let slot = question.key().filter(|_| is_cluster).map(slots::slot_of);
            match units.last_mut() {
                Some(last) if slot.is_none_or(|slot| slot == last.slot) => last.questions.end = index + 1,
                _ => units.push(Unit {
                    questions: index..index + 1,
                    slot: slot.unwrap_or(0),
                    ask_at: None,
                    with_text: false,
                    is_done: false,
                }),
            }
        }
        units
    }

    /// Who is asked what of the units that are not done.
    fn rounds(&self, units: &mut [Unit]) -> SmallVec<[Round; 1]> {
        let mut rounds: SmallVec<[Round; 1]> = SmallVec::new();
        let layout = self.shards.layout();
        for (index, unit) in units.iter_mut().enumerate().filter(|(_, unit)| !unit.is_done) {
            let (shard, ask_at) = (layout.at(unit.slot), unit.ask_at.take());
            let is_same = |round: &&mut Round| Arc::ptr_eq(&round.shard, &shard) && round.ask_at == ask_at;
            match rounds.iter_mut().find(is_same) {
                Some(round) => round.units.push(index),
                None => rounds.push(Round { shard, ask_at, units: smallvec![index] }),
            }
        }
        rounds
    }

    async fn send(&self, questions: &[Question], units: &[Unit], round: &Round, deadline: Instant) -> Sent {
        let away = || round.shard.health.trouble();
        let connection = match &round.ask_at {
            Some(host) => match timeout_at(deadline, self.guest(host)).await {
                Ok(Some(connection)) => connection,
                Ok(None) => return Sent::Unreached,
                Err(_) => return Sent::Away(away()),
            },
            None => {
                let mut connections = round.shard.speaking.watch();
                let connected = tokio::select! {
                    biased;
                    connected = timeout_at(deadline, connections.wait_for(Option::is_some)) => connected,
                    () = self.is_elsewhere(round, units) => return Sent::Moved,
                };
                match connected.ok().and_then(Result::ok).and_then(|found| found.clone()) {
                    Some(connection) => connection,
                    None => return Sent::Away(away()),
                }
            }
        };
        let commands = pipeline(questions, units, round, &connection);
        match timeout_at(deadline, connection.send(&commands)).await {
            Ok(Ok(answers)) => Sent::Answered(connection, answers.into_iter()),
            Ok(Err(_)) if round.ask_at.is_some() => Sent::Unreached,
            Ok(Err(_)) => {
                // Its keeper has not seen it yet.
                let mut connections = round.shard.speaking.watch();
                let is_another =
                    |found: &Option<Connection>| !found.as_ref().is_some_and(|found| found.is(&connection));
                let waited = tokio::select! {
                    waited = timeout_at(deadline, connections.wait_for(is_another)) => waited.is_ok(),
                    () = self.is_elsewhere(round, units) => true,
                };
                if waited { Sent::Lost } else { Sent::Away(away()) }
            }
            Err(_) => Sent::Away(RedisTrouble::Silent(self.patience.as_secs())),
        }
    }

    /// Resolves when another server has one of the round's slots. Never where there is one only.
    async fn is_elsewhere(&self, round: &Round, units: &[Unit]) {
        if !self.shards.is_cluster() {
            return std::future::pending().await;
        }
        let slots = || round.units.iter().map(|index| units[*index].slot);
        let mut layouts = self.shards.watch();
        let moved = |layout: &Layout| slots().any(|slot| !Arc::ptr_eq(&layout.at(slot), &round.shard));
        // There is always one who keeps it.
        let _ = layouts.wait_for(moved).await;
    }

    /// A connection to a server that has no slot yet, say; `None` where it cannot be reached.
    async fn guest(&self, host: &RedisHost) -> Option<Connection> {
        let mut guest = self.guest.lock().await;
        let known = guest.as_ref().filter(|(known, connection)| known == host && !connection.has_ended());
        if let Some((_, connection)) = known {
            return Some(connection.clone());
        }
        let (config, dialer) = (&self.shards.parts.config, &self.shards.parts.dialer);
        let connection = Connection::open(config, dialer, host, None).await.ok()?;
        *guest = Some((host.clone(), connection.clone()));
        Some(connection)
    }
}

/// Takes what a server answered; gives what passes in a moment, where that is all that is wrong.
fn take(
    round: &Round,
    connection: &Connection,
    mut all: std::vec::IntoIter<Answer>,
    units: &mut [Unit],
    answers: &mut [Value],
    shards: &Shards,
) -> Result<Option<RedisTrouble>, RedisError> {
    let (mut passes, mut refused) = (None, None);
    for place in round.units.iter().copied() {
        let unit = &mut units[place];
        let mut refusal = None;
        for index in unit.questions.clone() {
            if round.ask_at.is_some() {
                all.next();
            }
            match all.next().unwrap_or(Ok(Value::Nil)) {
                Ok(value) => answers[index] = value,
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        match refusal {
            None => unit.is_done = true,
            Some(refusal) if refusal.code == "NOSCRIPT" && !unit.with_text => unit.with_text = true,
            Some(refusal) => match weigh(&refusal, round, connection, unit, shards) {
                Ok(trouble) => passes = trouble.or(passes),
                Err(trouble) => refused = Some(trouble),
            },
        }
    }
    match refused {
        Some(trouble) => Err(RedisError::Refused(trouble)),
        None => {
            if passes.is_none() {
                round.shard.health.see(HealthPart::Writes, RedisState::Up);
            }
            Ok(passes)
        }
    }
}

/// What a refusal means for what was asked: it is asked again, at once or after a pause, or it is not done.
fn weigh(
    refusal: &ErrorAnswer,
    round: &Round,
    connection: &Connection,
    unit: &mut Unit,
    shards: &Shards,
) -> Result<Option<RedisTrouble>, RedisTrouble> {
    let (trouble, shard) = (refusal.trouble(), &round.shard);
    let elsewhere = shard.host.as_ref().and_then(|host| slots::read_move(&refusal.details, host));
    match (refusal.code.as_str(), elsewhere) {
        ("ASK", Some((_, host))) => {
            unit.ask_at = Some(host);
            return Ok(None);
        }
        ("MOVED", Some((slot, host))) => {
            shards.parts.moves.hear(slot, host);
            return Ok(Some(trouble));
        }
        ("MOVED" | "CLUSTERDOWN", _) => shards.parts.moves.look(),
        _ => {}
    }
    if refusal.passes() {
        if !matches!(trouble, RedisTrouble::Moving) {
            shard.health.see(HealthPart::Writes, RedisState::Down(trouble.clone()));
        }
        if trouble == RedisTrouble::ReadOnly {
            connection.end();
        }
        return Ok(Some(trouble));
    }
    if matches!(trouble, RedisTrouble::Full | RedisTrouble::CannotSave(_)) {
        shard.health.see(HealthPart::Writes, RedisState::Down(trouble.clone()));
    }
    Err(trouble)
}

fn pipeline(questions: &[Question], units: &[Unit], round: &Round, connection: &Connection) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(questions.len());
    for unit in round.units.iter().map(|index| &units[*index]) {
        for question in &questions[unit.questions.clone()] {
            if round.ask_at.is_some() {
                pipeline.cmd("ASKING");
            }
            add(&mut pipeline, question, connection, unit.with_text);
        }
    }
    pipeline
}

fn add(pipeline: &mut Pipeline, question: &Question, connection: &Connection, with_text: bool) {
    let (script, keys, args) = match question {
        Question::Command(command) | Question::FollowUp(command) => {
            pipeline.add_command(command.clone());
            return;
        }
        Question::Script { script, keys, args } => (script, keys, args),
    };
    let command = if with_text {
        pipeline.cmd("EVAL").arg(script.text())
    } else {
        pipeline.cmd("EVALSHA").arg(connection.name_of(*script))
    };
    command.arg(keys.len()).arg(keys);
    for arg in args {
        match arg {
            Arg::Text(text) => command.arg(text),
            Arg::Bytes(bytes) => command.arg(&bytes[..]),
            Arg::Number(number) => command.arg(*number),
            Arg::Fresh => command.arg(format!("{:016x}", fastrand::u64(1..))),
            Arg::Server => command.arg(connection.server()),
            Arg::Publishes => command.arg(connection.publishes()),
        };
    }
}
