//! The shared memory that this process sees, and what it holds of it.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use anyserve_channel::{ChannelError, INLINE_LIMIT};
use anyserve_proto::worker::{Mapped, Placed};
use anyserve_shm::{Access, ViewError, ViewMut, Views, Window};
use bytes::Bytes;

/// Once so many bytes are held no longer, the agent is told soon; else with the next message.
const TELL_SOON: usize = 1 << 20;

/// The shared memory that this process sees, and what it holds of it.
#[derive(Debug)]
pub(crate) struct Memory {
    segments: Mutex<HashMap<u32, Segment>>,
    views: Views,
    released: Arc<Released>,
}

#[derive(Debug)]
struct Segment {
    mapped: Mapped,
    /// Once something in it was looked at.
    window: Option<Window>,
}

/// The leases that are over, and that the agent was not told of.
#[derive(Debug, Default)]
struct Released {
    pending: Mutex<Pending>,
    /// The thread that tells it, should nobody else have anything to say.
    teller: OnceLock<Thread>,
}

#[derive(Debug, Default)]
struct Pending {
    leases: Vec<u64>,
    bytes: usize,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let released = Arc::<Released>::default();
        let over = Arc::clone(&released);
        let views = Views::new(move |lease, length| over.add(lease, length));
        Self { segments: Mutex::default(), views, released }
    }

    /// The thread that is woken to tell the agent what is over.
    pub(crate) fn set_teller(&self, teller: Thread) {
        let _ = self.released.teller.set(teller);
    }

    /// The agent has more memory.
    pub(crate) fn mapped(&self, mapped: Mapped) {
        self.lock().insert(mapped.segment, Segment { mapped, window: None });
    }

    /// Nothing will ever be in that memory again.
    pub(crate) fn unmapped(&self, segment: u32) {
        self.lock().remove(&segment);
    }

    /// Puts the contents of a message together.
    pub(crate) fn unpack(&self, payload: Vec<Bytes>, placed: &[Placed]) -> Result<Vec<Bytes>, ChannelError> {
        let mut contents = payload;
        for place in placed {
            let window = self.window(place.segment)?;
            let view = self.views.view(&window, place.offset, place.size, place.lease);
            let index = usize::try_from(place.index).unwrap_or(usize::MAX).min(contents.len());
            contents.insert(index, view.map_err(misplaced)?.into_bytes());
        }
        Ok(contents)
    }

    /// What goes with a message, and where the rest of its contents is.
    pub(crate) fn pack(&self, contents: &[Bytes]) -> (Vec<Bytes>, Vec<Placed>) {
        if contents.iter().all(|content| content.len() <= INLINE_LIMIT) {
            return (contents.to_vec(), Vec::new());
        }
        let (mut payload, mut placed) = (Vec::new(), Vec::new());
        for (index, content) in (0..).zip(contents) {
            let found = if content.len() > INLINE_LIMIT { self.views.locate(content) } else { None };
            match found {
                None => payload.push(content.clone()),
                Some(at) => {
                    let (lease, offset, size) = (at.lease, at.offset, content.len() as u64);
                    placed.push(Placed { index, lease, offset, size, segment: 0 });
                }
            }
        }
        (payload, placed)
    }

    /// What the agent has allocated for this process to fill.
    pub(crate) fn claim(&self, place: &Placed) -> Result<ViewMut, ChannelError> {
        let window = self.window(place.segment)?;
        self.views.view_mut(&window, place.offset, place.size, place.lease).map_err(misplaced)
    }

    /// The leases that are over since the last look.
    pub(crate) fn take_released(&self) -> Vec<u64> {
        let mut pending = self.released.lock();
        pending.bytes = 0;
        std::mem::take(&mut pending.leases)
    }

    fn window(&self, id: u32) -> Result<Window, ChannelError> {
        let mut segments = self.lock();
        let unknown = || io::Error::other(format!("the agent spoke of segment {id}, which it never named"));
        let segment = segments.get_mut(&id).ok_or_else(unknown)?;
        if let Some(window) = &segment.window {
            return Ok(window.clone());
        }
        let Mapped { size, path, writable, .. } = &segment.mapped;
        let window = Window::open(path, *size, if *writable { Access::Write } else { Access::Read })?;
        Ok(segment.window.insert(window).clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Segment>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Released {
    /// Only notes it: this may run wherever bytes are dropped, whatever locks are held there.
    fn add(&self, lease: u64, length: usize) {
        let mut pending = self.lock();
        pending.leases.push(lease);
        pending.bytes += length;
        let soon = pending.bytes >= TELL_SOON;
        drop(pending);
        if soon && let Some(teller) = self.teller.get() {
            teller.unpark();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn misplaced(error: ViewError) -> ChannelError {
    ChannelError::Io(io::Error::other(error))
}
