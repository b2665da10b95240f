//! A shared mapping of a file, and nothing else that is unsafe to make.
#![expect(unsafe_code, reason = "this is where memory is mapped")]

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::mm::{Advice, MapFlags, ProtFlags};

use crate::BLOCK;

/// What a process may do with what it maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Look at it.
    Read,
    /// Write to it too.
    Write,
}

/// How often an aligned place is looked for that others may take in between.
const TRIES: usize = 8;

/// `size` bytes of a file, shared with whoever else maps it. They are there until this is dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: *mut u8,
    size: usize,
    access: Access,
}

// SAFETY: a mapping belongs to the process, not to a thread; this type only ever gives out addresses within it.
unsafe impl Send for Mapping {}
// SAFETY: nothing here changes after it was made. What is mapped may, but only by `bytes_mut`, whose caller says that
// nobody else uses that part.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `size` bytes of a file that has them.
    pub(crate) fn new(file: BorrowedFd<'_>, size: u64, access: Access) -> io::Result<Self> {
        let size = usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let start = map(file, size, access)?;
        // A kernel without huge pages is slower, no worse.
        // SAFETY: these bytes were mapped just now; the advice changes no contents.
        let _ = unsafe { rustix::mm::madvise(start, size, Advice::LinuxHugepage) };
        Ok(Self { start: start.cast(), size, access })
    }

    /// Sees that there is memory behind a part, so that no access to it can fail later.
    pub(crate) fn populate(&self, offset: u64, length: u64) -> io::Result<()> {
        let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if !self.holds(offset, length) || self.access != Access::Write {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the part lies in this mapping; to populate it leaves what it holds as it is.
        unsafe {
            let start = self.start.add(offset).cast();
            rustix::mm::madvise(start, length, Advice::LinuxPopulateWrite)?;
        }
        Ok(())
    }

    /// True if the part lies within.
    pub(crate) fn holds(&self, offset: usize, length: usize) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size)
    }

    /// Where it starts.
    pub(crate) fn address(&self) -> usize {
        self.start as usize
    }

    /// What it may be used for.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// How many bytes there are.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A part as bytes.
    ///
    /// # Safety
    /// The part lies within. Nothing in this process writes to it while the result is used. Another process may, if
    /// it breaks its word: then what is read is torn, as it would be from a file.
    pub(crate) unsafe fn bytes(&self, offset: usize, length: usize) -> &[u8] {
        debug_assert!(self.holds(offset, length));
        // SAFETY: the part lies within one mapping (so its length is an `isize`), which is there for as long as `self`
        // is borrowed. Any bytes are valid ones, and there is memory behind every part that is given out, or the kernel
        // makes some. The rest is the caller's word.
        unsafe { std::slice::from_raw_parts(self.start.add(offset), length) }
    }

    /// A part as bytes to write to.
    ///
    /// # Safety
    /// The part lies within and the mapping is for writing. Nothing else in this process uses the part meanwhile.
    #[expect(clippy::mut_from_ref, reason = "the caller says that nobody else uses this part")]
    pub(crate) unsafe fn bytes_mut(&self, offset: usize, length: usize) -> &mut [u8] {
        debug_assert!(self.holds(offset, length) && self.access == Access::Write);
        // SAFETY: as above, and the kernel lets us write to it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped exactly these bytes, and this is the only place where they are unmapped. Whoever gave
        // out parts of them holds this by an `Arc`, so there are none left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.cast(), self.size) };
        debug_assert!(unmapped.is_ok());
    }
}

/// Maps a file, where huge pages can be had if that is possible: at a multiple of their size.
fn map(file: BorrowedFd<'_>, size: usize, access: Access) -> io::Result<*mut c_void> {
    let protection = match access {
        Access::Read => ProtFlags::READ,
        Access::Write => ProtFlags::READ | ProtFlags::WRITE,
    };
    for _ in 0..TRIES {
        let place = aligned_place(size)?;
        // Never `MAP_FIXED`: when that fails, nobody can tell whether it has left what was there before, or a hole that
        // another thread may have filled.
        let flags = MapFlags::SHARED | MapFlags::FIXED_NOREPLACE;
        // SAFETY: nothing that is mapped is replaced: if something is there by now, it is an error.
        match unsafe { rustix::mm::mmap(place, size, protection, flags, file, 0) } {
            Err(rustix::io::Errno::EXIST) => {}
            mapped => return Ok(mapped?),
        }
    }
    // SAFETY: the kernel picks a place where nothing is mapped.
    Ok(unsafe { rustix::mm::mmap(ptr::null_mut(), size, protection, MapFlags::SHARED, file, 0) }?)
}

/// An address at a multiple of the size of huge pages where so many bytes were free a moment ago.
fn aligned_place(size: usize) -> io::Result<*mut c_void> {
    let block = usize::try_from(BLOCK).unwrap_or(usize::MAX);
    let length = size.checked_add(block).ok_or(io::ErrorKind::OutOfMemory)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: the kernel picks a place where nothing is mapped.
    let place = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), length, ProtFlags::empty(), flags) }?;
    // SAFETY: these are the bytes that were mapped just now, and nobody has their address.
    unsafe { rustix::mm::munmap(place, length) }?;
    Ok(place.map_addr(|address| address.next_multiple_of(block)))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, SealFlags};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn it_starts_where_huge_pages_do() {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, 3 * BLOCK).unwrap();
        let mappings: Vec<_> =
            (0..20).map(|_| Mapping::new(file.as_fd(), 3 * BLOCK, Access::Write).unwrap()).collect();
        for mapping in &mappings {
            assert_eq!(mapping.address() as u64 % BLOCK, 0);
        }
        assert!(Mapping::new(file.as_fd(), u64::MAX, Access::Read).is_err());
        assert!(Mapping::new(file.as_fd(), 0, Access::Read).is_err());
    }

    /// What failed must not unmap what other threads have mapped in the meantime.
    #[test]
    #[cfg_attr(miri, ignore = "maps shared memory")]
    fn one_that_fails_takes_nothing_from_others() {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let sealed = rustix::fs::memfd_create("sealed", flags).unwrap();
        let open = rustix::fs::memfd_create("open", MemfdFlags::CLOEXEC).unwrap();
        for file in [&sealed, &open] {
            rustix::fs::ftruncate(file, BLOCK).unwrap();
        }
        rustix::fs::fcntl_add_seals(&sealed, SealFlags::FUTURE_WRITE).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        assert!(Mapping::new(sealed.as_fd(), BLOCK, Access::Write).is_err());
                    }
                });
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let mapping = Mapping::new(open.as_fd(), BLOCK, Access::Write).unwrap();
                        // SAFETY: within the mapping, which nobody writes to.
                        assert_eq!(unsafe { mapping.bytes(0, 4096) }, [0; 4096]);
                    }
                });
            }
        });
    }
}
