//! How many are in a channel, counted as they come and go; and what those have been told who want to know.

use crate::realtime::vocabulary::Occupancy;

/// What a subscriber wants, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// To hear what is said.
    pub messages: bool,
    /// To hear who comes and goes.
    pub notices: bool,
    /// To hear how many are there.
    pub occupancy: bool,
    /// It may publish.
    pub publishes: bool,
    /// It may enter the presence.
    pub enters: bool,
}

/// The counts of one channel.
#[derive(Debug, Default)]
pub struct Headcount {
    /// But for members, who are counted elsewhere.
    here: Occupancy,
    /// Those who want to hear of it.
    watchers: usize,
    /// What all of them know.
    told: Option<Occupancy>,
}

impl Headcount {
    pub fn connections(&self) -> usize {
        self.here.connections
    }

    pub fn add(&mut self, wants: Wants) {
        self.change(wants, |count| *count += 1);
    }

    pub fn remove(&mut self, wants: Wants) {
        self.change(wants, |count| *count -= 1);
        if self.watchers == 0 {
            self.told = None;
        }
    }

    fn change(&mut self, wants: Wants, change: impl Fn(&mut usize)) {
        let Headcount { here, watchers, .. } = self;
        for (is_one, count) in [
            (true, &mut here.connections),
            (wants.publishes, &mut here.publishers),
            (wants.messages, &mut here.subscribers),
            (wants.enters, &mut here.presence_connections),
            (wants.notices, &mut here.presence_subscribers),
            (wants.occupancy, watchers),
        ] {
            if is_one {
                change(count);
            }
        }
    }

    /// The counts now, where there are so many `members`.
    pub fn occupancy(&self, members: usize) -> Occupancy {
        Occupancy { presence_members: members, ..self.here }
    }

    /// What one who wants to know is told at once: the others may know something else.
    pub fn first(&mut self, now: Occupancy) -> Occupancy {
        if self.told != Some(now) {
            self.told = None;
        }
        now
    }

    /// What has changed since all who want to know were told; they know it then.
    pub fn news(&mut self, now: Occupancy) -> Option<Occupancy> {
        if self.watchers == 0 || self.told == Some(now) {
            return None;
        }
        self.told = Some(now);
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Wants = Wants { messages: false, notices: false, occupancy: false, publishes: false, enters: false };

    #[test]
    fn each_kind_is_counted_as_it_comes_and_goes() {
        let mut count = Headcount::default();
        let all = Wants { messages: true, notices: true, occupancy: true, publishes: true, enters: true };
        count.add(all);
        count.add(NONE);
        count.add(Wants { publishes: true, ..NONE });
        let expected = Occupancy {
            connections: 3,
            publishers: 2,
            subscribers: 1,
            presence_connections: 1,
            presence_members: 4,
            presence_subscribers: 1,
        };
        assert_eq!(count.occupancy(4), expected);
        count.remove(all);
        count.remove(NONE);
        assert_eq!(count.occupancy(0), Occupancy { connections: 1, publishers: 1, ..Occupancy::default() });
    }

    fn news(count: &mut Headcount, members: usize) -> Option<Occupancy> {
        count.news(count.occupancy(members))
    }

    fn first(count: &mut Headcount, members: usize) -> Occupancy {
        count.first(count.occupancy(members))
    }

    #[test]
    fn what_all_know_is_not_news() {
        let mut count = Headcount::default();
        count.add(NONE);
        assert_eq!(news(&mut count, 0), None, "nobody wants to know");
        let watcher = Wants { occupancy: true, ..NONE };
        count.add(watcher);
        assert_eq!(first(&mut count, 0).connections, 2);
        assert!(news(&mut count, 0).is_some() && news(&mut count, 0).is_none());
        assert_eq!(news(&mut count, 1).map(|news| news.presence_members), Some(1));
        // One that was told something else in between, which is no longer so.
        count.add(watcher);
        first(&mut count, 1);
        count.remove(watcher);
        assert_eq!(news(&mut count, 1).map(|news| news.connections), Some(2), "told again");
        count.remove(watcher);
        assert_eq!(news(&mut count, 7), None);
    }
}
