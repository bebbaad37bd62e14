//! The section `[cache]`.

use std::time::Duration;

use crate::settings::{Pattern, Section, Size};

/// The section `[cache]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Pages that a supervised Next.js keeps itself are kept where neither a `proxy.ts` nor a rule of next.config looks at
    /// who asks. Default true.
    pub pages: bool,
    /// Paths whose answers are the same for everybody, with stars. Default none.
    pub paths: Vec<Pattern>,
    /// For answers and what is known of them. Default 64 MiB.
    pub memory: Size,
    /// The longest that an answer is given out past its freshness while a new one is fetched, where it allows that
    /// itself. Default 1 h.
    pub stale: Duration,
    /// The same while the app is away or fails. Default 1 day.
    pub stale_if_error: Duration,
    /// The longest that an answer "not found" is kept, whatever it says. Default 10 s.
    pub max_not_found: Duration,
    /// How long a request waits for an answer that is being fetched already, before the app is asked for it alone.
    /// Default 2 s.
    pub wait: Duration,
    /// What is declared old is told on the channel `doorway:revalidated`, for pages that then refresh themselves. Default
    /// false.
    pub tell: bool,
    /// A supervised Next.js says what it declares old and how old its pages are. Default true; asked for when its process
    /// starts.
    pub hook: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            pages: true,
            paths: Vec::new(),
            memory: Size::mib(64),
            stale: Duration::from_secs(60 * 60),
            stale_if_error: Duration::from_secs(24 * 60 * 60),
            max_not_found: Duration::from_secs(10),
            wait: Duration::from_secs(2),
            tell: false,
            hook: true,
        }
    }
}

impl Config {
    pub fn read(section: &Section) -> Config {
        let default = Config::default();
        let paths: Vec<Pattern> = section.value("paths", default.paths);
        if let Some(wrong) = paths.iter().find(|path| !path.as_str().starts_with(['/', '*'])) {
            let what = format!("cache.paths: {:?} begins with no slash", wrong.as_str());
            section.problem("paths", what, Some("as in \"/blog/*\"; \"*\" stands for every path"));
        }
        Config {
            pages: section.value("pages", default.pages),
            paths,
            memory: section.value("memory", default.memory),
            stale: section.value("stale", default.stale),
            stale_if_error: section.value("stale_if_error", default.stale_if_error),
            max_not_found: section.value("max_not_found", default.max_not_found),
            wait: section.value("wait", default.wait),
            tell: section.value("tell", default.tell),
            hook: section.value("hook", default.hook),
        }
    }

    /// True where the app's own word is of use.
    pub fn is_to_be_heard(&self) -> bool {
        self.hook && self.is_on()
    }

    /// True where anything may be kept.
    pub fn is_on(&self) -> bool {
        self.pages || !self.paths.is_empty()
    }

    /// True where the answers of `path`, in its canonical spelling, may be kept.
    pub fn covers(&self, path: &str) -> bool {
        self.paths.iter().any(|pattern| pattern.fits(path))
    }
}
