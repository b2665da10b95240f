//! What one worker holds of the shared memory: its leases, and the segment that it writes to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyserve_channel::{INLINE_LIMIT, Sender};
use anyserve_proto::worker::{Mapped, Placed, Tidy, ToWorker, Unmapped, to_worker};
use anyserve_shm::{Segment, Slot};
use bytes::Bytes;

use super::error::ObjectError;
use super::segments::Known;
use super::{Objects, Retired};

/// What one worker holds of the shared memory. All of it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct WorkerMemory {
    objects: Arc<Objects>,
    sender: Arc<Sender>,
    /// How people call the worker.
    name: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    own: Option<Own>,
    leases: HashMap<u64, Lease>,
    next: u64,
    /// The segments that the worker was told of.
    told: HashSet<u32>,
}

/// The segment that the worker writes to.
#[derive(Clone, Debug)]
struct Own {
    segment: Arc<Segment>,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Lease {
    bytes: Bytes,
    /// If the worker fills it, so that it may become an object.
    slot: Option<Slot>,
    since: Instant,
}

/// A lease that is old, for the report on leaks.
#[derive(Clone, Debug)]
pub(crate) struct OldLease {
    pub(crate) worker: Arc<str>,
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
    /// The worker fills it, and it has become no object.
    pub(crate) unsealed: bool,
}

/// Contents on their way to a worker: what goes with the message, and where the rest is.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    pub(crate) payload: Vec<Bytes>,
    pub(crate) placed: Vec<Placed>,
}

/// A worker spoke of memory that it does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlacementError {
    #[error("it spoke of lease {0}, which it does not hold")]
    NoLease(u64),
    #[error("bytes {offset} to {offset}+{size} are not within its lease {lease} of {length} bytes")]
    OutOfRange { lease: u64, offset: u64, size: u64, length: u64 },
    #[error("its contents are numbered {index}, which is not the order they come in")]
    Order { index: u32 },
    #[error("its contents of {size} bytes are in memory of a client, and so few are to be sent")]
    Small { size: u64 },
}

impl WorkerMemory {
    pub(crate) fn new(objects: Arc<Objects>, sender: Arc<Sender>, name: Arc<str>) -> Arc<Self> {
        let memory = Arc::new(Self { objects, sender, name, state: Mutex::default() });
        memory.objects.add_worker(&memory);
        memory
    }

    /// How people call the worker.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Prepares contents for the worker: large ones stay where they are, if that is shared memory.
    pub(crate) fn pack(&self, contents: &[Bytes]) -> Parcel {
        if contents.iter().all(|content| content.len() <= INLINE_LIMIT) {
            // The usual case takes no lock.
            return Parcel { payload: contents.to_vec(), ..Parcel::default() };
        }
        let mut parcel = Parcel::default();
        for (index, content) in (0..).zip(contents) {
            let found = if content.len() > INLINE_LIMIT { self.objects.locate(content) } else { None };
            match found {
                None => parcel.payload.push(content.clone()),
                Some((known, offset)) => {
                    let mut state = self.lock();
                    state.introduce(&known, false, &self.sender);
                    let lease = state.lend(content.clone(), None);
                    let size = content.len() as u64;
                    parcel.placed.push(Placed { index, lease, offset, size, segment: known.id });
                }
            }
        }
        parcel
    }

    /// Puts contents together that came from the worker.
    pub(crate) fn unpack(
        &self,
        payload: Vec<Bytes>,
        placed: &[Placed],
    ) -> Result<Vec<Bytes>, PlacementError> {
        let mut contents = payload;
        if placed.is_empty() {
            return Ok(contents);
        }
        let state = self.lock();
        for place in placed {
            let bytes = state.find(place)?;
            self.check_size(&bytes)?;
            let index = usize::try_from(place.index).unwrap_or(usize::MAX);
            if index > contents.len() {
                return Err(PlacementError::Order { index: place.index });
            }
            contents.insert(index, bytes);
        }
        Ok(contents)
    }

    /// Small contents are copied wherever they go, which memory of a client does not allow: it may be gone.
    fn check_size(&self, bytes: &Bytes) -> Result<(), PlacementError> {
        let small = bytes.len() <= INLINE_LIMIT;
        if small && self.objects.locate(bytes).is_some_and(|(known, _)| known.file.is_some()) {
            return Err(PlacementError::Small { size: bytes.len() as u64 });
        }
        Ok(())
    }

    /// A place for the worker to write to.
    pub(crate) fn allocate(&self, size: u64) -> Result<Placed, ObjectError> {
        let too_large = || ObjectError::Full(format!("{size} bytes were asked for"));
        let length = usize::try_from(size).map_err(|_| too_large())?;
        let Own { segment, known } = self.own()?;
        // Without the lock: room may have to be made first, which takes its time, and others send to the worker.
        let slot = self.objects.store().allocate(&segment, length)?.freeze();
        let mut state = self.lock();
        let offset = slot.offset();
        state.introduce(&known, true, &self.sender);
        let lease = state.lend(slot.clone().into_bytes(), Some(slot));
        Ok(Placed { index: 0, lease, offset, size, segment: known.id })
    }

    /// The segment that the worker writes to, which is made for the first one who asks.
    fn own(&self) -> Result<Own, ObjectError> {
        let mut state = self.lock();
        if let Some(own) = &state.own {
            return Ok(own.clone());
        }
        let made = self.objects.make_segment(false);
        let (segment, known) =
            made.map_err(|error| ObjectError::Full(format!("the system gave no shared memory: {error}")))?;
        let own = Own { segment: Arc::new(segment), known };
        Ok(state.own.insert(own).clone())
    }

    /// The whole of what the worker was given to fill; it may become an object now, once.
    pub(crate) fn seal(&self, place: &Placed) -> Result<Option<Slot>, PlacementError> {
        let mut state = self.lock();
        state.find(place)?;
        let lease = state.leases.get_mut(&place.lease).ok_or(PlacementError::NoLease(place.lease))?;
        let whole = place.offset == 0 && place.size == lease.bytes.len() as u64;
        Ok(if whole { lease.slot.take() } else { None })
    }

    /// The worker holds these no longer.
    pub(crate) fn release(&self, leases: &[u64]) -> Result<(), PlacementError> {
        let mut state = self.lock();
        // Dropped without the lock: others may be waiting for the memory.
        let mut released = Vec::with_capacity(leases.len());
        for &lease in leases {
            released.push(state.leases.remove(&lease).ok_or(PlacementError::NoLease(lease))?);
        }
        drop(state);
        drop(released);
        Ok(())
    }

    /// A segment has ended, and its memory is to go.
    pub(super) fn unmap(&self, segment: u32) {
        if self.lock().told.remove(&segment) {
            self.send(to_worker::Message::Unmapped(Unmapped { segment }));
        }
    }

    /// Asks the worker for what it only keeps for later.
    pub(super) fn tidy(&self) {
        self.send(to_worker::Message::Tidy(Tidy {}));
    }

    /// Tells the worker something.
    pub(crate) fn send(&self, message: to_worker::Message) {
        // Small messages always fit a frame.
        let _ = self.sender.send(&ToWorker { message: Some(message) }, &[]);
    }

    pub(super) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// The leases that are at least that old.
    pub(crate) fn old_leases(&self, age: Duration) -> Vec<OldLease> {
        let now = Instant::now();
        let state = self.lock();
        let old = state.leases.values().map(|lease| OldLease {
            worker: Arc::clone(&self.name),
            bytes: lease.bytes.len() as u64,
            age: now.saturating_duration_since(lease.since),
            unsealed: lease.slot.is_some(),
        });
        old.filter(|lease| lease.age >= age).collect()
    }

    /// How many leases the worker holds, and how many bytes.
    pub(crate) fn totals(&self) -> (usize, u64) {
        let state = self.lock();
        (state.leases.len(), state.leases.values().map(|lease| lease.bytes.len() as u64).sum())
    }

    /// How much of the system's memory its own segment holds, and how to have less of it.
    pub(crate) fn with_segment<T>(&self, look: impl FnOnce(&Segment) -> T) -> Option<T> {
        self.lock().own.as_ref().map(|own| look(&own.segment))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WorkerMemory {
    fn drop(&mut self) {
        let state = std::mem::take(&mut *self.lock());
        drop(state.leases);
        if let Some(Own { segment, known }) = state.own {
            self.objects.retire(Retired { segment, known });
        }
    }
}

impl State {
    /// Tells the worker of a segment before something is placed in it. In one piece with noting that it knows, so that
    /// no other message about the segment gets ahead of this one.
    fn introduce(&mut self, known: &Known, writable: bool, sender: &Sender) {
        if self.told.insert(known.id) {
            let mapped = Mapped { segment: known.id, size: known.size, path: known.path.clone(), writable };
            let message = ToWorker { message: Some(to_worker::Message::Mapped(mapped)) };
            // Whoever asked for the place has more to say, and writes it all. Small messages always fit a frame.
            let _ = sender.queue(&message, &[]);
        }
    }

    fn lend(&mut self, bytes: Bytes, slot: Option<Slot>) -> u64 {
        self.next += 1;
        self.leases.insert(self.next, Lease { bytes, slot, since: Instant::now() });
        self.next
    }

    /// What the worker speaks of, if it holds that.
    fn find(&self, place: &Placed) -> Result<Bytes, PlacementError> {
        let &Placed { lease, offset, size, .. } = place;
        let held = self.leases.get(&lease).ok_or(PlacementError::NoLease(lease))?;
        let length = held.bytes.len() as u64;
        let out_of_range = PlacementError::OutOfRange { lease, offset, size, length };
        let end = offset.checked_add(size).filter(|&end| end <= length).ok_or(out_of_range)?;
        // Both are at most the length of bytes that are in memory.
        let (Ok(start), Ok(end)) = (usize::try_from(offset), usize::try_from(end)) else {
            return Err(out_of_range);
        };
        Ok(held.bytes.slice(start..end))
    }
}
