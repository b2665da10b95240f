//! Which regions there are, and when they go.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::Count;
use super::super::segments::{Known, Segments};
use super::error::ClientShmError;
use super::key;
use super::region::{Region, check_range};

/// How many regions there may be, and how many bytes of address space they may take together.
const MOST_REGIONS: usize = 1024;
const MOST_BYTES: u64 = 1 << 42;

/// The longest name, in bytes.
const LONGEST_NAME: usize = 256;

/// The shared memory that clients have registered.
#[derive(Debug)]
pub(crate) struct ClientShm {
    allowed: bool,
    regions: Mutex<Regions>,
    /// How much of it was copied.
    pub(crate) copied: Count,
}

#[derive(Debug, Default)]
struct Regions {
    named: BTreeMap<String, Arc<Region>>,
    /// No name leads to these any more, but requests may still use them.
    retired: Vec<Arc<Region>>,
}

/// A region, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegionStatus {
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

impl ClientShm {
    pub(crate) fn new(allowed: bool) -> Self {
        Self { allowed, regions: Mutex::default(), copied: Count::default() }
    }

    /// Whether clients may register regions.
    pub(crate) fn is_allowed(&self) -> bool {
        self.allowed
    }

    /// From now on tensors may be in that part of the shared memory object.
    pub(in super::super) fn register(
        &self,
        segments: &Segments,
        status: RegionStatus,
    ) -> Result<(), ClientShmError> {
        self.check_allowed()?;
        let RegionStatus { name, key, offset, size } = status;
        if name.is_empty() || name.len() > LONGEST_NAME {
            let length = name.len();
            let message =
                format!("the region's name of {length} bytes is not from 1 to {LONGEST_NAME} bytes long");
            return Err(ClientShmError::Invalid(message));
        }
        let file = key::open(&key)?;
        self.add(segments, (&name, &key), file, (offset, size))
    }

    fn add(
        &self,
        segments: &Segments,
        (name, key): (&str, &str),
        file: File,
        range: (u64, u64),
    ) -> Result<(), ClientShmError> {
        let mut regions = self.lock();
        if regions.named.contains_key(name) {
            return Err(ClientShmError::Exists(name.to_owned()));
        }
        regions.check_room(check_range((name, key), &file, range)?)?;
        let region = Arc::new(Region::new(segments, (name, key), file, range)?);
        regions.named.insert(name.to_owned(), region);
        Ok(())
    }

    /// Forgets the region of that name, or all if it is empty.
    pub(in super::super) fn unregister(&self, name: &str) -> Result<(), ClientShmError> {
        self.check_allowed()?;
        let mut regions = self.lock();
        if name.is_empty() {
            let all = std::mem::take(&mut regions.named);
            regions.retired.extend(all.into_values());
            return Ok(());
        }
        let region = regions.named.remove(name).ok_or_else(|| ClientShmError::Unknown(name.to_owned()))?;
        regions.retired.push(region);
        Ok(())
    }

    /// The region of that name, or all if it is empty.
    pub(crate) fn status(&self, name: &str) -> Result<Vec<RegionStatus>, ClientShmError> {
        self.check_allowed()?;
        let regions = self.lock();
        if !name.is_empty() && !regions.named.contains_key(name) {
            return Err(ClientShmError::Unknown(name.to_owned()));
        }
        let asked = regions.named.values().filter(|region| name.is_empty() || region.name == name);
        Ok(asked.map(|region| RegionStatus::of(region)).collect())
    }

    /// The region that a tensor names.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Region>, ClientShmError> {
        self.check_allowed()?;
        self.lock().named.get(name).cloned().ok_or_else(|| ClientShmError::Unknown(name.to_owned()))
    }

    /// Lets go of the regions that have no name and no use any more; returns what workers knew them by.
    pub(in super::super) fn drop_retired(&self, segments: &Segments) -> Vec<Arc<Known>> {
        let mut regions = self.lock();
        // Nobody finds these by their name, so who does not hold one by now never will.
        let unused = |region: &Arc<Region>| Arc::strong_count(region) == 1 && region.is_unused();
        let (unused, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut regions.retired).into_iter().partition(unused);
        regions.retired = left;
        drop(regions);
        let forget = |region: &Arc<Region>| {
            // Before it is unmapped: something else may lie at that address then.
            segments.remove(region.address());
            Arc::clone(&region.known)
        };
        unused.iter().map(forget).collect()
    }

    fn check_allowed(&self) -> Result<(), ClientShmError> {
        if self.allowed { Ok(()) } else { Err(ClientShmError::NotAllowed) }
    }

    fn lock(&self) -> MutexGuard<'_, Regions> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Regions {
    fn check_room(&self, more: u64) -> Result<(), ClientShmError> {
        let all = || self.named.values().chain(&self.retired);
        if all().count() >= MOST_REGIONS {
            let message =
                format!("{MOST_REGIONS} shared memory regions are registered already, as many as may");
            return Err(ClientShmError::TooMuch(message));
        }
        let mapped: u64 = all().map(|region| region.known.size).sum();
        if mapped.saturating_add(more) <= MOST_BYTES {
            return Ok(());
        }
        Err(ClientShmError::TooMuch(format!(
            "shared memory regions may span {MOST_BYTES} bytes together, and span {mapped}; with {more} more that is too many"
        )))
    }
}

impl RegionStatus {
    fn of(region: &Region) -> Self {
        let Region { name, key, offset, size, .. } = region;
        Self { name: name.clone(), key: key.clone(), offset: *offset, size: *size }
    }
}
