//! `doorway cache`: asks the running door what it keeps of the app's answers, tells it what is old, and asks it why.

use std::fmt::Write;
use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::ask::{Watched, Which, say};

/// What is wanted of the cache: nothing more than the list of what it keeps, else one of these.
#[derive(Debug, Args)]
pub struct CacheOptions {
    #[command(flatten)]
    which: Which,
    /// Declare old what is kept of this path, for every host and query; may be given several times
    #[arg(long, value_name = "PATH")]
    purge: Vec<String>,
    /// Declare old what carries this tag; may be given several times
    #[arg(long, value_name = "TAG")]
    purge_tag: Vec<String>,
    /// Declare old all that is kept
    #[arg(long)]
    purge_all: bool,
    /// Say what is kept of this path or URL, and why or why not; the app is asked for it once
    #[arg(long, value_name = "URL")]
    why: Option<String>,
}

/// Does what `options` say.
///
/// # Errors
/// A sentence: there is no such door, it cannot be asked, or it refuses.
pub fn cache(options: &CacheOptions) -> Result<ExitCode, String> {
    let door = Watched::find(&options.which)?;
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let paths = options.purge.iter().map(|path| (format!("path={}", encoded(path)), path.as_str()));
    let tags = options.purge_tag.iter().map(|tag| (format!("tag={}", encoded(tag)), tag.as_str()));
    let all = options.purge_all.then(|| ("all=1".to_owned(), "everything"));
    let orders: Vec<_> = paths.chain(tags).chain(all).collect();
    for (order, what) in &orders {
        door.told(&format!("POST /cache/purge?{order}")).map_err(|why| format!("{what}: {why}"))?;
        say(&format!("old from now on: {what}\n"));
    }
    if let Some(url) = &options.why {
        return explain(&door.told(&format!("GET /cache/why?url={}", encoded(url)))?);
    }
    if orders.is_empty() { list(&door.told("GET /cache")?) } else { Ok(ExitCode::SUCCESS) }
}

fn explain(told: &Value) -> Result<ExitCode, String> {
    let would = if told["would_be_kept"] == true { "would be kept" } else { "would not be kept" };
    say(&format!("{would}: {}\n", told["why"].as_str().unwrap_or_default()));
    say(&entries(&told["kept"]));
    Ok(ExitCode::SUCCESS)
}

fn list(told: &Value) -> Result<ExitCode, String> {
    let paths: Vec<_> = told["paths"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let pages = told["pages"].as_str().unwrap_or_default();
    let paths = if paths.is_empty() { "none named".to_owned() } else { paths.join(" ") };
    say(&format!("pages: {pages}\npaths: {paths}\nanswers: {}\nbytes: {}\n", told["answers"], told["bytes"]));
    say(&entries(&told["entries"]));
    Ok(ExitCode::SUCCESS)
}

/// A table of answers that are kept.
fn entries(entries: &Value) -> String {
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut said = String::new();
    if !entries.is_empty() {
        let _ = writeln!(said, "{:>8} {:>7} {:>7} {:>9}  state    address", "hits", "age", "left", "bytes");
    }
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let tags: Vec<_> = entry["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let tags = if tags.is_empty() { String::new() } else { format!("  [{}]", tags.join(", ")) };
        let (age, left) = (format!("{}s", entry["age"]), format!("{}s", entry["left"]));
        let _ = writeln!(
            said,
            "{:>8} {age:>7} {left:>7} {:>9}  {:<7}  {} {}{}{tags}",
            entry["hits"].to_string(),
            entry["bytes"].to_string(),
            text("state"),
            entry["status"],
            text("host"),
            text("target"),
        );
    }
    said
}
