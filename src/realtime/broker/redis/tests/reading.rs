//! The section and the URL.

use crate::realtime::broker::redis::{Config, Deployment, RedisAddress, RedisHost};
use crate::settings;

fn read(source: &str, variable: Option<&str>) -> Result<Option<Config>, String> {
    let variable = variable.map(str::to_owned);
    settings::read("proxy.toml", source, |root| Config::read_with(root, variable)).map_err(|wrong| wrong.to_string())
}

fn address(text: &str) -> RedisAddress {
    RedisAddress::read(text).unwrap()
}

#[test]
fn a_url_says_where_redis_is() {
    let tcp = |host: &str, port| RedisHost::Tcp { host: host.into(), port };
    let short = address("redis://127.0.0.1");
    assert_eq!(short.deployment, Deployment::Single(tcp("127.0.0.1", 6379)));
    assert_eq!((short.is_secure, short.database, short.login.password), (false, 0, None));
    let full = address("rediss://app:p%40ss%2Fword@redis.test:7000/3");
    assert_eq!(full.deployment, Deployment::Single(tcp("redis.test", 7000)));
    assert_eq!((full.is_secure, full.database), (true, 3));
    assert_eq!(full.login.user.as_deref(), Some("app"));
    assert_eq!(full.login.password.as_deref(), Some("p@ss/word"));
    assert_eq!(address("redis://:secret@[::1]:7/").deployment, Deployment::Single(tcp("::1", 7)));
    assert_eq!(
        address("unix:///run/redis.sock").deployment,
        Deployment::Single(RedisHost::Unix("/run/redis.sock".into()))
    );
    let sentinel = address("redis+sentinel://a:1,b/doors/2");
    let sentinels = vec![tcp("a", 1), tcp("b", 26379)];
    assert_eq!(sentinel.deployment, Deployment::Sentinel { sentinels, name: "doors".into() });
    assert_eq!(sentinel.database, 2);
    let cluster = address("rediss+cluster://:secret@a:1,[::1],b");
    let hosts = vec![tcp("a", 1), tcp("::1", 6379), tcp("b", 6379)];
    assert_eq!((cluster.deployment, cluster.is_secure, cluster.database), (Deployment::Cluster(hosts), true, 0));
    assert_eq!(cluster.login.password.as_deref(), Some("secret"));
    assert_eq!(address("redis+cluster://a:1,b/0").to_string(), "redis+cluster://a:1,b:6379");
}

#[test]
fn several_servers_are_a_cluster() {
    let several = |text: &str| read(&format!("url = [{text}]"), None).map(|found| found.unwrap().url);
    assert_eq!(several("\"redis://a\"").unwrap(), address("redis://a"));
    let two = several("\"redis://:p@a\", \"redis://:p@b:7\"").unwrap();
    assert_eq!(two, address("redis+cluster://:p@a,b:7"));
    for (text, why) in [
        ("\"redis://a\", \"rediss://b\"", "all with TLS or none"),
        ("\"redis://:x@a\", \"redis://:y@b\"", "one user and password"),
        ("\"redis://a\", \"redis://b/1\"", "redis+cluster://host,host"),
        ("\"redis://a\", \"unix:///b\"", "redis+cluster://host,host"),
        ("", "a URL of Redis is missing"),
    ] {
        let found = several(text).unwrap_err();
        assert!(found.contains(why), "{text}: {found}");
    }
}

#[test]
fn a_wrong_url_says_what_is_wrong_with_it() {
    for (wrong, why) in [
        ("127.0.0.1:6379", "begins with redis://"),
        ("http://127.0.0.1", "begins with redis://"),
        ("redis://", "names a host"),
        ("redis://secret@host", "behind a colon"),
        ("redis://host:99999", "a port is"),
        ("redis://host/x", "a database is"),
        ("redis://host/-1", "a database is"),
        ("redis://host?protocol=resp3", "neither ? nor #"),
        ("redis://[::1", "[ and ]"),
        ("redis+sentinel://host", "name that Sentinel watches"),
        ("unix://host/x", "followed by a path"),
        ("redis://a,b", "redis+cluster://host,host"),
        ("redis+cluster://a,b/1", "one database, 0"),
        ("redis+cluster://", "names a host"),
        ("redis+clusters://a", "begins with redis://"),
    ] {
        let found = RedisAddress::read(wrong).unwrap_err();
        assert!(found.contains(why), "{wrong}: {found}");
    }
}

#[test]
fn a_password_is_never_written() {
    for url in ["redis://app:s3cret@host/1", "redis+sentinel://:s3cret@host/doors", "unix://:s3cret@/run/r.sock"] {
        let config = Config::at(address(url));
        for text in [format!("{config:?}"), config.url.to_string()] {
            assert!(!text.contains("s3cret"), "{text}");
        }
    }
    let wrong = read("url = \"redis://app:s3cret@host/x\"", None).unwrap_err();
    assert!(!wrong.split('\n').any(|line| line.contains("must be") && line.contains("s3cret")), "{wrong}");
}

#[test]
fn without_a_url_there_is_no_redis() {
    assert_eq!(read("", None).unwrap(), None);
    assert_eq!(read("", Some(" ")).unwrap(), None);
    let wrong = read("prefix = \"x\"", None).unwrap_err();
    assert!(wrong.contains("DOORWAY_REDIS_URL says where Redis is"), "{wrong}");
}

#[test]
fn the_environment_comes_before_the_file() {
    let found = read("url = \"redis://a\"\nprefix = \"x\"\nreplicas = 1", Some("redis://b")).unwrap().unwrap();
    assert_eq!((found.url.to_string(), found.prefix.as_str(), found.replicas), ("redis://b:6379".into(), "x", 1));
    let wrong = read("", Some("http://s3cret")).unwrap_err();
    assert!(wrong.contains("DOORWAY_REDIS_URL: a URL of Redis begins"), "{wrong}");
}

#[test]
fn what_cannot_be_is_said_with_its_key() {
    for (source, why) in [
        ("url = \"redis://a\"\nprefix = \"{x}\"", "prefix is 1 to 64"),
        ("url = \"redis://a\"\nnode_timeout = \"1s\"", "node_timeout is from 3s"),
        ("url = \"redis://a\"\nmessage_patience = \"2m\"", "message_patience is from"),
        ("url = \"redis://a\"\nreplicas = 99", "replicas is at most"),
        ("url = \"redis://a\"\nca_file = \"x.pem\"", "ca_file is for rediss"),
        ("url = \"redis:/a\"", "begins with redis://"),
        ("url = 3", "must be a URL"),
    ] {
        let found = read(source, None).unwrap_err();
        assert!(found.contains(why), "{source}: {found}");
    }
}
