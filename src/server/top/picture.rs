//! Two readings as lines for a terminal of any width.

use std::collections::BTreeMap;

use super::reading::{Reading, quantile};

/// The widest name of a line, and the gap behind it.
const MARGIN: usize = 14;

/// What is known of the door besides its numbers.
pub struct Title {
    pub urls: String,
    pub pid: Option<u32>,
    /// `ready`, or why not.
    pub state: String,
}

/// The picture: how it is `now`, and what has happened since `before`. No line is longer than `width`.
pub fn draw(title: &Title, before: &Reading, now: &Reading, width: usize) -> Vec<String> {
    let seconds = now.at.duration_since(before.at).as_secs_f64().max(0.001);
    let rate = |before: f64, now: f64| short((now - before).max(0.0) / seconds);
    let of = |map: &BTreeMap<String, f64>, key: &str| map.get(key).copied().unwrap_or_default();
    // From 0.0: what std has for the sum of nothing is -0.0.
    let sum = |map: &BTreeMap<String, f64>| map.values().fold(0.0, |sum, value| sum + value);
    let count = |name| short(now.total(name));
    let mut lines = Vec::new();
    let mut row = |name: &str, items: Vec<String>| wrap(name, &items, width, &mut lines);

    let pid = title.pid.map(|pid| format!("pid {pid}"));
    let up = format!("up {}", age(now.total("process_uptime_seconds")));
    row("doorway", [title.urls.clone(), title.state.clone()].into_iter().chain(pid).chain([up]).collect());

    let build = now.build.clone().filter(|build| build != "unknown").map(|build| format!("build {build}"));
    let app = [
        ("starts", "doorway_upstream_starts_total"),
        ("connections", "doorway_upstream_connections"),
        ("waiting", "doorway_upstream_waiting"),
    ];
    let app = app.map(|(word, name)| format!("{word} {}", count(name)));
    let ready = if now.total("doorway_upstream_ready") > 0.0 { "answers" } else { "does not answer" };
    row("app", [ready.to_owned()].into_iter().chain(build).chain(app).collect());

    let mut items = vec![format!("{}/s", rate(sum(&before.statuses), sum(&now.statuses)))];
    let classes = now.statuses.keys().filter(|class| of(&now.statuses, class) > 0.0);
    items.extend(
        classes.map(|class| format!("{class} {}/s", rate(of(&before.statuses, class), of(&now.statuses, class)))),
    );
    items.push(format!("under way {}", count("doorway_http_requests_in_flight")));
    row("requests", items);

    let times = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)];
    let times = times.map(|(word, share)| {
        let took = quantile(&before.buckets, &now.buckets, share).map_or_else(|| "-".to_owned(), duration);
        format!("{word} {took}")
    });
    row("latency", times.to_vec());

    let mut items = vec![short(sum(&now.sockets))];
    items.extend(
        now.sockets
            .iter()
            .filter(|(_, open)| **open > 0.0)
            .map(|(dialect, open)| format!("{dialect} {}", short(*open))),
    );
    row("sockets", items);

    let directions = now.messages.keys();
    let messages = directions.map(|key| format!("{key} {}/s", rate(of(&before.messages, key), of(&now.messages, key))));
    row("messages", messages.collect());

    let memory = format!("{:.1} MB", now.total("process_resident_memory_bytes") / 1e6);
    let processor = now.total("process_cpu_seconds_total") - before.total("process_cpu_seconds_total");
    let connections =
        format!("connections {} of {}", count("doorway_connections_open"), count("doorway_connections_limit"));
    row("door", vec![memory, format!("processor {:.0} %", processor.max(0.0) / seconds * 100.0), connections]);

    if !now.certificates.is_empty() {
        let days = now.certificates.iter().map(|(name, days)| format!("{name} {days} days"));
        row("certificates", days.collect());
    }
    lines
}

/// Puts `items` behind `name`, on as many lines as they need; one that is too long alone is cut.
fn wrap(name: &str, items: &[String], width: usize, lines: &mut Vec<String>) {
    let margin = MARGIN.min(width / 3);
    let mut line = format!("{:margin$}", cut(name, margin.saturating_sub(1)));
    let mut is_empty = true;
    for item in items {
        // What the app or a file calls itself may say anything, but not to the terminal.
        let item: String = item.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
        if !is_empty && line.chars().count() + 2 + item.chars().count() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(margin)));
            is_empty = true;
        }
        if !is_empty {
            line.push_str("  ");
        }
        line.push_str(&item);
        is_empty = false;
    }
    lines.push(line);
    lines.iter_mut().for_each(|line| *line = cut(line.trim_end(), width));
}

fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// With three digits that count: `3`, `12.5`, `1.2k`, `34M`.
fn short(number: f64) -> String {
    let (number, unit) = match number {
        small if small < 1e4 => (small, ""),
        kilo if kilo < 1e6 => (kilo / 1e3, "k"),
        large => (large / 1e6, "M"),
    };
    if number.fract() < 0.05 || number >= 100.0 { format!("{number:.0}{unit}") } else { format!("{number:.1}{unit}") }
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 0.001 => format!("{:.1} ms", short * 1e3),
        usual if usual < 1.0 => format!("{:.0} ms", usual * 1e3),
        long => format!("{long:.1} s"),
    }
}

/// As `3d 4h`: the two largest units.
fn age(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let parts = units.iter().filter_map(|(size, unit)| {
        let count = rest / size;
        rest %= size;
        (count > 0).then(|| format!("{count}{unit}"))
    });
    let parts: Vec<_> = parts.take(2).collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reading(requests: u32) -> Reading {
        Reading::read(&format!(
            "doorway_http_requests_total{{method=\"GET\",status=\"2xx\"}} {requests}\n\
             doorway_http_request_seconds_bucket{{le=\"0.1\"}} {requests}\n\
             doorway_realtime_sockets{{dialect=\"plain\"}} 3\ndoorway_realtime_sockets{{dialect=\"socketio\"}} 1000\n\
             doorway_upstream_ready 1\nprocess_resident_memory_bytes 34000000\nprocess_uptime_seconds 90061\n"
        ))
    }

    fn picture(width: usize) -> Vec<String> {
        let (before, mut now) = (reading(100), reading(300));
        now.at = before.at + Duration::from_secs(2);
        let title = Title { urls: "http://localhost:8080".into(), pid: Some(7), state: "ready".into() };
        draw(&title, &before, &now, width)
    }

    #[test]
    fn it_says_what_happens_now() {
        let all = picture(100).join("\n");
        for part in [
            "http://localhost:8080  ready  pid 7  up 1d 1h",
            "100/s  2xx 100/s",
            "1003  plain 3  socketio 1000",
            "34.0 MB",
            "p50 50 ms",
        ] {
            assert!(all.contains(part), "{part} in:\n{all}");
        }
    }

    #[test]
    fn no_line_is_too_long() {
        for width in [1, 8, 20, 40, 80] {
            assert!(picture(width).iter().all(|line| line.chars().count() <= width), "{width}: {:?}", picture(width));
        }
        assert!(picture(40).len() > picture(100).len(), "what does not fit goes on below");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 3.0, 12.5, 9999.0, 12_345.0, 3_400_000.0].map(short),
            ["0", "3", "12.5", "9999", "12.3k", "3.4M"]
        );
        assert_eq!([0.0, 61.0, 90_061.0].map(age), ["0s", "1m 1s", "1d 1h"]);
    }
}
