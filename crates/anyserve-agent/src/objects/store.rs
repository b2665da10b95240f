//! The objects of this agent: made here, or pulled from others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_core::ObjectId;
use anyserve_core::object::Array;
use anyserve_proto::tensor::{self, Datatype};
use anyserve_shm::{Account, AllocateError, Budget, Entry, Segment, SlotMut};
use bytes::Bytes;
use tokio::sync::Notify;

use super::error::ObjectError;
use super::object::{Content, Found, NewObject, Object, Stat};
use super::spill::Spill;
use super::tables::Tables;

/// What an object costs beside its bytes: its place in the tables.
pub(super) const OVERHEAD: u64 = 512;

/// The longest key, in bytes.
const LONGEST_KEY: usize = 512;

/// The objects of an agent and the budget that they share with what requests hold.
#[derive(Debug)]
pub(crate) struct Store {
    budget: Budget,
    /// Small objects are in the agent's own memory; they count here.
    pub(super) small: Account,
    tables: Mutex<Tables>,
    /// Where objects go that have to make room.
    spill: Option<Spill>,
    /// Told whenever memory is free again.
    freed: Arc<Notify>,
    /// Told when somebody found none.
    short: Notify,
    epoch: Instant,
    counts: Counts,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) hits: super::Count,
    pub(crate) misses: super::Count,
    pub(crate) created: super::Count,
    pub(crate) evicted: super::Count,
    pub(crate) expired: super::Count,
    pub(crate) deleted: super::Count,
}

impl Store {
    /// None yet, and room for `limit` bytes in memory; what is too much goes to the file, if there is one.
    pub(crate) fn new(limit: u64, spill: Option<Spill>) -> Self {
        let freed = Arc::new(Notify::new());
        let told = Arc::clone(&freed);
        let budget = Budget::new(limit, move || told.notify_waiters());
        Self {
            small: budget.open_account(),
            budget,
            tables: Mutex::default(),
            spill,
            freed,
            short: Notify::new(),
            epoch: Instant::now(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Where objects go that have to make room.
    pub(crate) fn spill(&self) -> Option<&Spill> {
        self.spill.as_ref()
    }

    pub(crate) fn freed(&self) -> &Arc<Notify> {
        &self.freed
    }

    /// Told when somebody found no memory, not even by evicting something.
    pub(crate) fn short(&self) -> &Notify {
        &self.short
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// A slot of the segment; objects that nobody holds make room for it.
    pub(crate) fn allocate(&self, segment: &Segment, length: usize) -> Result<SlotMut, AllocateError> {
        loop {
            match segment.allocate(length) {
                Err(error @ AllocateError::System { .. }) => return Err(error),
                // No object need go for what would not fit even then.
                Err(error) if length as u64 > segment.account().limit() => return Err(error),
                Err(error) if !self.make_room(segment.account().id(), length as u64) => return Err(error),
                Err(_) => {}
                Ok(slot) => return Ok(slot),
            }
        }
    }

    /// Content for a small object, in the agent's own memory.
    pub(crate) fn small(&self, bytes: &[u8]) -> Result<Content, ObjectError> {
        let size = bytes.len() as u64 + OVERHEAD;
        let charge = loop {
            match self.small.charge(size) {
                Ok(charge) => break charge,
                Err(error) if !self.make_room(self.small.id(), size) => return Err(error.into()),
                Err(_) => {}
            }
        };
        Ok(Content::Small(Bytes::copy_from_slice(bytes), Arc::new(charge)))
    }

    /// Adds an object, under that id or a new one; its key is its own from now on.
    pub(crate) fn create(&self, id: Option<ObjectId>, new: NewObject) -> Result<ObjectId, ObjectError> {
        let NewObject { content, array, key, ttl, pin, creator, origin } = new;
        if let Some(Array { datatype, shape }) = &array {
            tensor::check(Datatype::parse(datatype)?, shape, &content.bytes())?;
        }
        if let Some(key) = key.as_ref().filter(|key| key.is_empty() || key.len() > LONGEST_KEY) {
            let length = key.len();
            let message = format!("a key of {length} bytes is not from 1 to {LONGEST_KEY} bytes long");
            return Err(ObjectError::Invalid(message));
        }
        let now = self.now();
        let bytes = content.len() + OVERHEAD;
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        let mut tables = self.expired(now);
        if pin {
            let (pinned, limit) = (tables.memory.pinned_bytes(), self.budget.limit() / 2);
            if pinned + bytes > limit {
                return Err(ObjectError::PinQuota { asked: bytes, pinned, limit });
            }
        }
        let id = id.unwrap_or_else(new_id);
        if let Some(key) = &key {
            tables.release_key(key);
        }
        let value = Object { content, array, creator, created: now, origin };
        // A pulled object that is there already is the same.
        if tables.memory.insert(id, Entry { value, key, bytes, expires, pinned: pin }).is_ok() {
            self.counts.created.add(1);
        }
        Ok(id)
    }

    /// The object, which counts as used.
    pub(crate) fn get(&self, id: ObjectId) -> Found {
        let found = self.find(id);
        let is_miss = matches!(found, Found::Nowhere);
        let count = if is_miss { &self.counts.misses } else { &self.counts.hits };
        count.add(1);
        found
    }

    /// The same for those who go on with what was counted already.
    pub(super) fn find(&self, id: ObjectId) -> Found {
        let mut tables = self.expired(self.now());
        if let Some(entry) = tables.memory.get(&id) {
            let object = entry.value.clone();
            drop(tables);
            return Found::Memory(object.content.bytes(), object);
        }
        tables.disk.get(&id).map_or(Found::Nowhere, |entry| Found::Disk(entry.value.clone()))
    }

    /// An object of the file is in memory again, unless it has gone meanwhile; whoever waited has it all the same.
    pub(super) fn bring_back(&self, id: ObjectId, object: &Object) {
        let moved = self.expired(self.now()).move_to_memory(id, object);
        if let Some(spill) = self.spill().filter(|_| moved) {
            spill.loaded.add(1);
        }
    }

    /// An object of the file could not be read.
    pub(super) fn lose(&self, id: ObjectId, error: &std::io::Error) {
        self.lock().disk.remove(&id);
        if let Some(spill) = self.spill() {
            spill.fail(error);
        }
    }

    /// The object of that key.
    pub(crate) fn lookup(&self, key: &str) -> Option<ObjectId> {
        let found = self.expired(self.now()).lookup(key);
        if found.is_none() {
            self.counts.misses.add(1);
        }
        found
    }

    /// Takes an object out; who holds it goes on holding it.
    pub(crate) fn delete(&self, id: ObjectId) -> bool {
        let deleted = self.expired(self.now()).remove(id);
        self.counts.deleted.add(u64::from(deleted));
        deleted
    }

    pub(crate) fn stat(&self, id: ObjectId) -> Option<Stat> {
        let now = self.now();
        self.expired(now).stat(id, now)
    }

    /// Everything, the oldest first.
    pub(crate) fn list(&self) -> Vec<Stat> {
        let now = self.now();
        let mut all: Vec<_> = self.expired(now).stats(now).collect();
        all.sort_by_key(|stat| (std::cmp::Reverse(stat.age), stat.id));
        all
    }

    /// How many objects there are in memory, their bytes, and how many of these are pinned.
    pub(crate) fn totals(&self) -> (usize, u64, u64) {
        let tables = self.expired(self.now());
        (tables.memory.len(), tables.memory.bytes(), tables.memory.pinned_bytes())
    }

    /// How many objects had to leave memory, and the bytes that they take of the file.
    pub(crate) fn spilled(&self) -> (usize, u64) {
        let tables = self.expired(self.now());
        (tables.disk.len(), tables.disk.bytes())
    }

    /// The tables, without what has expired.
    pub(super) fn expired(&self, now: Duration) -> MutexGuard<'_, Tables> {
        let mut tables = self.lock();
        self.counts.expired.add(tables.expire(now) as u64);
        tables
    }

    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that nobody can guess.
pub(super) fn new_id() -> ObjectId {
    let mut bytes = [0; 16];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    // The kernel has given so few bytes in one piece ever since it had this call.
    assert!(filled == Ok(16), "the kernel gave no random bytes: {filled:?}");
    ObjectId::from_bytes(bytes)
}
