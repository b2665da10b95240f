//! The side of a process that was told where something is: other processes' segments, and what it holds of them.
#![expect(unsafe_code, reason = "views are parts of a mapping")]

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::fs::SealFlags;

use crate::mapping::{Access, Mapping};

/// Another process's segment, mapped into this one. One that is mapped twice is two to [`Views`], which then does not see
/// that a part of it is in use.
#[derive(Clone, Debug)]
pub struct Window(Arc<Mapping>);

/// Why a part of a window cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    /// It is not within the segment.
    #[error("bytes {offset} to {offset}+{length} are not within a segment of {size} bytes")]
    OutOfRange {
        /// Where it should start.
        offset: u64,
        /// How long it should be.
        length: u64,
        /// How large the segment is.
        size: u64,
    },
    /// It would change while somebody looks at it.
    #[error("bytes {offset} to {offset}+{length} are in use already")]
    InUse {
        /// Where it should start.
        offset: u64,
        /// How long it should be.
        length: u64,
    },
    /// The segment was mapped for looking only.
    #[error("the segment is not for writing")]
    ReadOnly,
}

/// All parts of other processes' segments that this process holds. Clones are the same.
#[derive(Clone)]
pub struct Views(Arc<Shared>);

struct Shared {
    held: Mutex<Held>,
    on_release: Box<dyn Fn(u64, usize) + Send + Sync>,
}

#[derive(Default)]
struct Held {
    /// By address and lease.
    parts: BTreeMap<(usize, u64), Part>,
    /// No part has ever been longer.
    longest: usize,
}

#[derive(Clone, Copy)]
struct Part {
    length: usize,
    written: bool,
}

/// A part of another process's segment. Its lease is over when this is dropped.
pub struct View(Holding);

/// A part of another process's segment that this process fills.
pub struct ViewMut(Holding);

struct Holding {
    views: Views,
    window: Window,
    offset: usize,
    length: usize,
    lease: u64,
}

/// Bytes that lie in what this process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Which lease they are held by.
    pub lease: u64,
    /// Where they start in what was leased.
    pub offset: u64,
}

impl Window {
    /// Maps the first `size` bytes of the segment at that path, on the word of whoever named it that it is as large.
    ///
    /// Should a client have made its file smaller since, the access to what is missing ends this process; that it does
    /// so, rather than this call, shows whose request it was.
    pub fn open(path: &str, size: u64, access: Access) -> io::Result<Self> {
        let file = File::options().read(true).write(access == Access::Write).open(path)?;
        Ok(Self(Arc::new(Mapping::new(file.as_fd(), size, access)?)))
    }

    /// The same of an open file, which has to be as large. It is not held open.
    pub fn of(file: BorrowedFd<'_>, size: u64, access: Access) -> io::Result<Self> {
        let found = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
        if found < size {
            let message = format!("the segment has {found} bytes, not {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(Self(Arc::new(Mapping::new(file, size, access)?)))
    }

    /// True if nobody can make that file smaller, so that what was mapped of it stays.
    pub fn stays(file: BorrowedFd<'_>) -> bool {
        rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK))
    }

    /// How many bytes are mapped.
    pub fn size(&self) -> u64 {
        self.0.size() as u64
    }

    /// The address of its first byte in this process.
    pub fn address(&self) -> usize {
        self.0.address()
    }
}

impl Views {
    /// None yet. `on_release` is called with each lease that is over and the length it had, without any lock held.
    pub fn new(on_release: impl Fn(u64, usize) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { held: Mutex::default(), on_release: Box::new(on_release) }))
    }

    /// A part of a window to look at, held by that lease.
    pub fn view(&self, window: &Window, offset: u64, length: u64, lease: u64) -> Result<View, ViewError> {
        self.hold(window, offset, length, lease, false).map(View)
    }

    /// A part of a window to fill.
    pub fn view_mut(
        &self,
        window: &Window,
        offset: u64,
        length: u64,
        lease: u64,
    ) -> Result<ViewMut, ViewError> {
        if window.0.access() != Access::Write {
            return Err(ViewError::ReadOnly);
        }
        self.hold(window, offset, length, lease, true).map(ViewMut)
    }

    /// Where these bytes lie in what is held, if they do; not in what is still being filled.
    pub fn locate(&self, bytes: &[u8]) -> Option<Located> {
        let (start, end) = (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len());
        let held = self.lock();
        held.touching(start, end).find_map(|(&(address, lease), part)| {
            let within = address <= start && end <= address + part.length && !part.written;
            within.then(|| Located { lease, offset: (start - address) as u64 })
        })
    }

    /// How many leases are held.
    pub fn count(&self) -> usize {
        self.lock().parts.len()
    }

    fn hold(
        &self,
        window: &Window,
        offset: u64,
        length: u64,
        lease: u64,
        written: bool,
    ) -> Result<Holding, ViewError> {
        let out_of_range = ViewError::OutOfRange { offset, length, size: window.size() };
        let (Ok(from), Ok(size)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(out_of_range);
        };
        if !window.0.holds(from, size) {
            return Err(out_of_range);
        }
        let address = window.address() + from;
        let mut held = self.lock();
        // The other side hands a part out for writing only while nobody has it. Should it ever not, it had better be
        // an error than memory that changes under a reference.
        let clash = held.touching(address, address + size).any(|(_, part)| part.written || written);
        if clash || held.parts.contains_key(&(address, lease)) {
            return Err(ViewError::InUse { offset, length });
        }
        held.parts.insert((address, lease), Part { length: size, written });
        held.longest = held.longest.max(size);
        drop(held);
        Ok(Holding { views: self.clone(), window: window.clone(), offset: from, length: size, lease })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The parts that have a byte in common with `start..end`.
    fn touching(&self, start: usize, end: usize) -> impl Iterator<Item = (&(usize, u64), &Part)> {
        let from = (start.saturating_sub(self.longest), 0);
        let parts = self.parts.range(from..(end, 0));
        parts.filter(move |((address, _), part)| address + part.length > start)
    }
}

impl fmt::Debug for Views {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Views").field("count", &self.count()).finish()
    }
}

impl Holding {
    fn address(&self) -> usize {
        self.window.address() + self.offset
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let key = (self.address(), self.lease);
        self.views.lock().parts.remove(&key);
        (self.views.0.on_release)(self.lease, self.length);
    }
}

impl View {
    /// The bytes, which hold the lease for as long as any part of them is held.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `hold` has seen that the part is within, and that nobody in this process fills it.
        unsafe { self.0.window.0.bytes(self.0.offset, self.0.length) }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("View").field("lease", &self.0.lease).field("length", &self.0.length).finish()
    }
}

impl ViewMut {
    /// From now on it does not change.
    pub fn freeze(self) -> View {
        let key = (self.0.address(), self.0.lease);
        if let Some(part) = self.0.views.lock().parts.get_mut(&key) {
            part.written = false;
        }
        View(self.0)
    }

    /// The lease it is held by.
    pub fn lease(&self) -> u64 {
        self.0.lease
    }
}

impl Deref for ViewMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `hold` has seen that the part is within and nobody else's, and it is not written to while borrowed.
        unsafe { self.0.window.0.bytes(self.0.offset, self.0.length) }
    }
}

impl DerefMut for ViewMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `hold` has seen that the part is within a mapping for writing, and nobody else's in this process.
        unsafe { self.0.window.0.bytes_mut(self.0.offset, self.0.length) }
    }
}

impl fmt::Debug for ViewMut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ViewMut")
            .field("lease", &self.0.lease)
            .field("length", &self.0.length)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::{Budget, Segment};

    fn segment() -> Segment {
        Segment::create(&Budget::new(8 << 20, || ()), false).unwrap()
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn what_one_side_writes_the_other_sees() {
        let segment = segment();
        let window = Window::open(&segment.path(), segment.size(), Access::Write).unwrap();
        let released = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&released);
        let views = Views::new(move |lease, _| {
            count.fetch_add(lease, Ordering::Relaxed);
        });
        let slot = segment.allocate(5000).unwrap();
        let mut mine = views.view_mut(&window, slot.offset(), 5000, 7).unwrap();
        mine.fill(9);
        assert_eq!(views.locate(&mine), None);
        let view = mine.freeze().into_bytes();
        assert_eq!(views.locate(&view[10..20]), Some(Located { lease: 7, offset: 10 }));
        assert!(slot.iter().all(|&byte| byte == 9));
        let part = view.slice(1..2);
        drop(view);
        assert_eq!(released.load(Ordering::Relaxed), 0);
        drop(part);
        assert_eq!((released.load(Ordering::Relaxed), views.count()), (7, 0));
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn a_part_is_not_filled_while_it_is_looked_at() {
        let segment = segment();
        let window = Window::open(&segment.path(), segment.size(), Access::Write).unwrap();
        let views = Views::new(|_, _| ());
        let long = views.view(&window, 0, 100_000, 1).unwrap();
        let _short = views.view(&window, 4096, 10, 2).unwrap();
        let in_use = ViewError::InUse { offset: 50_000, length: 10 };
        assert_eq!(views.view_mut(&window, 50_000, 10, 3).unwrap_err(), in_use);
        drop(long);
        let _mine = views.view_mut(&window, 50_000, 10, 3).unwrap();
        assert_eq!(views.view(&window, 50_000, 10, 4).unwrap_err(), in_use);
        let (offset, length, size) = (segment.size() - 1, 2, segment.size());
        let out = ViewError::OutOfRange { offset, length, size };
        assert_eq!(views.view(&window, offset, length, 5).unwrap_err(), out);
        assert!(views.view(&window, u64::MAX, 2, 5).is_err());
    }

    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn what_only_we_write_nobody_else_can() {
        let segment = Segment::create(&Budget::new(1 << 20, || ()), true).unwrap();
        assert!(Window::open(&segment.path(), segment.size(), Access::Write).is_err());
        let window = Window::open(&segment.path(), segment.size(), Access::Read).unwrap();
        assert_eq!(Views::new(|_, _| ()).view_mut(&window, 0, 1, 1).unwrap_err(), ViewError::ReadOnly);
        assert!(Window::of(segment.as_fd(), segment.size() + 1, Access::Read).is_err());
    }
}
