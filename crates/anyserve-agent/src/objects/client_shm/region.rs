//! A part of a client's file that the client has registered.
//!
//! The client may make its file smaller at any time, and who touches a page that is gone is killed by the system. So
//! this process maps the file for others to find, but never looks at it through the mapping: whatever it needs itself is
//! read and written by calls, which fail instead.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyserve_channel::INLINE_LIMIT;
use anyserve_shm::{Access, Views, Window};
use bytes::Bytes;

use super::super::Count;
use super::super::segments::{Known, Segments};
use super::error::ClientShmError;

/// A part of a client's file that the client has registered.
#[derive(Debug)]
pub(crate) struct Region {
    pub(super) name: String,
    pub(super) key: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    file: Arc<File>,
    window: Window,
    /// Each content of a request that lies here.
    views: Views,
    next_lease: AtomicU64,
    pub(super) known: Arc<Known>,
}

impl Region {
    /// Bytes `offset` to `offset + size` of that file, which were [checked](check_range).
    pub(super) fn new(
        segments: &Segments,
        (name, key): (&str, &str),
        file: File,
        (offset, size): (u64, u64),
    ) -> Result<Self, ClientShmError> {
        let (file, end) = (Arc::new(file), offset + size);
        let window = Window::of(file.as_fd(), end, Access::Read);
        let window = window.map_err(|error| ClientShmError::system(name, &error))?;
        let known = segments.add_of_client(window.address(), end, Arc::clone(&file));
        let (name, key, views) = (name.to_owned(), key.to_owned(), Views::new(|_, _| ()));
        Ok(Self { name, key, offset, size, file, window, views, next_lease: AtomicU64::new(0), known })
    }

    /// Those bytes of the region: large ones in place, others as a copy.
    pub(super) fn content(&self, offset: u64, size: u64, copied: &Count) -> Result<Bytes, ClientShmError> {
        let start = self.offset + self.check(offset, size)?;
        if size <= INLINE_LIMIT as u64 {
            copied.add(size);
            return read(&self.file, start, size).map_err(|error| ClientShmError::system(&self.name, &error));
        }
        self.check_file(start + size)?;
        let lease = self.next_lease.fetch_add(1, Ordering::Relaxed);
        let view = self.views.view(&self.window, start, size, lease);
        view.map(anyserve_shm::View::into_bytes).map_err(|error| ClientShmError::Invalid(error.to_string()))
    }

    /// Writes to that place of the region; the file does not grow.
    pub(super) fn write(&self, offset: u64, content: &[u8]) -> Result<(), ClientShmError> {
        let size = content.len() as u64;
        let start = self.offset + self.check(offset, size)?;
        self.check_file(start + size)?;
        self.file.write_all_at(content, start).map_err(|error| ClientShmError::system(&self.name, &error))
    }

    /// Where the part starts, if it is within the region.
    pub(super) fn check(&self, offset: u64, size: u64) -> Result<u64, ClientShmError> {
        if offset.checked_add(size).is_some_and(|end| end <= self.size) {
            return Ok(offset);
        }
        Err(ClientShmError::Invalid(format!(
            "{size} bytes from {offset} on are not within shared memory region '{}', which has {}",
            self.name, self.size
        )))
    }

    /// Where a part lies in the file.
    pub(super) fn in_file(&self, offset: u64) -> u64 {
        self.offset + offset
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The address that [`Segments`] knows it by.
    pub(super) fn address(&self) -> usize {
        self.window.address()
    }

    /// True if no content of a request lies here.
    pub(super) fn is_unused(&self) -> bool {
        self.views.count() == 0
    }

    fn check_file(&self, end: u64) -> Result<(), ClientShmError> {
        let found = self.file.metadata().map_err(|error| ClientShmError::system(&self.name, &error))?.len();
        if found >= end { Ok(()) } else { Err(ClientShmError::Shrunk { region: self.name.clone() }) }
    }
}

/// Checks that a region can be there, and returns where it ends in its file.
pub(super) fn check_range(
    (name, key): (&str, &str),
    file: &File,
    (offset, size): (u64, u64),
) -> Result<u64, ClientShmError> {
    let found = file.metadata().map_err(|error| ClientShmError::system(name, &error))?.len();
    let end = offset.checked_add(size).filter(|&end| size > 0 && end <= found);
    end.ok_or_else(|| {
        ClientShmError::Invalid(format!(
            "a region of {size} bytes from {offset} on is not within shared memory object '{key}', which has {found}"
        ))
    })
}

/// A copy of a part of a client's file.
pub(super) fn read(file: &File, start: u64, size: u64) -> std::io::Result<Bytes> {
    let size = usize::try_from(size).map_err(|_| std::io::ErrorKind::OutOfMemory)?;
    let mut copy = vec![0; size];
    file.read_exact_at(&mut copy, start)?;
    Ok(copy.into())
}
