//! The map in `src/lib.rs` is true: each function that the lives of a request and of a message name is where they say,
//! and each section of the config is in the table.
#![allow(clippy::unwrap_used, reason = "a test that panics says so")]

use std::fs;
use std::path::PathBuf;

use doorway::config::Config;

const MAP: &str = include_str!("../src/lib.rs");

/// The lines below a heading of the map, up to the next.
fn part(heading: &str) -> String {
    let lines = MAP.lines().filter_map(|line| line.strip_prefix("//!")).map(str::trim);
    let below = lines.skip_while(|line| *line != format!("# {heading}")).skip(1);
    below.take_while(|line| !line.starts_with("# ")).collect::<Vec<_>>().join("\n")
}

/// What is between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The file of a module, and what of `path` is left behind it: types and functions.
fn file(path: &str) -> Option<(PathBuf, Vec<&str>)> {
    let parts: Vec<&str> = path.split("::").collect();
    (1..parts.len()).rev().find_map(|end| {
        let module = PathBuf::from("src").join(parts[..end].join("/"));
        let files = [module.with_extension("rs"), module.join("mod.rs")];
        let file = files.into_iter().find(|file| file.is_file())?;
        Some((file, parts[end..].to_vec()))
    })
}

/// Why there is no such function; nothing where there is one.
fn wrong(path: &str) -> Option<String> {
    let Some((file, names)) = file(path) else { return Some(format!("{path}: there is no such module")) };
    let text = fs::read_to_string(&file).unwrap();
    let (function, types) = names.split_last().unwrap();
    let has_function = [format!("fn {function}("), format!("fn {function}<")].iter().any(|name| text.contains(name));
    let has_type = |name: &str| {
        let headers = text.lines().filter(|line| line.starts_with("impl"));
        headers.flat_map(|line| line.split(|c: char| !c.is_alphanumeric())).any(|word| word == name)
    };
    if !has_function {
        return Some(format!("{path}: {} has no fn {function}", file.display()));
    }
    let missing = types.iter().find(|name| !has_type(name))?;
    Some(format!("{path}: {} has no impl of {missing}", file.display()))
}

#[test]
fn lives_of_request_and_message_name_real_functions() {
    for heading in ["The life of a request", "The life of a message"] {
        let life = part(heading);
        let steps: Vec<&str> =
            life.lines().filter_map(|line| line.split_once(". ")).map(|(number, _)| number).collect();
        let numbers: Vec<String> =
            steps.iter().filter(|number| number.parse::<usize>().is_ok()).map(|number| (*number).to_owned()).collect();
        assert!(numbers.len() >= 8, "{heading}: {numbers:?}");
        let named: Vec<&str> =
            quoted(&life).filter(|name| name.contains("::")).filter(|name| !is_module(name)).collect();
        assert!(named.len() >= 15, "{heading}: {named:?}");
        let wrong: Vec<String> = named.into_iter().filter_map(wrong).collect();
        assert!(wrong.is_empty(), "{heading}:\n{}", wrong.join("\n"));
    }
}

/// A module may be named too, as `realtime::plain`.
fn is_module(path: &str) -> bool {
    let module = PathBuf::from("src").join(path.replace("::", "/"));
    module.is_dir() || module.with_extension("rs").is_file()
}

#[test]
fn every_section_of_the_config_has_its_room() {
    let table = part("Which room reads which section of `proxy.toml`");
    let mut sections: Vec<String> =
        Config::keys("").iter().filter_map(|key| key.split_once('.')).map(|(section, _)| section.to_owned()).collect();
    sections.dedup();
    for section in &sections {
        assert!(table.contains(&format!("`[{section}]`")), "the map has no room for [{section}]");
    }
    assert!(sections.len() >= 10, "{sections:?}");
    for room in table.split("[`").skip(1).filter_map(|rest| rest.split("`]").next()) {
        assert!(is_module(room), "the map names {room}, which is no module");
    }
}

/// Every guide that has examples of the config.
const GUIDES: &[&str] = &[
    include_str!("../README.md"),
    include_str!("../src/callbacks/README.md"),
    include_str!("../src/listen/README.md"),
    include_str!("../src/realtime/README.md"),
    include_str!("../src/realtime/entrance/README.md"),
    include_str!("../src/realtime/pusher/README.md"),
    include_str!("../src/tls/README.md"),
];

const SECRET: &str = "secret = \"0123456789abcdef0123456789abcdef\"";

#[test]
fn the_guides_examples_are_configs() {
    for guide in GUIDES {
        let examples: Vec<&str> =
            guide.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        assert!(!examples.is_empty(), "no example in: {}", guide.lines().next().unwrap_or_default());
        for example in examples {
            // Secrets lie outside of the file, where there are none now.
            let given = |line: &str| if line.starts_with("secret_") { SECRET.to_owned() } else { line.to_owned() };
            let example = example.lines().map(given).collect::<Vec<_>>().join("\n");
            let wrong = Config::parse("guide", &example).err().map(|problems| problems.to_string());
            assert!(wrong.is_none(), "{example}\n{}", wrong.unwrap_or_default());
        }
    }
}
