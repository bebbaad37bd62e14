use std::collections::BTreeMap;

use crate::caption::{Caption, FRONT, FRONT_KINDS};
use crate::record::{self, BARE, DOORWAY, Figures, Host, Outcome, Run};
use crate::spread::{Summary, outside};
use crate::text;

fn run(kernel: &str, case: &str, figures: &[(&str, f64)]) -> Run {
    let figures = figures.iter().map(|(name, figure)| {
        ((*name).to_owned(), Figures { figure: *figure, instructions: Some(figure * 2.0), ..Figures::default() })
    });
    Run {
        date: "2026-01-01".into(),
        host: Host { processor: "some".into(), processors: 2, kernel: kernel.into() },
        build: "release".into(),
        note: String::new(),
        uncounted: String::new(),
        supersedes: Vec::new(),
        cases: BTreeMap::from([(case.to_owned(), Outcome { figures: figures.collect(), ..Outcome::default() })]),
        instructions: BTreeMap::new(),
    }
}

#[test]
fn the_best_peer_is_that_of_each_run() {
    let mut runs = vec![
        run("a", "upload", &[(DOORWAY, 80.0), ("Envoy", 100.0), ("Caddy", 40.0), (BARE, 900.0)]),
        run("b", "upload", &[(DOORWAY, 90.0), ("Envoy", 100.0), ("Caddy", 95.0)]),
        run("b", "upload", &[(DOORWAY, 99.0), ("Envoy", 110.0)]),
    ];
    let summary = Summary::of(Caption::of("upload").unwrap(), &runs);
    let spread = summary.best().unwrap();
    assert_eq!((spread.lowest(), spread.median(), spread.highest()), (0.8, 0.9, 0.9));
    assert_eq!((spread.runs(), spread.hosts(), summary.peers()), (3, 2, "Envoy".to_owned()));
    assert_eq!(summary.instructions["Envoy"].median(), 0.9);
    // Two runs of which only ratios are known; who is best in one is not in the other.
    let ratios = BTreeMap::from([("Envoy".to_owned(), vec![1.5, 0.7]), ("Caddy".to_owned(), vec![0.5])]);
    runs[2].cases.insert("upload".to_owned(), Outcome { ratios, ..Outcome::default() });
    let summary = Summary::of(Caption::of("upload").unwrap(), &runs);
    let spread = summary.best().unwrap();
    assert_eq!((spread.lowest(), spread.median(), spread.highest(), spread.runs()), (0.5, 0.75, 0.9, 4));
    assert_eq!(summary.peers(), "Envoy or Caddy");
}

#[test]
fn a_run_of_another_door_begins_anew_in_what_has_changed() {
    let before =
        [run("a", "upload", &[(DOORWAY, 1.0), ("Envoy", 2.0)]), run("a", "echo", &[(DOORWAY, 1.0), ("Bun", 2.0)])];
    let mut after = run("b", "upload", &[(DOORWAY, 3.0), ("Envoy", 2.0)]);
    after.supersedes = vec!["upload".to_owned()];
    let runs = [before.as_slice(), &[after]].concat();
    let median = |case| Summary::of(Caption::of(case).unwrap(), &runs).best().unwrap().median();
    assert_eq!((median("upload"), median("echo")), (1.5, 0.5));
}

#[test]
fn less_memory_is_a_ratio_above_one() {
    let runs = [run("a", "idle", &[(DOORWAY, 1000.0), ("Bun", 1500.0)])];
    assert_eq!(Summary::of(Caption::of("idle").unwrap(), &runs).best().unwrap().median(), 1.5);
}

#[test]
fn a_run_beyond_the_record_is_told() {
    let runs =
        [run("a", "echo", &[(DOORWAY, 90.0), ("Bun", 100.0)]), run("a", "echo", &[(DOORWAY, 1.0), ("Bun", 1.0)])];
    assert_eq!(outside(&run("b", "echo", &[(DOORWAY, 95.0), ("Bun", 100.0)]), &runs), Vec::<String>::new());
    let low = outside(&run("b", "echo", &[(DOORWAY, 80.0), ("Bun", 100.0)]), &runs);
    assert_eq!(low, ["echo: 0.80 × Bun, 0.90–1.00 in 2 runs"]);
}

#[test]
fn one_run_alone_is_not_on_the_front_page() {
    let once = [run("a", "http1", &[(DOORWAY, 80.0), ("nginx", 100.0)])];
    assert!(!text::front(&once).contains("nginx"));
    assert!(text::whole(&once).contains("0.80 × nginx | only once | 1 |"));
    let twice = [once[0].clone(), run("b", "http1", &[(DOORWAY, 90.0), ("nginx", 100.0)])];
    assert!(text::front(&twice).contains("| 0.85 × nginx; –; – | 0.80–0.90; –; – | 2 on 2 hosts; –; – |"));
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let folder = std::env::temp_dir().join(format!("doorway-bench-table-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("runs.json");
    let mut runs = vec![run("a", "http1", &[(DOORWAY, 80.5), ("nginx", 100.0)]), run("b", "idle", &[(DOORWAY, 1.0)])];
    runs[1].instructions.insert("a socket let in".into(), BTreeMap::from([(DOORWAY.into(), 110_570.0)]));
    runs[1].cases.clear();
    record::write(&file, &runs).unwrap();
    assert_eq!(format!("{:?}", record::read(&file).unwrap()), format!("{runs:?}"));
    runs[0].cases.insert("no such case".into(), Outcome::default());
    record::write(&file, &runs).unwrap();
    assert!(record::read(&file).unwrap_err().to_string().contains("no such case"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn figures_keep_four_digits() {
    assert_eq!(
        [66_926.63, 0.123_456, 3_782_146_959.5, 0.0].map(record::rounded),
        [66_930.0, 0.1235, 3_782_000_000.0, 0.0]
    );
}

#[test]
fn marks_stay_where_they_are() {
    let guide = "before\n<!-- written by tests/bench/run table: begin -->\nold\n<!-- written by tests/bench/run table: end -->\nafter\n";
    let put = text::put(guide, "| new |\n").unwrap();
    assert!(
        put.starts_with("before\n") && put.ends_with("\nafter\n") && put.contains("| new |") && !put.contains("old")
    );
    assert_eq!(text::put(&put, "| new |\n").unwrap(), put);
    assert!(text::put("no marks", "").is_err());
}

#[test]
fn the_front_page_names_cases_that_there_are() {
    let names = FRONT.iter().flat_map(|(_, cases)| *cases);
    assert_eq!(names.filter(|name| Caption::of(name).is_none()).count(), 0);
    assert!(FRONT_KINDS.contains(&"a socket let in") && FRONT_KINDS.contains(&"a message and its echo"));
}
