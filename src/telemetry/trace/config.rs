//! The section `[telemetry]`.

use http::Uri;

use crate::settings::Section;

/// The section `[telemetry]`: traces. Default none.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceConfig {
    /// Each request has a trace, named to the app as `traceparent` and in its line of the log. Default false: an app without
    /// OpenTelemetry has no use for it, and a client's own header goes on as any other. `otlp` implies it.
    pub trace: bool,
    /// Where spans are sent, as OTLP over HTTP: the collector's address; `/v1/traces` is added. No default: they are not kept.
    pub otlp: Option<String>,
    /// The share of traces begun here that are sampled, 0 to 1: by the door, and by an app that goes by its parent. Default
    /// 0.01.
    pub sample: f64,
    /// What the door is called among services. Default `doorway`.
    pub service: String,
}

impl Default for TraceConfig {
    fn default() -> Self {
        TraceConfig { trace: false, otlp: None, sample: 0.01, service: "doorway".into() }
    }
}

impl TraceConfig {
    pub fn read(section: &Section) -> TraceConfig {
        let default = TraceConfig::default();
        let mut config = TraceConfig {
            trace: section.value("trace", default.trace),
            otlp: section.optional("otlp"),
            sample: section.value("sample", default.sample),
            service: section.value("service", default.service),
        };
        if !(0.0..=1.0).contains(&config.sample) {
            section.problem(
                "sample",
                "telemetry.sample must be from 0 to 1",
                Some("as in 0.01 for one trace of a hundred"),
            );
            config.sample = default.sample;
        }
        if config.otlp.as_deref().is_some_and(|text| address(text).is_none()) {
            let help = "http or https, host and port, as in \"http://127.0.0.1:4318\"";
            section.problem("otlp", "telemetry.otlp must be the address of a collector", Some(help));
            config.otlp = None;
        }
        config
    }

    /// The keys that differ from `started` and that only a restart can change.
    pub fn needs_restart(&self, started: &TraceConfig) -> Vec<&'static str> {
        let changed =
            [("telemetry.otlp", self.otlp != started.otlp), ("telemetry.service", self.service != started.service)];
        changed.into_iter().filter_map(|(key, is_other)| is_other.then_some(key)).collect()
    }

    /// Whether requests have traces.
    pub fn is_on(&self) -> bool {
        self.trace || self.otlp.is_some()
    }

    /// Where spans are sent: the address with the path of OTLP, where it has not got that already.
    pub fn endpoint(&self) -> Option<String> {
        self.otlp.as_deref().and_then(address)
    }
}

const PATH: &str = "/v1/traces";

fn address(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_http || uri.authority()?.as_str().contains('@') || uri.host()?.is_empty() || uri.query().is_some() {
        return None;
    }
    let base = text.trim_end_matches('/');
    Some(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_otlp_is_added() {
        for (text, expected) in [
            ("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces")),
            ("http://127.0.0.1:4318/", Some("http://127.0.0.1:4318/v1/traces")),
            ("https://otel.test/v1/traces", Some("https://otel.test/v1/traces")),
            ("https://otel.test/mine", Some("https://otel.test/mine/v1/traces")),
            ("127.0.0.1:4318", None),
            ("grpc://127.0.0.1:4317", None),
            ("https://user:word@otel.test", None),
            ("/v1/traces", None),
        ] {
            assert_eq!(address(text).as_deref(), expected, "{text}");
        }
    }
}
