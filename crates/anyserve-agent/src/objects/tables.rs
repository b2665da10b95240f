//! What is known of the objects: of those in memory, and of those that had to leave it for a file.
//!
//! Both are behind one lock, so that an object is in exactly one of them at any time, and a key means one object.

use std::time::Duration;

use anyserve_core::ObjectId;
use anyserve_shm::{Entry, Table};

use super::object::{Object, Stat};
use super::spill::OnDisk;
use super::store::OVERHEAD;

/// The objects of an agent.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) memory: Table<ObjectId, Object>,
    pub(super) disk: Table<ObjectId, Object<OnDisk>>,
}

impl Tables {
    /// Takes out what has expired by `now`; returns how many.
    pub(super) fn expire(&mut self, now: Duration) -> usize {
        let due = |next: Option<Duration>| next.is_some_and(|expires| expires <= now);
        let mut expired = 0;
        if due(self.memory.next_expiry()) {
            expired += self.memory.expire(now).len();
        }
        if due(self.disk.next_expiry()) {
            expired += self.disk.expire(now).len();
        }
        expired
    }

    pub(super) fn lookup(&self, key: &str) -> Option<ObjectId> {
        self.memory.lookup(key).or_else(|| self.disk.lookup(key)).copied()
    }

    /// From now on no object has that key.
    pub(super) fn release_key(&mut self, key: &str) {
        self.memory.release_key(key);
        self.disk.release_key(key);
    }

    /// Takes an object out; false if there is none.
    pub(super) fn remove(&mut self, id: ObjectId) -> bool {
        self.memory.remove(&id).is_some() || self.disk.remove(&id).is_some()
    }

    pub(super) fn stat(&self, id: ObjectId, now: Duration) -> Option<Stat> {
        let in_memory = self.memory.peek(&id).map(|entry| Stat::in_memory(id, entry, now));
        in_memory.or_else(|| self.disk.peek(&id).map(|entry| Stat::on_disk(id, entry, now)))
    }

    /// All of them, in no order.
    pub(super) fn stats(&self, now: Duration) -> impl Iterator<Item = Stat> {
        let memory = self.memory.iter().map(move |(&id, entry)| Stat::in_memory(id, entry, now));
        memory.chain(self.disk.iter().map(move |(&id, entry)| Stat::on_disk(id, entry, now)))
    }

    /// An object has left memory for the file.
    pub(super) fn move_to_disk(&mut self, id: ObjectId, entry: Entry<Object>, place: OnDisk) {
        let Entry { value, key, expires, pinned, .. } = entry;
        let (bytes, value) = (place.held(), value.with(place));
        // Its id and its key were its own until now, in both tables.
        let _ = self.disk.insert(id, Entry { value, key, bytes, expires, pinned });
    }

    /// An object of the file is in memory again; false if it has gone meanwhile.
    pub(super) fn move_to_memory(&mut self, id: ObjectId, object: &Object) -> bool {
        let Some(Entry { key, expires, pinned, .. }) = self.disk.remove(&id) else {
            return false;
        };
        let bytes = object.content.len() + OVERHEAD;
        let entry = Entry { value: object.clone(), key, bytes, expires, pinned };
        self.memory.insert(id, entry).is_ok()
    }
}
