//! A file for objects that had to make room in memory.
//!
//! It has no name, so it is gone with the agent, however that ends. What is free in it is known only here: nothing in
//! the file has to be valid, and nothing of it is ever read but what this process has written.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use anyserve_shm::{Extent, Extents};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};

use super::Count;
use super::store::new_id;

/// What goes wrong is said at most so often.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The most objects in the file. It is a bound for what is known of them, which is in memory.
pub(super) const MOST_OBJECTS: usize = 1 << 20;

/// A file for objects, and which parts of it are in use.
#[derive(Debug)]
pub(crate) struct Spill {
    file: Arc<File>,
    extents: Extents,
    /// One object is written at a time: who wants room meanwhile may have it by then.
    turn: Mutex<()>,
    warned: Mutex<Option<Instant>>,
    pub(crate) spilled: Count,
    pub(crate) loaded: Count,
    pub(crate) failed: Count,
}

/// An object's bytes in the file. The place is taken for as long as anybody holds a clone of this.
#[derive(Clone, Debug)]
pub(crate) struct OnDisk(Arc<Place>);

#[derive(Debug)]
struct Place {
    file: Arc<File>,
    extent: Extent,
    length: usize,
}

/// The right to write.
pub(super) enum Turn<'a> {
    /// Ours.
    Now(MutexGuard<'a, ()>),
    /// Somebody else's; it was waited for until it was over.
    Over,
}

impl Spill {
    /// A file in that folder which takes at most so many bytes.
    pub(crate) fn create(folder: &Path, size: u64) -> io::Result<Self> {
        Ok(Self::within(without_name(folder)?, size))
    }

    fn within(file: File, size: u64) -> Self {
        Self {
            file: Arc::new(file),
            extents: Extents::new(size),
            turn: Mutex::default(),
            warned: Mutex::default(),
            spilled: Count::default(),
            loaded: Count::default(),
            failed: Count::default(),
        }
    }

    /// How many bytes it takes at most.
    pub(crate) fn size(&self) -> u64 {
        self.extents.size()
    }

    /// Takes the turn, unless somebody has it: then returns when that is over.
    pub(super) fn turn(&self) -> Turn<'_> {
        match self.turn.try_lock() {
            Ok(turn) => Turn::Now(turn),
            Err(TryLockError::Poisoned(poisoned)) => Turn::Now(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                blocking(|| drop(self.turn.lock()));
                Turn::Over
            }
        }
    }

    /// A place for that many bytes, if there is one.
    pub(super) fn take(&self, length: usize) -> Option<Extent> {
        self.extents.take(length as u64)
    }

    /// Writes an object to a place that was taken for it. An error is told in the log.
    pub(super) fn write(&self, extent: Extent, bytes: &[u8]) -> Option<OnDisk> {
        match blocking(|| self.file.write_all_at(bytes, extent.start())) {
            Ok(()) => {
                let (file, length) = (Arc::clone(&self.file), bytes.len());
                Some(OnDisk(Arc::new(Place { file, extent, length })))
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// An object was lost.
    pub(super) fn fail(&self, error: &io::Error) {
        self.failed.add(1);
        let now = Instant::now();
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|warned| now.saturating_duration_since(warned) >= WARNING_INTERVAL) {
            *warned = Some(now);
            tracing::warn!(%error, "objects are lost: their spill file fails (--object-spill)");
        }
    }
}

impl OnDisk {
    pub(crate) fn len(&self) -> usize {
        self.0.length
    }

    /// How many bytes of the file it takes.
    pub(super) fn held(&self) -> u64 {
        self.0.extent.length()
    }

    /// Reads all of it, which takes as long as it takes.
    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<()> {
        self.0.file.read_exact_at(into, self.0.extent.start())
    }
}

/// A new file in that folder that has no name there.
fn without_name(folder: &Path) -> io::Result<File> {
    let (flags, mode) = (OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR);
    // EXCL: nor can it be given one later.
    match rustix::fs::open(folder, flags | OFlags::TMPFILE | OFlags::EXCL, mode) {
        Ok(file) => Ok(file.into()),
        // The file system has no such files (or, if it is EISDIR, the kernel).
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => unlinked(folder, flags, mode),
        Err(error) => Err(error.into()),
    }
}

/// The same by a name that is there for a moment.
fn unlinked(folder: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
    let path = folder.join(format!(".anyserve-spill-{}", new_id()));
    let file = rustix::fs::openat(CWD, &path, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    rustix::fs::unlinkat(CWD, &path, AtFlags::empty())?;
    Ok(file.into())
}

/// Does what may wait for a disk, so that the tasks of this thread go on in another.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let several = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if several { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
#[path = "spill_tests.rs"]
pub(super) mod tests;
