//! Objects that had to leave memory: read back once for all who want them.

use std::io;

use anyserve_channel::INLINE_LIMIT;
use anyserve_core::ObjectId;

use super::ObjectError;
use super::object::{Content, Object};
use super::pulls::{Outcome, Pulls};
use super::spill::OnDisk;

impl Pulls {
    /// Brings an object back into memory.
    pub(super) async fn load(&self, id: ObjectId, object: &Object<OnDisk>) -> Outcome {
        let place = object.content.clone();
        let read = if place.len() > INLINE_LIMIT {
            let mut slot = self.land(place.len() as u64).await?;
            on_another_thread(move || place.read(&mut slot).map(|()| Content::Slot(slot.freeze()))).await
        } else {
            let small = on_another_thread(move || {
                let mut bytes = vec![0; place.len()];
                place.read(&mut bytes).map(|()| bytes)
            });
            match small.await {
                Ok(bytes) => Ok(self.store.small(&bytes)?),
                Err(error) => Err(error),
            }
        };
        let content = read.map_err(|error| {
            self.store.lose(id, &error);
            ObjectError::Lost(id, error.to_string())
        })?;
        let object = object.with(content);
        self.store.bring_back(id, &object);
        Ok((object.content.bytes(), object))
    }
}

/// Does what may wait for a disk.
async fn on_another_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // It fails by itself only where the runtime is being shut down.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
