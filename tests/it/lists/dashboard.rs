//! The dashboard and the alert rules: they ask for metrics and labels that there are.

use std::collections::{BTreeMap, BTreeSet};

/// What Prometheus itself adds, and buckets have.
const USUAL: [&str; 3] = ["instance", "job", "le"];

/// The labels of each metric, by the name of its samples.
fn known() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../../src/telemetry/metrics.md");
    let mut known = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels: BTreeSet<_> = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
        let name = cells[1].trim_matches('`');
        let ends: &[&str] = if cells[2] == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        known.extend(ends.iter().map(|end| (format!("{name}{end}"), labels.clone())));
    }
    known
}

/// The names in a text, and the labels that are asked for behind each.
fn asked(text: &str) -> Vec<(String, Vec<String>)> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut found = Vec::new();
    for (at, _) in text.match_indices(['d', 'p']) {
        let begins = !text[..at].ends_with(is_part);
        let rest = &text[at..];
        if !begins || !(rest.starts_with("doorway_") || rest.starts_with("process_")) {
            continue;
        }
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        let matchers = rest[end..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let labels = matchers.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
        let labels = labels.map(|label| label.trim().to_owned()).filter(|label| !label.is_empty());
        found.push((rest[..end].to_owned(), labels.collect()));
    }
    found
}

#[test]
fn it_asks_for_what_there_is() {
    let known = known();
    let board: serde_json::Value =
        serde_json::from_str(include_str!("../../../src/telemetry/grafana.json")).expect("the dashboard is JSON");
    let panels = board["panels"].as_array().expect("panels");
    let mut texts: Vec<String> = vec![include_str!("../../../src/telemetry/alerts.yml").to_owned()];
    texts.extend(
        panels
            .iter()
            .flat_map(|panel| panel["targets"].as_array().expect("targets"))
            .map(|target| target["expr"].as_str().expect("an expression").to_owned()),
    );
    texts.extend(
        board["annotations"]["list"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["expr"].as_str().expect("an expression").to_owned()),
    );
    let asked: Vec<_> = texts.iter().flat_map(|text| asked(text)).collect();
    assert!(asked.len() > 50, "{}", asked.len());
    for (name, labels) in asked {
        let there = known.get(&name).unwrap_or_else(|| panic!("{name} is no metric of the door"));
        for label in labels {
            assert!(there.contains(&label) || USUAL.contains(&label.as_str()), "{name} has no label {label}");
        }
    }
}
