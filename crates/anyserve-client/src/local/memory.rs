//! The agent's shared memory, as far as this process looks at it.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyserve_channel::INLINE_LIMIT;
use anyserve_proto::worker::{Mapped, Placed};
use anyserve_shm::{Access, View, ViewMut, Views, Window};
use bytes::Bytes;

/// The segments that the agent has told of.
#[derive(Debug, Default)]
pub(super) struct Segments(Mutex<HashMap<u32, Segment>>);

#[derive(Debug)]
struct Segment {
    mapped: Mapped,
    /// Once something in it was looked at.
    window: Option<Window>,
}

impl Segments {
    pub(super) fn add(&self, mapped: Mapped) {
        self.lock().insert(mapped.segment, Segment { mapped, window: None });
    }

    /// Nothing will ever be in that segment again.
    pub(super) fn remove(&self, segment: u32) {
        self.lock().remove(&segment);
    }

    /// A place that the agent lent this process to look at.
    pub(super) fn view(&self, views: &Views, place: &Placed) -> io::Result<View> {
        let window = self.window(place.segment)?;
        views.view(&window, place.offset, place.size, place.lease).map_err(io::Error::other)
    }

    /// A place that it lent this process to fill.
    pub(super) fn view_mut(&self, views: &Views, place: &Placed) -> io::Result<ViewMut> {
        let window = self.window(place.segment)?;
        views.view_mut(&window, place.offset, place.size, place.lease).map_err(io::Error::other)
    }

    fn window(&self, id: u32) -> io::Result<Window> {
        let mut segments = self.lock();
        let unknown = || io::Error::other(format!("the agent spoke of segment {id}, which it never named"));
        let segment = segments.get_mut(&id).ok_or_else(unknown)?;
        if let Some(window) = &segment.window {
            return Ok(window.clone());
        }
        let Mapped { size, path, writable, .. } = &segment.mapped;
        let window = Window::open(path, *size, if *writable { Access::Write } else { Access::Read });
        let window = window.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
        Ok(segment.window.insert(window).clone())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes with a message, and where the rest of its contents is.
pub(super) fn pack(views: &Views, contents: Vec<Bytes>) -> (Vec<Bytes>, Vec<Placed>) {
    let (mut payload, mut placed) = (Vec::with_capacity(contents.len()), Vec::new());
    for (index, content) in (0..).zip(contents) {
        let found = if content.len() > INLINE_LIMIT { views.locate(&content) } else { None };
        match found {
            None => payload.push(content),
            Some(at) => {
                let size = content.len() as u64;
                placed.push(Placed { index, lease: at.lease, offset: at.offset, size, segment: 0 });
            }
        }
    }
    (payload, placed)
}

/// Contents as they were before they were [packed](pack) on the other side; each placed one as `view` finds it.
pub(super) fn unpack(payload: Vec<Bytes>, placed: Vec<(Placed, View)>) -> Vec<Bytes> {
    let mut contents = payload;
    for (place, view) in placed {
        let index = usize::try_from(place.index).unwrap_or(usize::MAX).min(contents.len());
        contents.insert(index, view.into_bytes());
    }
    contents
}
