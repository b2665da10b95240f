//! Objects by id and by key: some expire, some are pinned, and of the rest the least recently used go first.
//!
//! No clock: time is what the caller says it is, counted from whatever it likes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::time::Duration;

/// An object of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    /// What it is.
    pub value: V,
    /// The name it goes by, beside its id.
    pub key: Option<String>,
    /// How many bytes it counts for.
    pub bytes: u64,
    /// When it is gone by itself.
    pub expires: Option<Duration>,
    /// It does not make room for others.
    pub pinned: bool,
}

/// Another object has that id or, while both live, that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The id.
    Id,
    /// The key.
    Key,
}

/// Objects of some kind `V`, each with an id.
#[derive(Debug)]
pub struct Table<I, V> {
    objects: HashMap<I, Object<V>>,
    keys: HashMap<String, I>,
    /// Those that are not pinned, by when they were used last.
    by_use: BTreeMap<u64, I>,
    by_expiry: BTreeMap<(Duration, u64), I>,
    next_use: u64,
    bytes: u64,
    pinned_bytes: u64,
}

#[derive(Debug)]
struct Object<V> {
    entry: Entry<V>,
    /// Its place in `by_use`, or where it was.
    used: u64,
    /// Tells those apart that expire at the same time.
    added: u64,
}

impl<I, V> Default for Table<I, V> {
    fn default() -> Self {
        Self {
            objects: HashMap::new(),
            keys: HashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeMap::new(),
            next_use: 0,
            bytes: 0,
            pinned_bytes: 0,
        }
    }
}

impl<I: Clone + Eq + Hash, V> Table<I, V> {
    /// Adds an object; the caller has taken out what has [expired](Self::expire).
    pub fn insert(&mut self, id: I, entry: Entry<V>) -> Result<(), Taken> {
        if self.objects.contains_key(&id) {
            return Err(Taken::Id);
        }
        if let Some(key) = &entry.key {
            if self.keys.contains_key(key) {
                return Err(Taken::Key);
            }
            self.keys.insert(key.clone(), id.clone());
        }
        let turn = self.turn();
        self.bytes += entry.bytes;
        if entry.pinned {
            self.pinned_bytes += entry.bytes;
        } else {
            self.by_use.insert(turn, id.clone());
        }
        if let Some(expires) = entry.expires {
            self.by_expiry.insert((expires, turn), id.clone());
        }
        self.objects.insert(id, Object { entry, used: turn, added: turn });
        Ok(())
    }

    /// The object of that id, which counts as used now.
    pub fn get(&mut self, id: &I) -> Option<&Entry<V>> {
        let turn = self.turn();
        let object = self.objects.get_mut(id)?;
        if !object.entry.pinned {
            self.by_use.remove(&object.used);
            self.by_use.insert(turn, id.clone());
        }
        object.used = turn;
        Some(&object.entry)
    }

    /// The object of that id, looked at without using it.
    pub fn peek(&self, id: &I) -> Option<&Entry<V>> {
        self.objects.get(id).map(|object| &object.entry)
    }

    /// The id of the object with that key.
    pub fn lookup(&self, key: &str) -> Option<&I> {
        self.keys.get(key)
    }

    /// From now on no object has that key.
    pub fn release_key(&mut self, key: &str) {
        if let Some(id) = self.keys.remove(key)
            && let Some(object) = self.objects.get_mut(&id)
        {
            object.entry.key = None;
        }
    }

    /// Takes an object out.
    pub fn remove(&mut self, id: &I) -> Option<Entry<V>> {
        let Object { entry, used, added } = self.objects.remove(id)?;
        if let Some(key) = &entry.key {
            self.keys.remove(key);
        }
        if let Some(expires) = entry.expires {
            self.by_expiry.remove(&(expires, added));
        }
        self.bytes -= entry.bytes;
        if entry.pinned {
            self.pinned_bytes -= entry.bytes;
        } else {
            self.by_use.remove(&used);
        }
        Some(entry)
    }

    /// Takes out what has expired by `now`.
    pub fn expire(&mut self, now: Duration) -> Vec<(I, Entry<V>)> {
        let mut expired = Vec::new();
        while let Some((&(expires, _), id)) = self.by_expiry.first_key_value() {
            if expires > now {
                break;
            }
            let id = id.clone();
            let Some(entry) = self.remove(&id) else { break };
            expired.push((id, entry));
        }
        expired
    }

    /// When the next object expires.
    pub fn next_expiry(&self) -> Option<Duration> {
        self.by_expiry.first_key_value().map(|(&(expires, _), _)| expires)
    }

    /// The object that was not used for the longest time, of those that `may_go`; never a pinned one.
    pub fn oldest(&self, mut may_go: impl FnMut(&Entry<V>) -> bool) -> Option<(&I, &Entry<V>)> {
        self.by_use.values().filter_map(|id| Some((id, self.peek(id)?))).find(|(_, entry)| may_go(entry))
    }

    /// Takes out the [oldest](Self::oldest).
    pub fn evict(&mut self, may_go: impl FnMut(&Entry<V>) -> bool) -> Option<(I, Entry<V>)> {
        let id = self.oldest(may_go)?.0.clone();
        let entry = self.remove(&id)?;
        Some((id, entry))
    }

    /// All objects, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&I, &Entry<V>)> {
        self.objects.iter().map(|(id, object)| (id, &object.entry))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// How many bytes they count for together.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many of these do not make room.
    pub fn pinned_bytes(&self) -> u64 {
        self.pinned_bytes
    }

    fn turn(&mut self) -> u64 {
        self.next_use += 1;
        self.next_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: Option<&str>, expires: Option<u64>, pinned: bool) -> Entry<u32> {
        let expires = expires.map(Duration::from_secs);
        Entry { value: 0, key: key.map(str::to_owned), bytes: 10, expires, pinned }
    }

    #[test]
    fn the_least_recently_used_goes_first_and_the_pinned_stays() {
        let mut table = Table::default();
        table.insert(1, entry(None, None, true)).unwrap();
        for id in 2..6 {
            table.insert(id, entry(None, None, false)).unwrap();
        }
        table.get(&2);
        let evicted: Vec<_> = std::iter::from_fn(|| table.evict(|_| true).map(|(id, _)| id)).collect();
        assert_eq!(evicted, [3, 4, 5, 2]);
        assert_eq!((table.len(), table.bytes(), table.pinned_bytes()), (1, 10, 10));
    }

    #[test]
    fn a_key_is_one_object_at_a_time() {
        let mut table = Table::default();
        table.insert(1, entry(Some("k"), None, false)).unwrap();
        assert_eq!(table.insert(2, entry(Some("k"), None, false)), Err(Taken::Key));
        assert_eq!(table.insert(1, entry(None, None, false)), Err(Taken::Id));
        assert_eq!(table.lookup("k"), Some(&1));
        table.release_key("k");
        assert_eq!((table.lookup("k"), table.peek(&1).unwrap().key.as_ref()), (None, None));
        table.insert(2, entry(Some("k"), None, false)).unwrap();
        table.remove(&1);
        assert_eq!(table.lookup("k"), Some(&2));
        table.remove(&2);
        assert_eq!(table.lookup("k"), None);
    }

    #[test]
    fn what_expires_goes_in_time() {
        let mut table = Table::default();
        for (id, expires) in [(1, Some(5)), (2, Some(3)), (3, None), (4, Some(3))] {
            table.insert(id, entry(None, expires, false)).unwrap();
        }
        assert_eq!(table.next_expiry(), Some(Duration::from_secs(3)));
        assert!(table.expire(Duration::from_secs(2)).is_empty());
        let expired: Vec<_> = table.expire(Duration::from_secs(4)).into_iter().map(|(id, _)| id).collect();
        assert_eq!(expired, [2, 4]);
        table.remove(&1);
        assert_eq!(table.next_expiry(), None);
    }
}
