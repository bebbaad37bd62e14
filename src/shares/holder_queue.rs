//! What waits to give way, in the order in which it came, each on some holder's account.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Holder;

/// In the order of arrival, and of each holder by itself. As long as there are things in it.
#[derive(Debug)]
pub struct HolderQueue<T> {
    things: BTreeMap<u64, (Holder, T)>,
    by_holder: HashMap<Holder, BTreeSet<u64>>,
    next: u64,
}

impl<T> Default for HolderQueue<T> {
    fn default() -> Self {
        HolderQueue { things: BTreeMap::new(), by_holder: HashMap::new(), next: 0 }
    }
}

impl<T> HolderQueue<T> {
    /// Puts it last; gives the number by which it is found again.
    pub fn push(&mut self, holder: Holder, thing: T) -> u64 {
        self.next += 1;
        self.things.insert(self.next, (holder, thing));
        self.by_holder.entry(holder).or_default().insert(self.next);
        self.next
    }

    pub fn remove(&mut self, number: u64) -> Option<T> {
        let (holder, thing) = self.things.remove(&number)?;
        if let Some(own) = self.by_holder.get_mut(&holder) {
            own.remove(&number);
            if own.is_empty() {
                self.by_holder.remove(&holder);
            }
        }
        Some(thing)
    }

    pub fn get(&self, number: u64) -> Option<&T> {
        self.things.get(&number).map(|(_, thing)| thing)
    }

    pub fn len(&self) -> usize {
        self.things.len()
    }

    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// How many are of `holder`.
    pub fn held(&self, holder: Holder) -> usize {
        self.by_holder.get(&holder).map_or(0, BTreeSet::len)
    }

    /// The number of the one that came first.
    pub fn first(&self) -> Option<u64> {
        self.things.first_key_value().map(|(number, _)| *number)
    }

    /// Of those of `holder`.
    pub fn first_of(&self, holder: Holder) -> Option<u64> {
        self.by_holder.get(&holder)?.first().copied()
    }

    /// Of those of whoever has the most; of several who have as many, the first of all theirs.
    pub fn first_of_most(&self) -> Option<u64> {
        self.by_holder.values().max_by_key(|own| (own.len(), Reverse(own.first())))?.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn each_holders_own_are_in_order_and_nobody_is_left_behind() {
        let holder = |last| Holder::of(IpAddr::from([192, 0, 2, last]));
        let (one, other) = (holder(1), holder(2));
        let mut queue = HolderQueue::default();
        let numbers = [one, other, other].map(|holder| queue.push(holder, holder));
        assert_eq!((queue.first(), queue.first_of(other), queue.first_of_most()), {
            (Some(numbers[0]), Some(numbers[1]), Some(numbers[1]))
        });
        assert_eq!((queue.held(one), queue.held(other), queue.get(numbers[2])), (1, 2, Some(&other)));
        assert_eq!(queue.remove(numbers[0]), Some(one));
        assert_eq!((queue.remove(numbers[0]), queue.held(one), queue.first_of(one)), (None, 0, None));
        for number in numbers {
            queue.remove(number);
        }
        assert!(queue.is_empty() && queue.by_holder.is_empty());
    }

    #[test]
    fn of_those_who_have_as_many_the_first_gives_way() {
        let mut queue = HolderQueue::default();
        for last in 0..100 {
            let holder = Holder::of(IpAddr::from([192, 0, 2, last]));
            queue.push(holder, ());
        }
        for _ in 0..100 {
            let first = queue.first();
            assert!(first.is_some() && queue.first_of_most() == first);
            first.and_then(|first| queue.remove(first));
        }
    }
}
