//! The writer's side: a memfd of which slots are given out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use crate::budget::{Account, Budget, Charge, Exhausted};
use crate::mapping::{Access, Mapping};
use crate::slot::{Part, SlotMut};
use crate::space::Space;

/// Shared memory of which this process gives out parts. It takes memory as it is used, and is gone once the last slot
/// and the segment itself are dropped: it has no name.
#[derive(Debug)]
pub struct Segment {
    memory: Arc<Memory>,
    account: Account,
}

/// What a segment and its slots share.
#[derive(Debug)]
pub(crate) struct Memory {
    file: OwnedFd,
    pub(crate) mapping: Mapping,
    space: Mutex<Space>,
}

/// Why there is no slot.
#[derive(Debug, thiserror::Error)]
pub enum AllocateError {
    /// There are not enough bytes left for it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The free bytes are in pieces, of which none is large enough.
    #[error("{asked} bytes were asked for, and no free piece of the segment is that large")]
    Fragmented {
        /// How many were asked for.
        asked: u64,
    },
    /// The system has no memory for it.
    #[error("the system gave no memory for {asked} bytes")]
    System {
        /// How many were asked for.
        asked: u64,
        /// What it said.
        source: io::Error,
    },
}

impl Segment {
    /// A segment as large as the budget allows, with an account of its own. If only this process is to write to it, no
    /// other can, however it opens it.
    pub fn create(budget: &Budget, only_we_write: bool) -> io::Result<Self> {
        let size = Space::rounded(budget.limit()).ok_or(io::ErrorKind::OutOfMemory)?;
        let file = rustix::fs::memfd_create("anyserve", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, size)?;
        // Nobody can make it smaller under those who look at it.
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        let mapping = Mapping::new(file.as_fd(), size, Access::Write)?;
        if only_we_write {
            rustix::fs::fcntl_add_seals(&file, SealFlags::FUTURE_WRITE)?;
        }
        rustix::fs::fcntl_add_seals(&file, SealFlags::SEAL)?;
        let memory = Arc::new(Memory { file, mapping, space: Mutex::new(Space::new(size)) });
        Ok(Self { memory, account: budget.open_account() })
    }

    /// A slot of that many bytes, which hold whatever was there before.
    pub fn allocate(&self, length: usize) -> Result<SlotMut, AllocateError> {
        let mut charge = self.account.charge(charged(length)?)?;
        self.allocate_within(&mut charge, length)
    }

    /// The same from bytes that this segment's account has taken before; what is missing is taken now.
    pub fn allocate_within(&self, charge: &mut Charge, length: usize) -> Result<SlotMut, AllocateError> {
        let (asked, rounded) = (length as u64, charged(length)?);
        if rounded > charge.bytes() {
            charge.grow(&self.account, rounded - charge.bytes())?;
        }
        let mut space = self.memory.lock();
        let start = space.take(rounded).ok_or(AllocateError::Fragmented { asked })?;
        let absent = space.make_present(start, rounded);
        drop(space);
        let charge = charge.split(rounded).ok_or(AllocateError::Fragmented { asked })?;
        // Gives everything back should there be no memory.
        let part = Part { memory: Arc::clone(&self.memory), start, length, charge };
        for &(from, size) in &absent {
            if let Err(source) = self.memory.mapping.populate(from, size) {
                self.memory.lock().not_present(&absent);
                return Err(AllocateError::System { asked, source });
            }
        }
        Ok(SlotMut(part))
    }

    /// Where the bytes are in this segment, if they are.
    pub fn locate(&self, bytes: &[u8]) -> Option<u64> {
        let offset = (bytes.as_ptr() as usize).checked_sub(self.memory.mapping.address())?;
        self.memory.mapping.holds(offset, bytes.len()).then_some(offset as u64)
    }

    /// The address of its first byte in this process: what [`Self::locate`] goes by.
    pub fn address(&self) -> usize {
        self.memory.mapping.address()
    }

    /// How many bytes others have to map.
    pub fn size(&self) -> u64 {
        self.memory.mapping.size() as u64
    }

    /// How many bytes hold memory, whether they are in use or not.
    pub fn present(&self) -> u64 {
        self.memory.lock().present_bytes()
    }

    /// Gives the memory of free parts back to the system; returns how many bytes.
    pub fn trim(&self) -> io::Result<u64> {
        let mut space = self.memory.lock();
        let mut freed = 0;
        // With the lock held, so that nobody takes such a part in the meantime.
        for (start, length) in space.take_idle_blocks() {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&self.memory.file, hole, start, length)?;
            freed += length;
        }
        Ok(freed)
    }

    /// The path by which a process of the same user opens it, for as long as this process and the segment live.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.memory.file.as_raw_fd())
    }

    /// Its account of the budget.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

/// How many bytes a slot of that length takes of the budget.
fn charged(length: usize) -> Result<u64, AllocateError> {
    let asked = length as u64;
    Space::rounded(asked).ok_or(AllocateError::Fragmented { asked })
}

impl AsFd for Segment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.file.as_fd()
    }
}

impl Memory {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
