//! What `/metrics` of a door says, as far as `doorway top` shows it.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const DAY: f64 = 86_400.0;

/// One line of the classic format: a name, its labels, a number.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

impl<'a> Sample<'a> {
    fn read(line: &'a str) -> Option<Sample<'a>> {
        let (series, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Sample { name, labels: labels.strip_suffix('}').unwrap_or(labels), value: value.parse().ok()? })
    }

    /// The value of a label, with `\"`, `\\` and `\n` as they were written.
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (key, behind) = rest.split_once("=\"")?;
            let mut is_escaped = false;
            let end = behind.find(|letter| {
                let ends = letter == '"' && !is_escaped;
                is_escaped = letter == '\\' && !is_escaped;
                ends
            })?;
            if key.trim_start_matches(',') == name {
                return Some(&behind[..end]);
            }
            rest = &behind[end + 1..];
        }
    }
}

/// The numbers of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub at: Instant,
    /// By name, summed over labels that are not shown.
    totals: BTreeMap<String, f64>,
    /// Requests that have ended, by class of status.
    pub statuses: BTreeMap<String, f64>,
    /// Of the time of requests: the upper bound of a bucket in seconds, and how many were at most that.
    pub buckets: Vec<(f64, f64)>,
    pub sockets: BTreeMap<String, f64>,
    /// Messages by direction.
    pub messages: BTreeMap<String, f64>,
    /// Days left, by certificate.
    pub certificates: BTreeMap<String, f64>,
    /// Which build of the app answers.
    pub build: Option<String>,
}

impl Reading {
    /// Reads the text of `/metrics`; what is not known is passed over.
    pub fn read(text: &str) -> Reading {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut reading = Reading {
            at: Instant::now(),
            totals: BTreeMap::new(),
            statuses: BTreeMap::new(),
            buckets: Vec::new(),
            sockets: BTreeMap::new(),
            messages: BTreeMap::new(),
            certificates: BTreeMap::new(),
            build: None,
        };
        let add = |map: &mut BTreeMap<String, f64>, key: Option<&str>, value: f64| {
            *map.entry(key.unwrap_or_default().to_owned()).or_default() += value;
        };
        for sample in text.lines().filter_map(Sample::read) {
            let Sample { name, value, .. } = sample;
            match name {
                "doorway_http_requests_total" => add(&mut reading.statuses, sample.label("status"), value),
                "doorway_http_request_seconds_bucket" => {
                    let bound = sample.label("le").and_then(|bound| bound.replace("+Inf", "inf").parse().ok());
                    let Some(bound) = bound else { continue };
                    match reading.buckets.iter_mut().find(|(known, _)| *known == bound) {
                        Some((_, count)) => *count += value,
                        None => reading.buckets.push((bound, value)),
                    }
                }
                "doorway_realtime_sockets" => add(&mut reading.sockets, sample.label("dialect"), value),
                "doorway_realtime_messages_total" => add(&mut reading.messages, sample.label("direction"), value),
                "doorway_tls_certificate_not_after_timestamp_seconds" => {
                    let name = sample.label("certificate").unwrap_or_default().to_owned();
                    reading.certificates.insert(name, ((value - now) / DAY).floor());
                }
                "doorway_upstream_build_running" => reading.build = sample.label("build").map(str::to_owned),
                _ => add(&mut reading.totals, Some(name), value),
            }
        }
        reading
    }

    /// The sum of all lines of this name; 0 where there is none.
    pub fn total(&self, name: &str) -> f64 {
        self.totals.get(name).copied().unwrap_or_default()
    }

    /// Whether it is the text of a door at all.
    pub fn is_door(&self) -> bool {
        !self.statuses.is_empty()
    }
}

/// Which share `quantile` of the requests between two readings took at most, in seconds, as `histogram_quantile` of Prometheus
/// has it; `None` where there were none.
pub fn quantile(before: &[(f64, f64)], now: &[(f64, f64)], quantile: f64) -> Option<f64> {
    let counted = |bound: f64| before.iter().find(|(known, _)| *known == bound).map_or(0.0, |(_, count)| *count);
    let buckets: Vec<_> = now.iter().map(|(bound, count)| (*bound, (count - counted(*bound)).max(0.0))).collect();
    let all = buckets.last().map(|(_, count)| *count).filter(|all| *all > 0.0)?;
    let (rank, mut lower) = (quantile * all, (0.0, 0.0));
    for (bound, count) in buckets {
        if count >= rank {
            // Nothing is known of how long those beyond the last bound took.
            let is_open = bound.is_infinite() || count <= lower.1;
            let within = (rank - lower.1) / (count - lower.1);
            return Some(if is_open { lower.0 } else { lower.0 + (bound - lower.0) * within });
        }
        lower = (bound, count);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_summed_up() {
        let text = "# HELP x y\ndoorway_http_requests_total{method=\"GET\",status=\"2xx\"} 3\n\
                    doorway_http_requests_total{method=\"PUT\",status=\"2xx\"} 4\n\
                    doorway_http_request_seconds_bucket{route=\"page\",le=\"0.1\"} 1\n\
                    doorway_http_request_seconds_bucket{route=\"api\",le=\"0.1\"} 2\n\
                    doorway_http_request_seconds_bucket{route=\"api\",le=\"+Inf\"} 2\n\
                    doorway_upstream_build_running{build=\"a \\\"b\\\", c\"} 1\n\
                    process_resident_memory_bytes 1000000.0\nnonsense\n";
        let reading = Reading::read(text);
        assert!(reading.is_door());
        assert_eq!(reading.statuses["2xx"], 7.0);
        assert_eq!(reading.buckets, [(0.1, 3.0), (f64::INFINITY, 2.0)]);
        assert_eq!(reading.build.as_deref(), Some("a \\\"b\\\", c"));
        assert_eq!(reading.total("process_resident_memory_bytes"), 1e6);
        assert!(!Reading::read("<html>").is_door());
    }

    #[test]
    fn a_quantile_is_between_two_bounds() {
        let now = [(0.1, 50.0), (0.2, 100.0), (f64::INFINITY, 100.0)];
        assert_eq!(quantile(&[], &now, 0.5), Some(0.1));
        assert_eq!(quantile(&[], &now, 0.75), Some(0.15000000000000002));
        assert_eq!(quantile(&now, &now, 0.5), None);
        assert_eq!(quantile(&[], &[(0.1, 0.0), (f64::INFINITY, 5.0)], 0.99), Some(0.1));
    }
}
