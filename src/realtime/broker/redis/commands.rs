//! Asks Redis, and asks again where an answer was lost: within a time, and so many at once.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::answers::ErrorAnswer;
use super::connection::{Connection, SILENCE};
use super::health::{Health, HealthPart};
use super::scripts::Script;
use super::trouble::{RedisError, RedisState, RedisTrouble};
use super::{MOST_WAITING, Metrics};

/// Between two questions to a server that says: in a moment.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two signs of life that are asked for.
const PING: Duration = Duration::from_secs(1);

/// Something to ask. It may be asked again, so twice must be as good as once.
pub(super) enum Question {
    Script { script: Script, keys: Vec<String>, args: Vec<Arg> },
    Command(Cmd),
}

impl Question {
    pub(super) fn command(name: &str, args: &[&str]) -> Question {
        let mut command = ::redis::cmd(name);
        command.arg(args);
        Question::Command(command)
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
}

/// Whoever asks.
pub(super) struct Commands {
    connection: watch::Sender<Option<Connection>>,
    waiting: Semaphore,
    patience: Duration,
    health: Arc<Health>,
    metrics: Metrics,
}

impl Commands {
    pub(super) fn new(patience: Duration, health: Arc<Health>, metrics: Metrics) -> Commands {
        let connection = watch::Sender::new(None);
        Commands { connection, waiting: Semaphore::new(MOST_WAITING), patience, health, metrics }
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// [`RedisError`].
    pub(super) async fn ask(&self, question: Question) -> Result<Value, RedisError> {
        let mut all = self.ask_all(std::slice::from_ref(&question)).await?;
        Ok(all.pop().unwrap_or(Value::Nil))
    }

    /// Asks several things at once, in their order.
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
        let mut connections = self.connection.subscribe();
        let (mut said, mut with_text, mut is_repeat) = (None, false, false);
        loop {
            let away = |said: &Option<RedisTrouble>| said.clone().unwrap_or_else(|| self.health.trouble());
            let connected = timeout_at(deadline, connections.wait_for(Option::is_some)).await;
            let Some(connection) = connected.ok().and_then(Result::ok).and_then(|found| found.clone()) else {
                return Err(RedisError::Away(away(&said)));
            };
            if is_repeat {
                self.metrics.repeats.inc();
            }
            let commands = pipeline(questions, &connection, with_text);
            let Ok(answered) = timeout_at(deadline, connection.send(&commands)).await else {
                return Err(RedisError::Away(said.unwrap_or(RedisTrouble::Silent(self.patience.as_secs()))));
            };
            is_repeat = true;
            match answered.map(|answers| answers.into_iter().collect::<Result<Vec<Value>, ErrorAnswer>>()) {
                Ok(Ok(answers)) => {
                    self.health.see(HealthPart::Writes, RedisState::Up);
                    return Ok(answers);
                }
                Ok(Err(refusal)) if refusal.code == "NOSCRIPT" && !with_text => with_text = true,
                Ok(Err(refusal)) if refusal.passes() => {
                    let trouble = refusal.trouble();
                    self.health.see(HealthPart::Writes, RedisState::Down(trouble.clone()));
                    if trouble == RedisTrouble::ReadOnly {
                        connection.end();
                    }
                    if Instant::now() + PAUSE >= deadline {
                        return Err(RedisError::Refused(trouble));
                    }
                    said = Some(trouble);
                    sleep_until(Instant::now() + PAUSE).await;
                }
                Ok(Err(refusal)) => {
                    let trouble = refusal.trouble();
                    if matches!(trouble, RedisTrouble::Full | RedisTrouble::CannotSave(_)) {
                        self.health.see(HealthPart::Writes, RedisState::Down(trouble.clone()));
                    }
                    return Err(RedisError::Refused(trouble));
                }
                // Its keeper has not seen it yet.
                Err(_) => {
                    let is_another =
                        |found: &Option<Connection>| !found.as_ref().is_some_and(|found| found.is(&connection));
                    if timeout_at(deadline, connections.wait_for(is_another)).await.is_err() {
                        return Err(RedisError::Away(away(&said)));
                    }
                }
            }
        }
    }

    /// Which process of Redis is asked.
    pub(super) fn server(&self) -> Option<String> {
        Some(self.connection.borrow().as_ref()?.server().to_owned())
    }

    /// Whether what Redis is told survives its process, as it says itself; nothing where none is asked.
    pub(super) fn keeps(&self) -> Option<bool> {
        Some(self.connection.borrow().as_ref()?.keeps())
    }

    /// Ends the connection, so that another is made.
    pub(super) fn end(&self) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.end();
        }
    }

    /// Asks by `connection` until it ends, and sees that it answers.
    pub(super) async fn serve(&self, connection: Connection) {
        self.metrics.connects.inc();
        self.health.see(HealthPart::Commands, RedisState::Up);
        self.connection.send_replace(Some(connection.clone()));
        let mut ping = Pipeline::new();
        ping.cmd("PING");
        let mut ticks = tokio::time::interval(PING);
        loop {
            tokio::select! {
                () = connection.ended() => break,
                _ = ticks.tick() => {}
            }
            if tokio::time::timeout(SILENCE, connection.send(&ping)).await.is_err() {
                self.connection.send_replace(None);
                self.health.see(HealthPart::Commands, RedisState::Down(RedisTrouble::Silent(SILENCE.as_secs())));
                connection.end();
                return;
            }
        }
        self.connection.send_replace(None);
        let why = RedisTrouble::Unreachable("the connection ended".into());
        self.health.see(HealthPart::Commands, RedisState::Down(why));
    }
}

fn pipeline(questions: &[Question], connection: &Connection, with_text: bool) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(questions.len());
    for question in questions {
        match question {
            Question::Command(command) => drop(pipeline.add_command(command.clone())),
            Question::Script { script, keys, args } => {
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
                    };
                }
            }
        }
    }
    pipeline
}
