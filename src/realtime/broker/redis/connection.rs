//! One connection: made, asked who is there, and given the scripts.
#![expect(clippy::disallowed_methods, reason = "a connection's driver ends with it, and serves no request of its own")]

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{AsyncPushSender, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, RedisConnectionInfo, Value};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Config;
use super::address::RedisHost;
use super::answers::{self, ErrorAnswer, trouble_of};
use super::scripts::Script;
use super::stream::Dialer;
use super::trouble::RedisTrouble;
use crate::telemetry::LogThrottle;

/// How long a server may take for anything before the connection counts as silent.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// Written into the socket at most before the next is made to wait, and commands that wait for it.
const PIPELINE_BUFFER: usize = 512;

/// What one command was answered.
pub(super) type Answer = Result<Value, ErrorAnswer>;

/// A connection. Cheap to clone; it ends with its last clone, or when it is dropped by name.
#[derive(Clone)]
pub(super) struct Connection {
    redis: MultiplexedConnection,
    shared: Arc<Shared>,
}

struct Shared {
    /// Channels belong to slots here, as keys do.
    is_cluster: bool,
    /// What each script is called, in the order of [`Script::ALL`].
    scripts: Vec<String>,
    /// The server's process: another after each of its starts.
    server: String,
    /// What it was told survives its process.
    keeps: bool,
    ended: CancellationToken,
    driver: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ended.cancel();
        self.driver.abort();
    }
}

impl Connection {
    /// Connects, and looks whether this is a Redis that Doorway can use.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn open(
        config: &Config,
        dialer: &Dialer,
        host: &RedisHost,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Connection, RedisTrouble> {
        let opened = timeout(SILENCE, async {
            let mut connection = Connection::speak(config, dialer, host, pushes).await?;
            let (info, scripts) = connection.look(config.url.is_cluster()).await?;
            let shared = Arc::get_mut(&mut connection.shared).ok_or(RedisTrouble::NotYet)?;
            (shared.server, shared.keeps, shared.scripts) = (info.server(), info.keeps(), scripts);
            Ok(connection)
        });
        opened.await.unwrap_or(Err(RedisTrouble::Silent(SILENCE.as_secs())))
    }

    /// Connects, without more.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn speak(
        config: &Config,
        dialer: &Dialer,
        host: &RedisHost,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Connection, RedisTrouble> {
        let stream = dialer.open(host).await?;
        let mut info = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("doorway", env!("CARGO_PKG_VERSION"))
            .set_db(config.url.database);
        if let Some(user) = &config.url.login.user {
            info = info.set_username(user);
        }
        if let Some(password) = &config.url.login.password {
            info = info.set_password(password);
        }
        // Time-outs are ours.
        let mut settings = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(PIPELINE_BUFFER);
        if let Some(pushes) = pushes {
            settings = settings.set_push_sender(pushes);
        }
        let made = MultiplexedConnection::new_with_config(&info, stream, settings).await;
        let (redis, driver) = made.map_err(|error| trouble_of(&error))?;
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let driver = tokio::spawn(async move {
            let _guard = guard;
            driver.await;
        });
        let shared = Shared {
            is_cluster: config.url.is_cluster(),
            scripts: Vec::new(),
            server: String::new(),
            keeps: false,
            ended,
            driver: driver.abort_handle(),
        };
        Ok(Connection { redis, shared: Arc::new(shared) })
    }

    /// Whether this is a Redis that Doorway can use, and then what it says of itself and the names of the scripts.
    async fn look(&mut self, is_cluster: bool) -> Result<(answers::ServerInfo, Vec<String>), RedisTrouble> {
        let info = self.one(::redis::cmd("INFO")).await?;
        let info = answers::ServerInfo::read(&info);
        info.check(is_cluster)?;
        if let Some(policy) = info.evicts() {
            static SAID: LogThrottle = LogThrottle::new();
            if SAID.may() {
                warn!(policy, "Redis may evict what doors share: set maxmemory-policy noeviction");
            }
        }
        let mut loading = Pipeline::new();
        for script in Script::ALL {
            loading.cmd("SCRIPT").arg("LOAD").arg(script.text());
        }
        let mut scripts = Vec::new();
        for answer in self.send(&loading).await? {
            scripts.push(answers::text(&answer.map_err(|refused| refused.trouble())?).unwrap_or_default());
        }
        Ok((info, scripts))
    }

    async fn one(&self, command: Cmd) -> Result<Value, RedisTrouble> {
        let mut pipeline = Pipeline::new();
        pipeline.add_command(command);
        let mut all = self.send(&pipeline).await?;
        all.pop().unwrap_or(Ok(Value::Nil)).map_err(|refused| refused.trouble())
    }

    /// Sends commands at once, and gives what each was answered.
    ///
    /// # Errors
    /// The connection is over: what was asked was done or was not.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<Answer>, RedisTrouble> {
        let mut redis = self.redis.clone();
        let sent = tokio::select! {
            sent = redis.send_packed_commands(commands, 0, commands.len()) => sent,
            () = self.shared.ended.cancelled() => return Err(broken()),
        };
        match sent {
            Ok(values) => Ok(values.into_iter().map(answers::sort).collect()),
            // One that is refused while being read is answered as an error of the whole.
            Err(error) if error.code().is_some() => Ok(vec![Err(ErrorAnswer::of(&error)); commands.len()]),
            Err(error) => {
                self.end();
                Err(trouble_of(&error))
            }
        }
    }

    /// Subscribes to, or leaves, several channels at once; over when all are confirmed, or refused: in a cluster each may be
    /// by itself.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn listen(
        &self,
        names: &[Arc<str>],
        is_on: bool,
    ) -> Result<Vec<(Arc<str>, ErrorAnswer)>, RedisTrouble> {
        let asked = async {
            if self.shared.is_cluster {
                return self.listen_to_slots(names, is_on).await;
            }
            let mut redis = self.redis.clone();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            let asked = if is_on { redis.subscribe(&names[..]).await } else { redis.unsubscribe(&names[..]).await };
            asked.map(|()| Vec::new()).map_err(|error| trouble_of(&error))
        };
        tokio::select! {
            asked = timeout(SILENCE, asked) => asked.unwrap_or(Err(RedisTrouble::Silent(SILENCE.as_secs()))),
            () = self.shared.ended.cancelled() => Err(broken()),
        }
    }

    /// Channels of several slots are several commands.
    async fn listen_to_slots(
        &self,
        names: &[Arc<str>],
        is_on: bool,
    ) -> Result<Vec<(Arc<str>, ErrorAnswer)>, RedisTrouble> {
        let mut commands = Pipeline::with_capacity(names.len());
        for name in names {
            commands.cmd(if is_on { "SSUBSCRIBE" } else { "SUNSUBSCRIBE" }).arg(&**name);
        }
        let mut refused = Vec::new();
        for (name, answer) in names.iter().zip(self.send(&commands).await?) {
            match answer {
                Ok(Value::Push { .. }) => {}
                // A server that takes a slot away says so unasked, which the library takes for an answer.
                Ok(_) => return Err(RedisTrouble::Says("an answer to something else".into())),
                Err(refusal) => refused.push((Arc::clone(name), refusal)),
            }
        }
        Ok(refused)
    }

    /// The command that publishes.
    pub(super) fn publishes(&self) -> &'static str {
        if self.shared.is_cluster { "SPUBLISH" } else { "PUBLISH" }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.shared.is_cluster
    }

    /// What `script` is called there.
    pub(super) fn name_of(&self, script: Script) -> &str {
        let at = Script::ALL.iter().position(|known| *known == script).unwrap_or_default();
        self.shared.scripts.get(at).map_or("", String::as_str)
    }

    pub(super) fn keeps(&self) -> bool {
        self.shared.keeps
    }

    pub(super) fn server(&self) -> &str {
        &self.shared.server
    }

    /// Ends it: all that waits for an answer hears that there is none.
    pub(super) fn end(&self) {
        self.shared.ended.cancel();
        self.shared.driver.abort();
    }

    /// Resolves when it has ended. Cancel-safe.
    pub(super) async fn ended(&self) {
        self.shared.ended.cancelled().await;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.shared.ended.is_cancelled()
    }

    pub(super) fn is(&self, other: &Connection) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

fn broken() -> RedisTrouble {
    RedisTrouble::Unreachable("the connection ended".into())
}
