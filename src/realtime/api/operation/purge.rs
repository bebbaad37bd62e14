//! Declaring what the cache keeps to be old.

use crate::cache::Cache;

/// A request of the API to have kept answers forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Purge {
    pub paths: Vec<String>,
    pub tags: Vec<String>,
    pub all: bool,
}

/// What was declared to be old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub paths: usize,
    pub tags: usize,
    pub all: bool,
}

impl Purge {
    /// Holds from the moment that this returns, on all doors that answer in time.
    pub async fn perform(self, cache: &Cache) -> Purged {
        let Purge { paths, tags, all } = self;
        if all {
            cache.purge_everything();
        }
        for path in &paths {
            cache.purge_path(path);
        }
        for tag in &tags {
            cache.purge_tag(tag);
        }
        cache.settled().await;
        Purged { paths: paths.len(), tags: tags.len(), all }
    }
}
