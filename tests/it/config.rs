//! Promise: `proxy.toml` is the documented default, and bad files get errors that name the place.

use doorway::config::Config;

const DOCUMENTED: &str = include_str!("../../proxy.toml");

/// The file with its commented keys made real.
fn uncommented() -> String {
    let is_key = |text: &str| {
        text.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let lines = DOCUMENTED.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if is_key(rest) || rest.starts_with('[') => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_file_is_the_default() {
    let parsed = Config::parse("proxy.toml", DOCUMENTED).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(parsed, Config::default());
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut documented = Vec::new();
    paths("", &table, &mut documented);
    let mut known = Config::keys(&text);
    documented.sort();
    documented.dedup();
    known.sort();
    known.dedup();
    assert_eq!(documented, known);
}

fn paths(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        found.push(path.clone());
        match value {
            toml::Value::Table(inner) => paths(&path, inner, found),
            toml::Value::Array(items) => {
                for item in items.iter().filter_map(toml::Value::as_table) {
                    paths(&format!("{path}[]"), item, found);
                }
            }
            _ => {}
        }
    }
}

/// The keys at which `proxy.toml` says "(restart)", on their own line or on one that goes on from it.
fn marked() -> Vec<String> {
    let (mut section, mut key, mut marked) = (String::new(), String::new(), Vec::new());
    for line in DOCUMENTED.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = text.strip_prefix('[') {
            section = name.trim_start_matches('[').split(']').next().unwrap().to_owned();
        } else if let Some((name, _)) = text.split_once(" = ")
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            key = format!("{section}.{name}");
        }
        // The words at the top say what the mark means.
        if line.contains("(restart)") && !section.is_empty() {
            marked.push(key.clone());
        }
    }
    marked.sort();
    marked
}

/// A file that gives `key` another value than its default, and nothing else that matters.
fn other_value(key: &str, default: Option<&toml::Value>) -> Option<String> {
    let (section, name) = key.rsplit_once('.').expect("a key of a section");
    let special = match key {
        // What must stand beside others.
        "listen.https" => Some("[listen]\nhttps = \"127.0.0.1:443\"\n[tls]\nself_signed = true".to_owned()),
        // A process of its own; what the paths lead to is not looked at here.
        "app.dir" => Some("[app]\ndir = \"somewhere\"".to_owned()),
        "listen.proxy_protocol" => {
            Some("[listen]\nproxy_protocol = \"accept\"\ntrusted_proxies = \"10.0.0.0/8\"".to_owned())
        }
        "realtime.tokens.required" => {
            let secret = "secret = \"a secret of at least thirty-two bytes\"";
            Some(format!("[realtime.tokens]\nrequired = true\n{secret}"))
        }
        // What is more particular than a text.
        "tls.domains" => Some("[tls]\ndomains = \"example.com\"".to_owned()),
        "tls.acme.email" => Some("[tls.acme]\nemail = \"me@example.com\"".to_owned()),
        "tls.acme.challenge" => Some("[tls.acme]\nchallenge = \"tls-alpn-01\"".to_owned()),
        "tls.acme.fallback_eab_key_id" | "tls.acme.fallback_eab_key_file" => Some(
            "[tls.acme]\nfallback = \"zerossl\"\nfallback_eab_key_id = \"kid\"\nfallback_eab_key_file = \"/other\""
                .to_owned(),
        ),
        "tls.acme.eab_key_id" | "tls.acme.eab_key_file" => {
            Some("[tls.acme]\neab_key_id = \"kid\"\neab_key_file = \"/other\"".to_owned())
        }
        "realtime.redis.url" => Some("[realtime.redis]\nurl = \"redis://other\"".to_owned()),
        "realtime.redis.prefix" => Some("[realtime.redis]\nurl = \"redis://other\"\nprefix = \"other\"".to_owned()),
        "realtime.redis.node_timeout" | "realtime.redis.message_patience" => {
            Some(format!("[realtime.redis]\nurl = \"redis://other\"\n{name} = \"7s\""))
        }
        "realtime.redis.replicas" => Some("[realtime.redis]\nurl = \"redis://other\"\nreplicas = 1".to_owned()),
        "realtime.redis.peer" => Some("[realtime.redis]\nurl = \"redis://other\"\npeer = \"other:1\"".to_owned()),
        "realtime.redis.peer_listen" => {
            Some("[realtime.redis]\nurl = \"redis://other\"\npeer_listen = \"[::1]:1\"\npeer = \"other:1\"".to_owned())
        }
        "realtime.redis.ca_file" => Some("[realtime.redis]\nurl = \"rediss://other\"\nca_file = \"/other\"".to_owned()),
        "documents.store" => Some("[documents]\nstore = \"disk\"".to_owned()),
        "app.build" => Some("[app]\ndir = \"somewhere\"\nbuild = \"never\"".to_owned()),
        "app.dev" => Some("[app]\ndir = \"somewhere\"\ndev = true".to_owned()),
        _ => None,
    };
    let candidates = match default {
        Some(toml::Value::Boolean(value)) => vec![(!value).to_string()],
        Some(toml::Value::Integer(value)) => {
            vec![(value + 1).to_string(), (value - 1).to_string(), "\"12345\"".into(), "\"7s\"".into()]
        }
        Some(toml::Value::Float(value)) => vec![(value + 1.0).to_string(), (value / 2.0).to_string()],
        _ => OTHERS.iter().map(|value| (*value).to_owned()).collect(),
    };
    let files = candidates.iter().map(|value| format!("[{section}]\n{name} = {value}\n"));
    special
        .into_iter()
        .chain(files)
        .find(|text| Config::parse("other", text).is_ok_and(|other| other != Config::default()))
}

/// Values of every kind that a key can have.
const OTHERS: &[&str] = &[
    "\"7s\"",
    "\"300KiB\"",
    "\"2MiB\"",
    "\"9KiB\"",
    "\"127.0.0.1:9\"",
    "\"unix:/somewhere\"",
    "\"off\"",
    "\"others\"",
    "\"json\"",
    "\"1.3\"",
    "\"accept\"",
    "\"/other\"",
    "\"other\"",
    "\"10.0.0.0/8\"",
    "\"gzip\"",
    "\"connect\"",
    "\"https://other.test\"",
    "{ OTHER = \"value\" }",
    "7",
    "\"a token of at least thirty-two characters\"",
    "\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"",
    "\"text/html\"",
    "\"pk_other\"",
    "\"sk_another_of_enough_bytes\"",
    "\"read\"",
];

#[test]
fn restart_stands_at_the_keys_that_need_one_and_at_no_other() {
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap();
    let mut needing = Vec::new();
    let mut untried = Vec::new();
    for key in Config::keys("").into_iter().filter(|key| key.contains('.')) {
        let documented =
            key.split('.').try_fold(&toml::Value::Table(table.clone()), |value, part| value.get(part)).cloned();
        if documented.as_ref().is_some_and(|value| value.is_table() && key != "app.env") {
            continue; // a section, whose keys come by themselves
        }
        match other_value(&key, documented.as_ref()) {
            Some(other) => {
                let other = Config::parse("other", &other).unwrap_or_else(|problems| panic!("{problems}"));
                needing.extend(other.needs_restart(&Config::default()).into_iter().map(str::to_owned));
            }
            None => untried.push(key),
        }
    }
    needing.sort();
    needing.dedup();
    untried.sort();
    assert_eq!(needing, marked());
    assert_eq!(untried, UNTRIED);
}

/// Keys that no text alone can change: lists of tables, names of files that are read at once, and one that needs those.
const UNTRIED: &[&str] = &[
    "api.token_file",
    "callbacks.secret_env",
    "callbacks.secret_file",
    "callbacks.url",
    "realtime.ably",
    "realtime.channel",
    "realtime.documents.webhooks",
    "realtime.liveblocks.more_secrets",
    "realtime.liveblocks.secret_env",
    "realtime.liveblocks.secret_file",
    "realtime.liveblocks.webhooks",
    "realtime.pusher",
    "realtime.socketio",
    "realtime.tokens.jwks",
    "realtime.tokens.public_key",
    "realtime.tokens.secret_file",
    "tls.acme.secret_env",
    "tls.acme.secret_file",
    "tls.certificate",
    "tls.certificates",
    "tls.key",
];

#[test]
fn sections_reload_unless_all_their_keys_need_a_restart() {
    let reload = [
        include_str!("../../src/server/services.rs"),
        include_str!("../../src/server/reload.rs"),
        include_str!("../../src/server/run.rs"),
    ];
    let (_, after) = reload[0].split_once("pub fn reload").expect("Services::reload");
    let (rooms, _) = after.split_once("\n    }\n").expect("its end");
    let marked = marked();
    let text = uncommented();
    let table: toml::Table = toml::from_str(&text).unwrap();
    for (section, keys) in &table {
        let is_all_marked = keys.as_table().unwrap().keys().all(|key| marked.contains(&format!("{section}.{key}")));
        let is_handed_over = rooms.contains(&format!("config.{section}"))
            || reload[1].contains(&format!("log::reload(&config.{section})"))
            // Services take these with others, and the drain asks for the config of the day.
            || match section.as_str() {
                "http" => rooms.contains("settings(config)"),
                "app" => rooms.contains("supervised(config"),
                "drain" => reload[2].contains("self.config.drain.timeout") && reload[2].contains("self.config = config"),
                _ => false,
            };
        assert!(
            is_all_marked || is_handed_over,
            "[{section}] is not handed to its room: mark its keys or hand it over"
        );
    }
}

#[test]
fn documented_file_begins_with_its_sections() {
    let (contents, rest) = DOCUMENTED.split_once("\n\n").expect("a head");
    let named = |text: &str| -> Vec<String> {
        let opening = text.match_indices('[').filter(|(at, _)| !text[..*at].ends_with('['));
        opening.map(|(at, _)| text[at..].trim_start_matches('[').split(']').next().unwrap().to_owned()).collect()
    };
    let listed: Vec<String> = contents.lines().skip_while(|line| *line != "#").flat_map(named).collect();
    let is_header = |line: &&str| {
        let line = line.strip_prefix("# ").unwrap_or(line);
        line.starts_with('[') && line.split('#').next().is_some_and(|line| line.trim_end().ends_with(']'))
    };
    let inner = [
        "tls.certificates",
        "tls.acme",
        "realtime.pusher.webhooks",
        "realtime.pusher.more_keys",
        "realtime.liveblocks.more_secrets",
        "realtime.liveblocks.webhooks",
        "realtime.documents.webhooks",
    ];
    let headers = rest.lines().filter(is_header).map(|line| line.strip_prefix("# ").unwrap_or(line));
    let there: Vec<String> = headers
        .flat_map(|line| named(line.split('#').next().unwrap()))
        .filter(|name| !inner.contains(&name.as_str()))
        .collect();
    assert_eq!(listed, there);
    for line in DOCUMENTED.lines() {
        assert!(line.chars().count() <= 120, "longer than 120 characters: {line}");
    }
}

/// Every problem of `text`, as "line:column what (help)".
fn problems(text: &str) -> Vec<String> {
    let Err(problems) = Config::parse("proxy.toml", text) else { return Vec::new() };
    let report = problems.to_string();
    problems
        .iter()
        .map(|problem| {
            let place = problems.place(problem);
            assert!(report.contains(&place) && report.contains(&problem.what), "{place} {} in {report}", problem.what);
            let place = place.strip_prefix("proxy.toml:").expect("the file").to_owned();
            format!("{place} {} ({})", problem.what, problem.help.as_deref().unwrap_or_default())
        })
        .collect()
}

#[test]
fn values_of_every_kind_say_what_they_should_have_been() {
    for (text, expected) in [
        ("[listen]\nhttp = \"8080\"", "2:8 listen.http must be an address with a port, as in \"0.0.0.0:8080\""),
        ("[listen]\nhttp = 8080", "2:8 listen.http must be an address with a port"),
        ("[listen]\nhttp = [\"0.0.0.0:80\", \"nonsense\"]", "2:8 listen.http must be an address with a port"),
        ("[listen]\nhttp = \"0.0.0.0:99999\"", "2:8 listen.http must be an address with a port"),
        ("[listen]\ntrusted_proxies = \"10.0.0.0/99\"", "2:19 listen.trusted_proxies must be an address or a network"),
        ("[listen]\nbacklog = -1", "2:11 listen.backlog must be a whole number from 0 to 4294967295"),
        ("[listen]\nbacklog = \"many\"", "2:11 listen.backlog must be a whole number"),
        ("[listen]\nbacklog = 1.5", "2:11 listen.backlog must be a whole number"),
        ("[listen]\nbacklog = 99999999999", "2:11 listen.backlog must be a whole number"),
        (
            "[drain]\ntimeout = 25",
            "2:11 drain.timeout must be a duration with its unit, as in \"500ms\", \"30s\" or \"2m\"",
        ),
        ("[drain]\ntimeout = \"25\"", "2:11 drain.timeout must be a duration"),
        ("[drain]\ntimeout = \"-1s\"", "2:11 drain.timeout must be a duration"),
        ("[drain]\ntimeout = true", "2:11 drain.timeout must be a duration"),
        ("[compress]\nmin_size = \"1 KiX\"", "2:12 compress.min_size must be a size in bytes, as in \"64KiB\""),
        ("[compress]\nenabled = \"yes\"", "2:11 compress.enabled must be true or false"),
        ("[tls]\nself_signed = 1", "2:15 tls.self_signed must be true or false"),
        ("[app]\ndir = 5", "2:7 app.dir must be a path, in quotes"),
        ("[realtime]\npath = 5", "2:8 realtime.path must be "),
        ("[realtime]\norigins = \"example.com\"", "\"example.com\" is no origin"),
        (
            "[realtime.plain]\nbroadcast = \"some\"",
            "2:13 realtime.plain.broadcast must be one of: \"all\" \"others\" \"off\"",
        ),
        (
            "[admin]\nlisten = \"9080\"",
            "2:10 admin.listen must be an address with a port, as in \"127.0.0.1:9080\", or \"off\"",
        ),
        ("[admin]\nlisten = false", "2:10 admin.listen must be an address with a port"),
        ("[log]\nformat = \"JSON\"", "2:10 log.format must be one of: \"auto\" \"human\" \"json\""),
        ("[log]\nlevel = \"verbose=maybe\"", "2:9 log.level cannot be understood"),
        ("[log]\nlevel = 3", "2:9 log.level must be a string"),
        ("drain = 5", "1:9 drain must be a table, as in [drain]"),
        ("[[drain]]", "drain must be a table, as in [drain]"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].contains(expected), "{text:?}: {found:?}");
    }
}

#[test]
fn keys_that_do_not_exist_suggest_the_nearest() {
    for (text, expected) in [
        ("[listen]\nhtpp = \"x\"", "2:1 unknown key `listen.htpp` (did you mean `http`?)"),
        ("[drains]\n", "1:2 unknown key `drains` (did you mean `drain`?)"),
        ("[drain]\ntime_out = \"1s\"", "2:1 unknown key `drain.time_out` (did you mean `timeout`?)"),
        ("[realtime.plian]\n", "1:11 unknown key `realtime.plian` (did you mean `plain`?)"),
        ("[admin]\nport = 9080", "2:1 unknown key `admin.port` (known here: listen, hosts)"),
        ("timeout = 5", "1:1 unknown key `timeout` (known here: "),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text:?}: {found:?}");
        assert!(found[0].contains(expected), "{text:?}: {found:?}");
    }
}

#[test]
fn every_problem_comes_at_once_in_the_order_of_the_file() {
    let text = "\
[drain]
timeout = 5

[listne]
http = \"0.0.0.0:80\"

[log]
format = \"xml\"
leevl = \"info\"

[admin]
listen = 9080
";
    let found = problems(text);
    let places: Vec<_> = found.iter().map(|problem| problem.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["2:11", "4:2", "8:10", "9:1", "12:10"], "{found:#?}");
}

#[test]
fn text_that_is_not_toml_is_told_with_its_place() {
    for (text, place) in [
        ("[listen", "1:8"),
        ("[listen]\nhttp = ", "2:8"),
        ("[listen]\nhttp = \"open\n[log]\nlevel = \"info\"", "2:"),
        ("a = 1\na = 2", "2:1"),
        ("= 5", "1:1"),
    ] {
        let found = problems(text);
        assert!(
            found.iter().any(|problem| problem.starts_with(place) && problem.contains("not TOML")),
            "{text:?}: {found:?}"
        );
    }
}

#[test]
fn columns_count_characters() {
    let found = problems("[log]\nformat = \"é\" # é\n\"é\" = 1");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("2:10 "), "{found:?}");
    assert!(found[1].starts_with("3:1 "), "{found:?}");
}

#[test]
fn sections_that_need_each_other_say_so() {
    let found = problems("[listen]\nhttps = \"0.0.0.0:443\"");
    assert!(found.iter().any(|problem| problem.contains("needs a certificate")), "{found:?}");
    let found = problems("[tls]\ncertificate = \"a.pem\"");
    assert!(found.iter().any(|problem| problem.contains("key")), "{found:?}");
    let found = problems("[realtime.tokens]\nrequired = true");
    assert!(found.iter().any(|problem| problem.starts_with("2:12 ") && problem.contains("needs a key")), "{found:?}");
}

#[test]
fn no_text_at_all_makes_it_panic() {
    // Every prefix of the documented file, and the file with each of its lines twice.
    for end in (0..DOCUMENTED.len()).filter(|end| DOCUMENTED.is_char_boundary(*end)).step_by(7) {
        let _ = Config::parse("proxy.toml", &DOCUMENTED[..end]).map_err(|problems| problems.to_string());
    }
    let doubled: String = DOCUMENTED.lines().map(|line| format!("{line}\n{line}\n")).collect();
    assert!(Config::parse("proxy.toml", &doubled).is_err());
}
