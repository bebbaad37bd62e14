//! The sections `[[realtime.ably]]`: one key each. Several keys of one app are several sections.

use std::sync::Arc;
use std::time::Duration;

use super::capability::Capability;
use super::key::AblyKey;
use crate::realtime::door::ProtocolConfig;
use crate::realtime::hub::parts::Part;
use crate::settings::{self, Section, Size};

/// All apps of Ably, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The first shares the names of its channels with the other dialects. Default none: the dialect is not spoken.
    pub apps: Vec<AppSettings>,
}

/// One app: its keys and its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct AppSettings {
    /// What stands before the dot of its keys.
    pub id: Arc<str>,
    /// What stands before the names of its channels in the hub: nothing for the first app, so that its channels are
    /// those that clients of other dialects name; the app's id and a colon for the others.
    pub prefix: Arc<str>,
    pub keys: Vec<KeySettings>,
    /// The longest message. Default 64 KiB.
    pub max_message: Size,
    /// Messages a second of one connection. Default 50.
    pub message_rate: u32,
    /// How long members stay who lost their connection. Default 15 s.
    pub presence_grace: Duration,
    /// How long messages are kept for those who come back. Default 2 minutes.
    pub retain: Duration,
}

/// One key of an app.
#[derive(Debug, Clone, PartialEq)]
pub struct KeySettings {
    pub key: AblyKey,
    /// What it may do, and the tokens that it makes. Default everything.
    pub capability: Arc<Capability>,
    /// One that is not enabled lets nobody in. Default true.
    pub enabled: bool,
}

/// The keys that say something of the app and not of its key.
const OF_APP: [&str; 4] = ["max_message", "message_rate", "presence_grace", "retain"];

impl ProtocolConfig for Config {
    /// No app: the dialect is not spoken.
    fn at(_hub: &str) -> Config {
        Config::default()
    }

    fn read(realtime: &Section, _hub: &str) -> Config {
        let mut config = Config::default();
        for section in realtime.sections("ably") {
            let key = KeySettings::read(&section);
            let settings = AppSettings::read(&section);
            let Some(key) = key else { continue };
            let known = config.apps.iter_mut().find(|app| *app.id == *key.key.app());
            let Some(app) = known else {
                let id: Arc<str> = key.key.app().into();
                let prefix = if config.apps.is_empty() { "".into() } else { format!("{id}:").into() };
                config.apps.push(AppSettings { id, prefix, keys: vec![key], ..settings });
                continue;
            };
            for name in OF_APP {
                if section.has(name) {
                    let what = format!("{name} is the app's: give it in the first section of {}", app.id);
                    section.problem(name, what, None);
                }
            }
            if app.keys.iter().any(|known| known.key.name() == key.key.name()) {
                section.problem("key", format!("there are two keys {}", key.key.name()), None);
            }
            app.keys.push(key);
        }
        config
    }

    /// Whose channels are whose, where there are several apps.
    fn parts(&self) -> Vec<Part> {
        if self.apps.len() > 1 { self.apps.iter().map(AppSettings::part).collect() } else { Vec::new() }
    }
}

impl AppSettings {
    /// The app's part of one section; whose it is, its key says.
    fn read(section: &Section) -> AppSettings {
        let settings = AppSettings {
            id: "".into(),
            prefix: "".into(),
            keys: Vec::new(),
            max_message: section.value("max_message", Size::kib(64)),
            message_rate: section.value("message_rate", 50),
            presence_grace: section.value("presence_grace", Duration::from_secs(15)),
            retain: section.value("retain", Duration::from_secs(120)),
        };
        if settings.max_message.bytes() == 0 {
            section.problem("max_message", "a message has at least one byte", None);
        }
        if settings.message_rate == 0 {
            section.problem("message_rate", "clients may send at least one message a second", None);
        }
        settings
    }

    /// Which of the hub's channels are the app's.
    pub fn part(&self) -> Part {
        Part { prefix: Arc::clone(&self.prefix), owner: format!("ably:{}", self.id).into() }
    }
}

impl KeySettings {
    fn read(section: &Section) -> Option<KeySettings> {
        let key = read_key(section);
        let capability =
            section.optional::<String>("capability").map_or(Ok(Capability::all()), |text| Capability::parse(&text));
        let capability = capability.unwrap_or_else(|error| {
            let help = Some(r#"as in capability = '{"room:*": ["subscribe", "publish"]}'"#);
            section.problem("capability", error.message, help);
            Capability::all()
        });
        let enabled = section.value("enabled", true);
        Some(KeySettings { key: key?, capability: Arc::new(capability), enabled })
    }
}

/// The key that `section` gives: whole, or its secret in the environment.
fn read_key(section: &Section) -> Option<AblyKey> {
    let given: Option<String> = section.optional("key");
    let variable: Option<String> = section.optional("secret_env");
    let help = Some("as in key = \"appid.keyid:secret\", or key = \"appid.keyid\" and secret_env = \"NAME\"");
    let (place, key) = match (given, variable) {
        (Some(key), None) => ("key", AblyKey::parse(&key)),
        (given, Some(variable)) => {
            let Some(value) = settings::variable(&variable) else {
                let what = format!("neither the environment nor the project's .env files have {variable}");
                section.problem("secret_env", what, None);
                return None;
            };
            match given {
                Some(key) if key.contains(':') => {
                    section.problem("secret_env", "the key has its secret already", help);
                    return None;
                }
                // Whole keys are pasted into variables too.
                Some(name) => {
                    let whole = value.strip_prefix(&name).and_then(|rest| rest.strip_prefix(':'));
                    ("key", AblyKey::new(&name, whole.unwrap_or(&value)))
                }
                None => ("secret_env", AblyKey::parse(&value)),
            }
        }
        (None, None) => {
            section.problem("key", "an app needs a key", help);
            return None;
        }
    };
    key.map_err(|bad| section.problem(place, bad.to_string(), help)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> Result<Config, String> {
        settings::read("proxy.toml", source, |root| Config::read(root, "/api/ws"))
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn sections_of_one_app_are_its_keys() {
        let source = r#"
            [[ably]]
            key = "one.a:secret"
            retain = "5m"
            [[ably]]
            key = "one.b:other"
            capability = '{"room:*":["subscribe"]}'
            enabled = false
            [[ably]]
            key = "two.a:secret"
        "#;
        let config = read(source).unwrap();
        let [one, two] = &config.apps[..] else { panic!("{config:?}") };
        assert_eq!((&*one.id, &*one.prefix, &*two.id, &*two.prefix), ("one", "", "two", "two:"));
        assert_eq!((one.retain, two.retain), (Duration::from_secs(300), Duration::from_secs(120)));
        assert_eq!(
            (one.max_message, one.message_rate, one.presence_grace),
            (Size::kib(64), 50, Duration::from_secs(15))
        );
        assert_eq!(*one.keys[0].capability, Capability::all());
        assert_eq!(one.keys[1].capability.canonical(), r#"{"room:*":["subscribe"]}"#);
        assert!(one.keys[0].enabled && !one.keys[1].enabled);
        let owners: Vec<_> = config.parts().iter().map(|part| part.owner.to_string()).collect();
        assert_eq!(owners, ["ably:one", "ably:two"]);
        assert_eq!(read("").unwrap(), Config::default());
        assert!(read("[[ably]]\nkey = \"a.b:c\"").unwrap().parts().is_empty());
    }

    #[test]
    fn bad_values_are_problems_with_a_line() {
        for (source, line, what) in [
            ("[[ably]]\n", 1, "needs a key"),
            ("[[ably]]\nkey = \"a.b\"\n", 2, "no colon"),
            ("[[ably]]\nkey = \"a:b\"\n", 2, "a dot"),
            ("[[ably]]\nkey = \"a b.c:d\"\n", 2, "letters"),
            ("[[ably]]\nkey = \"a.b:c\"\nsecret_env = \"PATH\"\n", 3, "already"),
            ("[[ably]]\nkey = \"a.b\"\nsecret_env = \"NOT_THERE_AT_ALL\"\n", 3, "NOT_THERE_AT_ALL"),
            ("[[ably]]\nkey = \"a.b:c\"\ncapability = '{\"a\":[]}'\n", 3, "empty"),
            ("[[ably]]\nkey = \"a.b:c\"\nmessage_rate = 0\n", 3, "at least one message"),
            ("[[ably]]\nkey = \"a.b:c\"\nmax_message = 0\n", 3, "at least one byte"),
            ("[[ably]]\nkey = \"a.b:c\"\nretain = 2\n", 3, "duration"),
            ("[[ably]]\nkey = \"a.b:c\"\n[[ably]]\nkey = \"a.b:d\"\n", 4, "two keys a.b"),
            ("[[ably]]\nkey = \"a.b:c\"\n[[ably]]\nkey = \"a.c:d\"\nretain = \"1m\"\n", 5, "first section"),
            ("[[ably]]\nkey = \"a.b:c\"\nretian = \"1m\"\n", 3, "retain"),
        ] {
            let problems = read(source).unwrap_err();
            assert!(
                problems.contains(what) && problems.contains(&format!("proxy.toml:{line}:")),
                "{source}\n{problems}"
            );
        }
    }

    #[test]
    fn a_secret_may_be_in_the_environment() {
        let path = std::env::var("PATH").unwrap();
        let config = read("[[ably]]\nkey = \"a.b\"\nsecret_env = \"PATH\"\n").unwrap();
        assert!(config.apps[0].keys[0].key.has_secret(&path));
    }
}
