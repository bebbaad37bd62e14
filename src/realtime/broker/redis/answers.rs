//! What Redis answers, and what is wrong when it says no.

use ::redis::{ErrorKind, ServerErrorKind, Value};

use super::trouble::RedisTrouble;

/// The oldest Redis that has all that is asked of it, and the oldest of a cluster: there channels are its slots'.
const OLDEST: (u32, u32) = (6, 2);
const OLDEST_OF_CLUSTER: (u32, u32) = (7, 0);

/// An answer that is an error: its code, and the rest of the sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ErrorAnswer {
    pub(super) code: String,
    pub(super) details: String,
}

impl ErrorAnswer {
    pub(super) fn of(error: &::redis::RedisError) -> ErrorAnswer {
        ErrorAnswer {
            code: error.code().unwrap_or_default().to_owned(),
            details: error.detail().unwrap_or_default().to_owned(),
        }
    }

    pub(super) fn trouble(&self) -> RedisTrouble {
        let sentence = || format!("{} {}", self.code, self.details).trim().to_owned().into();
        match self.code.as_str() {
            "NOAUTH" | "WRONGPASS" => RedisTrouble::WrongPassword(sentence()),
            "NOPERM" => RedisTrouble::NotPermitted(self.details.trim().into()),
            "READONLY" => RedisTrouble::ReadOnly,
            "LOADING" => RedisTrouble::Loading,
            "OOM" => RedisTrouble::Full,
            "MISCONF" => RedisTrouble::CannotSave(sentence()),
            "MOVED" | "ASK" | "TRYAGAIN" => RedisTrouble::Moving,
            "CLUSTERDOWN" => RedisTrouble::ClusterDown(self.details.trim().into()),
            // What a script was refused is an error within an error, before Redis 7.
            _ if self.details.contains("-OOM") || self.details.contains("OOM command") => RedisTrouble::Full,
            _ if self.details.contains("-READONLY") => RedisTrouble::ReadOnly,
            _ => RedisTrouble::Says(sentence()),
        }
    }

    /// It may be done in a moment.
    pub(super) fn passes(&self) -> bool {
        let code = self.code.as_str();
        matches!(code, "LOADING" | "TRYAGAIN" | "MASTERDOWN" | "BUSY" | "READONLY" | "CLUSTERDOWN")
            || self.trouble() == RedisTrouble::ReadOnly
    }
}

/// What is wrong, as the client library has it.
pub(super) fn trouble_of(error: &::redis::RedisError) -> RedisTrouble {
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            let details = error.detail().unwrap_or("it wants one").to_owned();
            // It says the same of a server that is loading, or of one that is too old for the greeting.
            let inner = |code: &str| details.contains(code);
            match () {
                () if inner("LOADING") => RedisTrouble::Loading,
                () if inner("MASTERDOWN") => RedisTrouble::ReadOnly,
                () => RedisTrouble::WrongPassword(details.into()),
            }
        }
        ErrorKind::RESP3NotSupported => RedisTrouble::TooOld("5 or older".into()),
        ErrorKind::Server(ServerErrorKind::ResponseError) | ErrorKind::Extension | ErrorKind::Server(_) => {
            ErrorAnswer::of(error).trouble()
        }
        _ => RedisTrouble::Unreachable(error.to_string().into()),
    }
}

/// An answer, or a refusal.
pub(super) fn sort(value: Value) -> Result<Value, ErrorAnswer> {
    match value {
        Value::ServerError(error) => {
            Err(ErrorAnswer { code: error.code().to_owned(), details: error.details().unwrap_or_default().to_owned() })
        }
        value => Ok(value),
    }
}

/// The bytes of a text, whichever way it is written.
pub(super) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.into_bytes()),
        Value::Int(number) => Some(number.to_string().into_bytes()),
        Value::Okay => Some(b"OK".to_vec()),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value.clone())?).ok()
}

pub(super) fn number(value: &Value) -> Option<u64> {
    text(value)?.parse().ok()
}

pub(super) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) | Value::Set(values) => Some(values),
        Value::Map(pairs) => Some(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        _ => None,
    }
}

/// What a server says of itself.
pub(super) struct ServerInfo(String);

impl ServerInfo {
    pub(super) fn read(answer: &Value) -> ServerInfo {
        ServerInfo(text(answer).unwrap_or_default())
    }

    fn field(&self, name: &str) -> &str {
        let line = self.0.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default()
    }

    /// Whether it can be used, as one of a cluster or alone.
    pub(super) fn check(&self, is_cluster: bool) -> Result<(), RedisTrouble> {
        let version = self.field("redis_version");
        let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
        let known = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if known < OLDEST {
            return Err(RedisTrouble::TooOld(version.into()));
        }
        if self.field("loading") == "1" || self.field("async_loading") == "1" {
            return Err(RedisTrouble::Loading);
        }
        match (is_cluster, self.field("cluster_enabled") == "1") {
            (false, true) => return Err(RedisTrouble::Cluster),
            (true, false) => return Err(RedisTrouble::NoCluster),
            (true, true) if known < OLDEST_OF_CLUSTER => return Err(RedisTrouble::TooOldForCluster(version.into())),
            _ => {}
        }
        if self.field("role") != "master" {
            return Err(RedisTrouble::ReadOnly);
        }
        Ok(())
    }

    /// The name of the server's process.
    pub(super) fn server(&self) -> String {
        let run = self.field("run_id");
        run.chars().take(16).collect()
    }

    /// Whether what it was told survives its process.
    pub(super) fn keeps(&self) -> bool {
        self.field("aof_enabled") == "1"
    }

    /// The policy by which it evicts keys that doors need.
    pub(super) fn evicts(&self) -> Option<&str> {
        let policy = self.field("maxmemory_policy");
        (self.field("maxmemory") != "0" && !policy.is_empty() && policy != "noeviction").then_some(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(text: &str) -> Result<(), RedisTrouble> {
        ServerInfo(text.replace('\n', "\r\n")).check(false)
    }

    #[test]
    fn what_a_server_says_of_itself_is_checked() {
        let good = "redis_version:7.0.15\nrun_id:abc\nrole:master\ncluster_enabled:0\nloading:0\n";
        assert_eq!(info(good), Ok(()));
        assert_eq!(info(&good.replace("7.0.15", "6.0.16")), Err(RedisTrouble::TooOld("6.0.16".into())));
        assert_eq!(info(&good.replace("7.0.15", "10.0.1")), Ok(()));
        assert_eq!(info(&good.replace("role:master", "role:slave")), Err(RedisTrouble::ReadOnly));
        assert_eq!(info(&good.replace("loading:0", "loading:1")), Err(RedisTrouble::Loading));
        assert_eq!(info(&good.replace("cluster_enabled:0", "cluster_enabled:1")), Err(RedisTrouble::Cluster));
    }

    #[test]
    fn a_server_of_a_cluster_is_one_and_new_enough() {
        let info = |text: &str| ServerInfo(text.replace('\n', "\r\n")).check(true);
        let good = "redis_version:7.0.15\nrole:master\ncluster_enabled:1\nloading:0\n";
        assert_eq!(info(good), Ok(()));
        assert_eq!(info(&good.replace("7.0.15", "6.2.14")), Err(RedisTrouble::TooOldForCluster("6.2.14".into())));
        assert_eq!(info(&good.replace("enabled:1", "enabled:0")), Err(RedisTrouble::NoCluster));
    }

    #[test]
    fn a_refusal_is_known_within_a_scripts_error_too() {
        let refusal = |code: &str, details: &str| ErrorAnswer { code: code.into(), details: details.into() }.trouble();
        assert_eq!(refusal("OOM", "command not allowed when used memory > 'maxmemory'."), RedisTrouble::Full);
        let within = "Error running script: @user_script:3: -OOM command not allowed when used memory > 'maxmemory'.";
        assert_eq!(refusal("ERR", within), RedisTrouble::Full);
        assert_eq!(refusal("ERR", "-READONLY You can't write against a read only replica."), RedisTrouble::ReadOnly);
        assert_eq!(refusal("XYZ", "no"), RedisTrouble::Says("XYZ no".into()));
    }
}
