//! The text that Prometheus reads: OpenMetrics 1.0, or the classic format 0.0.4 for whoever does not ask for that.

use std::fmt::Write as _;

pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether `accept` names OpenMetrics, and does not refuse it.
pub fn wants_openmetrics(accept: &str) -> bool {
    accept.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        is_named && !parts.any(|part| part.strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0)))
    })
}

/// `text` of OpenMetrics in the classic format: there a counter is declared by the name that its samples have, information is a
/// gauge, and there is neither a unit nor an end.
pub fn classic(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' ')) {
            let (end, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            if let Some((_, help)) = help.take().filter(|(helped, _)| *helped == name) {
                let _ = writeln!(classic, "# HELP {name}{end} {}", help.replace("\\\"", "\""));
            }
            let _ = writeln!(classic, "# TYPE {name}{end} {kind}");
        } else if !line.starts_with('#') {
            let _ = writeln!(classic, "{line}");
        }
    }
    classic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
        for (accept, expected) in [
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true),
            ("text/plain, Application/OpenMetrics-Text; q=0.3", true),
            ("application/openmetrics-text;q=0, text/plain", false),
            ("text/html,*/*;q=0.8", false),
            ("", false),
        ] {
            assert_eq!(wants_openmetrics(accept), expected, "{accept}");
        }
    }

    #[test]
    fn names_and_kinds_are_those_of_the_format() {
        let text = "# HELP a_b Some \\\"thing\\\".\n# TYPE a_b counter\na_b_total{c=\"d\"} 1\n# HELP e Build.\n# TYPE e info\n\
                    e_info{v=\"1\"} 1\n# TYPE g_seconds histogram\n# UNIT g_seconds seconds\ng_seconds_sum 0.5\n# EOF\n";
        let expected = "# HELP a_b_total Some \"thing\".\n# TYPE a_b_total counter\na_b_total{c=\"d\"} 1\n# HELP e_info Build.\n\
                        # TYPE e_info gauge\ne_info{v=\"1\"} 1\n# TYPE g_seconds histogram\ng_seconds_sum 0.5\n";
        assert_eq!(classic(text), expected);
    }
}
