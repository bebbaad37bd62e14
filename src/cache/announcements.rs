//! What was declared old, for those who want to tell people: gathered until it is taken, and bounded.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Paths and tags that wait to be told; beyond it everything is said to be old.
const MAX_WAITING: usize = 256;

/// Gathers them.
#[derive(Debug, Default)]
pub struct Announcements {
    waiting: Mutex<Announcement>,
    came: Notify,
}

/// What was declared old since the last one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Announcement {
    paths: BTreeSet<Box<str>>,
    tags: BTreeSet<Box<str>>,
    all: bool,
}

impl Announcement {
    fn is_empty(&self) -> bool {
        !self.all && self.paths.is_empty() && self.tags.is_empty()
    }

    /// As it is published: `{"paths":["/a"],"tags":[]}`, or `{"all":true}`.
    pub fn to_json(&self) -> Value {
        if self.all { json!({ "all": true }) } else { json!({ "paths": self.paths, "tags": self.tags }) }
    }
}

impl Announcements {
    pub fn path(&self, path: &str) {
        self.add(|waiting| waiting.paths.insert(path.into()));
    }

    pub fn tag(&self, tag: &str) {
        self.add(|waiting| waiting.tags.insert(tag.into()));
    }

    pub fn everything(&self) {
        self.add(|waiting| !std::mem::replace(&mut waiting.all, true));
    }

    fn add(&self, add: impl FnOnce(&mut Announcement) -> bool) {
        let mut waiting = self.waiting.lock();
        if waiting.all || !add(&mut waiting) {
            return;
        }
        if waiting.paths.len() + waiting.tags.len() > MAX_WAITING {
            waiting.all = true;
        }
        drop(waiting);
        self.came.notify_one();
    }

    /// Waits until there is something, and for `moment` whether more comes, and takes all of it. For one taker, who loses
    /// nothing by giving up.
    pub async fn next(&self, moment: Duration) -> Announcement {
        while self.waiting.lock().is_empty() {
            self.came.notified().await;
        }
        sleep(moment).await;
        std::mem::take(&mut *self.waiting.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_waits_is_told_at_once_and_never_too_much() {
        let announcements = Announcements::default();
        for path in ["/b", "/a", "/b"] {
            announcements.path(path);
        }
        announcements.tag("posts");
        assert_eq!(
            announcements.next(Duration::ZERO).await.to_json(),
            json!({ "paths": ["/a", "/b"], "tags": ["posts"] })
        );
        for number in 0..1000 {
            announcements.path(&format!("/{number}"));
        }
        assert!(announcements.waiting.lock().paths.len() <= MAX_WAITING + 1);
        assert_eq!(announcements.next(Duration::ZERO).await.to_json(), json!({ "all": true }));
        announcements.everything();
        assert_eq!(announcements.next(Duration::ZERO).await.to_json(), json!({ "all": true }));
        assert!(announcements.waiting.lock().is_empty());
    }
}
