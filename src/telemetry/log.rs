//! Logs: for people on a terminal, JSON lines otherwise, always on standard error.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::RwLock;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, callsite, error};
use tracing_subscriber::filter::Targets;

use super::config::{Config, Format, parse};
use super::format::{self, Look};
use super::writer;

/// Overrides `log.level` where it is set.
const VARIABLE: &str = "RUST_LOG";

static LOOK: OnceLock<Look> = OnceLock::new();
static FILTER: RwLock<Option<Targets>> = RwLock::new(None);

/// Starts logging. A second start in one process keeps the first.
///
/// # Errors
/// When no thread can be had, or the variable `RUST_LOG` cannot be understood.
pub fn start(config: &Config) -> Result<(), String> {
    let filter = filter(config)?;
    let look = look(config.format, std::io::stderr().is_terminal());
    if LOOK.set(look).is_err() {
        return Ok(());
    }
    writer::start(|lost| format::lines_lost(shown(), lost)).map_err(|error| error.to_string())?;
    set(filter);
    tracing::subscriber::set_global_default(Lines).map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| error!(target: "panic", "{panic}")));
    Ok(())
}

/// Takes over the level of another section of the config.
pub fn reload(config: &Config) {
    // The variable was understood at the start and the level when the config was read.
    if let Ok(filter) = filter(config) {
        set(filter);
        callsite::rebuild_interest_cache();
    }
}

/// Waits until what was logged is written, at most for `timeout`.
pub fn flush(timeout: Duration) {
    writer::flush(timeout);
}

fn filter(config: &Config) -> Result<Targets, String> {
    match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => {
            parse(&text).map_err(|error| format!("{VARIABLE} cannot be understood: {error}"))
        }
        _ => parse(&config.level),
    }
}

fn set(filter: Targets) {
    *FILTER.write() = Some(filter);
}

fn look(format: Format, terminal: bool) -> Look {
    let human = Look::Human { colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) };
    match format {
        Format::Json => Look::Json,
        Format::Human => human,
        Format::Auto if terminal => human,
        Format::Auto => Look::Json,
    }
}

/// Whether lines are shown in colours: then the app's own may have theirs.
pub fn has_colours() -> bool {
    shown() == Look::Human { colours: true }
}

/// Whether a person reads along, on a terminal.
pub fn is_read_along() -> bool {
    matches!(shown(), Look::Human { .. }) && std::io::stderr().is_terminal()
}

fn shown() -> Look {
    LOOK.get().copied().unwrap_or(Look::Json)
}

/// Events to lines. Spans are not shown, and cost nothing.
struct Lines;

impl Subscriber for Lines {
    /// Decided once a call site, so that an event that nobody wants costs one load.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let filter = FILTER.read();
        metadata.is_event()
            && filter.as_ref().is_some_and(|filter| filter.would_enable(metadata.target(), metadata.level()))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let filter = FILTER.read();
        filter.as_ref().and_then(|filter| filter.iter().map(|(_, level)| level).chain(filter.default_level()).max())
    }

    fn event(&self, event: &Event<'_>) {
        let look = shown();
        // At `debug` a person wants all that there is to say.
        let is_brief = matches!(look, Look::Human { .. }) && {
            let (filter, target) = (FILTER.read(), event.metadata().target());
            filter.as_ref().is_some_and(|filter| !filter.would_enable(target, &tracing::Level::DEBUG))
        };
        thread_local!(static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => {
                line.clear();
                format::render(look, is_brief, event, &mut line);
                writer::push(&line);
            }
            // A value logged something while it was being logged.
            Err(_) => {
                let mut line = Vec::new();
                format::render(look, is_brief, event, &mut line);
                writer::push(&line);
            }
        });
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}
