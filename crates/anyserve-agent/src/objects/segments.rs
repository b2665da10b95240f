//! The shared memory that contents may lie in: found by the address of the bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use anyserve_shm::{Budget, Segment};

/// Shared memory that workers can open.
#[derive(Debug)]
pub(crate) struct Known {
    /// Never used twice.
    pub(crate) id: u32,
    pub(crate) size: u64,
    pub(crate) path: String,
    /// The file behind memory that its client may take away at any time: nothing in this process may read it but by
    /// this file.
    pub(crate) file: Option<Arc<File>>,
}

/// All of it. What lies in none of these is in the agent's own memory.
#[derive(Debug, Default)]
pub(crate) struct Segments(RwLock<State>);

#[derive(Debug, Default)]
struct State {
    by_address: BTreeMap<usize, Arc<Known>>,
    next: u32,
}

impl Segments {
    /// A segment that workers can open, with an account of its own.
    pub(crate) fn make(&self, budget: &Budget, only_we_write: bool) -> io::Result<(Segment, Arc<Known>)> {
        let segment = Segment::create(budget, only_we_write)?;
        let known = self.add(segment.address(), segment.size(), segment.path());
        Ok((segment, known))
    }

    /// From now on, what lies in the `size` bytes behind `address` is found.
    pub(crate) fn add(&self, address: usize, size: u64, path: String) -> Arc<Known> {
        self.insert(address, size, path, None)
    }

    /// The same of a file that a client may make smaller.
    pub(crate) fn add_of_client(&self, address: usize, size: u64, file: Arc<File>) -> Arc<Known> {
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        self.insert(address, size, path, Some(file))
    }

    fn insert(&self, address: usize, size: u64, path: String, file: Option<Arc<File>>) -> Arc<Known> {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.next += 1;
        let known = Arc::new(Known { id: state.next, size, path, file });
        state.by_address.insert(address, Arc::clone(&known));
        known
    }

    /// Nothing lies there any more.
    pub(crate) fn remove(&self, address: usize) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).by_address.remove(&address);
    }

    /// The segment that holds all of `bytes`, and where they start in it.
    pub(crate) fn locate(&self, bytes: &[u8]) -> Option<(Arc<Known>, u64)> {
        let start = bytes.as_ptr() as usize;
        let state = self.read();
        let (&address, known) = state.by_address.range(..=start).next_back()?;
        let offset = (start - address) as u64;
        (offset + bytes.len() as u64 <= known.size).then(|| (Arc::clone(known), offset))
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
