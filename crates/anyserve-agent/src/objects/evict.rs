//! How objects make room: they go to a file, if there is one, and are lost otherwise.

use anyserve_core::ObjectId;
use anyserve_shm::Extent;

use super::object::Object;
use super::spill::{MOST_OBJECTS, OnDisk, Spill, Turn};
use super::store::Store;

impl Store {
    /// Has an object leave memory to make room for that account; false if there is none that can. With a file to write
    /// to this takes its time, in which the object can be used as ever.
    pub(crate) fn make_room(&self, account: u64, bytes: u64) -> bool {
        // What can never fit is no reason to lose anything.
        if bytes > self.budget().limit() {
            return false;
        }
        let made = match self.spill() {
            None => self.lose_oldest(account),
            Some(spill) => match spill.turn() {
                // What somebody else did may have been enough.
                Turn::Over => true,
                Turn::Now(_turn) => self.spill_oldest(spill, account),
            },
        };
        if !made {
            self.short().notify_one();
        }
        made
    }

    fn lose_oldest(&self, account: u64) -> bool {
        let lost = self.lock().memory.evict(|entry| self.may_go(&entry.value, account));
        self.counts().evicted.add(u64::from(lost.is_some()));
        lost.is_some()
    }

    fn may_go(&self, object: &Object, account: u64) -> bool {
        let owner = object.content.account();
        // Nobody makes room for others with what is his share.
        object.content.leases() == 0 && (owner == account || self.budget().is_over_share(owner))
    }

    /// The same with the turn to write: nobody else takes an object out to make room.
    fn spill_oldest(&self, spill: &Spill, account: u64) -> bool {
        loop {
            let tables = self.lock();
            let oldest = tables.memory.oldest(|entry| self.may_go(&entry.value, account));
            let Some((id, object)) = oldest.map(|(&id, entry)| (id, entry.value.clone())) else {
                return false;
            };
            drop(tables);
            // It stays in the table while it is written, where it is found, leased and deleted as ever.
            let place = self.write(spill, &object);
            if self.leave(spill, id, &object, place) {
                return true;
            }
        }
    }

    /// Writes an object to the file; none if it is to be lost.
    fn write(&self, spill: &Spill, object: &Object) -> Option<OnDisk> {
        // What another agent has can be brought again.
        if object.origin.is_some() {
            return None;
        }
        let bytes = object.content.bytes();
        let extent = self.place_for(spill, bytes.len())?;
        spill.write(extent, &bytes)
    }

    /// A place in the file, for which those go that were not used for the longest time.
    fn place_for(&self, spill: &Spill, length: usize) -> Option<Extent> {
        if length as u64 > spill.size() {
            return None;
        }
        loop {
            let mut tables = self.lock();
            let extent = if tables.disk.len() < MOST_OBJECTS { spill.take(length) } else { None };
            if extent.is_some() {
                return extent;
            }
            let lost = tables.disk.evict(|_| true)?;
            drop(tables);
            drop(lost);
            self.counts().evicted.add(1);
        }
    }

    /// Takes an object out of memory that was written meanwhile; false if somebody has begun to use it.
    fn leave(&self, spill: &Spill, id: ObjectId, object: &Object, place: Option<OnDisk>) -> bool {
        let mut tables = self.expired(self.now());
        // `object` itself is one.
        if object.content.leases() > 1 {
            return false;
        }
        // If it was deleted, it is not to come back; there is room all the same.
        let Some(entry) = tables.memory.remove(&id) else {
            return true;
        };
        match place {
            Some(place) => {
                tables.move_to_disk(id, entry, place);
                spill.spilled.add(1);
            }
            None => self.counts().evicted.add(1),
        }
        true
    }
}

#[cfg(test)]
#[path = "evict_tests.rs"]
pub(super) mod tests;
