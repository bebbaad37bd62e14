//! Promise: every wrong value of `[listen]` and `[tls]` is said, with what would be right.

use doorway::config::Config;

/// The problems of a file, a line each.
fn problems(text: &str) -> Vec<String> {
    match Config::parse("proxy.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(|problem| problem.what.clone()).collect(),
    }
}

#[test]
fn right_values_have_no_problems() {
    let text = r#"
        [listen]
        http = ["0.0.0.0:80", "[::]:80"]
        https = "0.0.0.0:443"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        proxy_protocol = "require"
        proxy_protocol_timeout = "2s"
        max_connections = 100
        max_connections_per_address = 10
        backlog = 128
        tcp_keepalive = "2m"
        [tls]
        certificate = "a.pem"
        key = "a.key"
        min_version = "1.3"
        handshake_timeout = "3s"
        max_handshakes = 16
        [[tls.certificates]]
        certificate = "b.pem"
        key = "b.key"
    "#;
    assert_eq!(problems(text), Vec::<String>::new());
}

#[test]
fn wrong_values_are_named() {
    let cases = [
        ("[listen]\nhttp = \"80\"", "listen.http must be an address with a port"),
        ("[listen]\nhttp = [\"127.0.0.1:80\", 81]", "listen.http must be an address with a port"),
        ("[listen]\nhttp = [\"127.0.0.1:80\", \"127.0.0.1:80\"]", "127.0.0.1:80 is named twice"),
        (
            "[listen]\nhttp = \"0.0.0.0:80\"\nhttps = \"0.0.0.0:80\"\n[tls]\nself_signed = true",
            "0.0.0.0:80 is named twice",
        ),
        ("[listen]\nhttps = \"0.0.0.0:443\"", "listen.https needs a certificate"),
        ("[listen]\ntrusted_proxies = \"10.0.0.0/33\"", "listen.trusted_proxies must be an address or a network"),
        ("[listen]\nproxy_protocol = true", "listen.proxy_protocol must be one of"),
        ("[listen]\nproxy_protocol = \"v1\"", "listen.proxy_protocol must be one of"),
        ("[listen]\nproxy_protocol = \"accept\"", "listen.proxy_protocol has nobody to believe"),
        ("[listen]\nproxy_protocol_timeout = 5", "listen.proxy_protocol_timeout must be a duration"),
        ("[listen]\nproxy_protocol_timeout = \"0s\"", "listen.proxy_protocol_timeout must be from"),
        ("[listen]\nmax_connections = 0", "listen.max_connections must be at least 1"),
        ("[listen]\nmax_connections = -1", "listen.max_connections must be a whole number"),
        ("[listen]\nmax_connections_per_address = 0", "listen.max_connections_per_address must be at least 1"),
        ("[listen]\nbacklog = 0", "listen.backlog must be at least 1"),
        ("[listen]\ntcp_keepalive = \"1s\"", "listen.tcp_keepalive must be from"),
        ("[tls]\ncertificate = \"a.pem\"", "tls.certificate needs tls.key"),
        ("[tls]\nkey = \"a.pem\"", "tls.key needs tls.certificate"),
        ("[tls]\ncertificate = \"\"\nkey = \"a\"", "tls.certificate must be a path"),
        ("[tls]\nself_signed = 1", "tls.self_signed must be true or false"),
        (
            "[tls]\nself_signed = true\ncertificate = \"a\"\nkey = \"a\"",
            "tls.self_signed stands beside a real certificate",
        ),
        ("[tls]\nself_signed_names = \"https://a.test\"", "\"https://a.test\" in tls.self_signed_names is neither"),
        ("[tls]\nmin_version = \"1.1\"", "tls.min_version must be one of"),
        ("[tls]\nmin_version = 1.2", "tls.min_version must be one of"),
        ("[tls]\nhandshake_timeout = \"soon\"", "tls.handshake_timeout must be a duration"),
        ("[tls]\nhandshake_timeout = \"0s\"", "tls.handshake_timeout must be longer than 0"),
        ("[tls]\nmax_handshakes = 0", "tls.max_handshakes must be at least 1"),
        ("[tls]\ncertificates = \"a\"", "tls.certificates must be a list of tables"),
        ("[[tls.certificates]]\ncertificate = \"a\"", "an entry of tls.certificates needs `key`"),
        (
            "[[tls.certificates]]\ncertificate = \"a\"\nkey = \"a\"\nname = \"a\"",
            "unknown key `tls.certificates[].name`",
        ),
    ];
    for (text, expected) in cases {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{text}\n{found:?}");
        assert!(found[0].contains(expected), "{text}\n{found:?}");
    }
}
