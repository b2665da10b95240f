//! Objects that other agents have, or a file: brought once for all who want them, and kept as objects of this agent's
//! store.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use anyserve_core::{ObjectId, Reference};
use anyserve_proto::worker::failure::Kind;
use anyserve_shm::SlotMut;
use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use super::landing::{Ask, Landing, Stake};
use super::lookup::late;
use super::object::{Content, Found, NewObject, Object};
use super::store::Store;
use super::transfer::{PullError, Reason, Transport};
use super::{Count, ObjectError};
use crate::failure::Failure;

/// Pulls under way; more wait. Each holds the memory of its object from its start.
const MOST_PULLS: usize = 16;

pub(super) type Outcome = Result<(Bytes, Object), ObjectError>;

/// The pulls under way.
pub(crate) struct Pulls {
    transport: Box<dyn Transport>,
    pub(super) store: Arc<Store>,
    landing: Arc<Landing>,
    /// What this agent is called by others.
    address: Arc<OnceLock<String>>,
    running: Mutex<HashMap<ObjectId, watch::Receiver<Option<Outcome>>>>,
    places: Semaphore,
    tasks: TaskTracker,
    pub(crate) pulled_bytes: Count,
    pub(crate) failed: Count,
}

impl Pulls {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        store: Arc<Store>,
        landing: Arc<Landing>,
        address: Arc<OnceLock<String>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            transport,
            store,
            landing,
            address,
            running: Mutex::default(),
            places: Semaphore::new(MOST_PULLS),
            tasks: TaskTracker::new(),
            pulled_bytes: Count::default(),
            failed: Count::default(),
        })
    }

    /// Brings an object, or waits for the pull that does, at most until then. A pull that nobody waits for any longer
    /// is given up.
    pub(crate) async fn pull(self: &Arc<Self>, reference: &Reference, until: Option<Instant>) -> Outcome {
        let (bytes, object) = self.await_one(reference, until).await?;
        // Somebody else's reference may have said something else of it.
        super::check(reference, &object, &bytes)?;
        Ok((bytes, object))
    }

    async fn await_one(self: &Arc<Self>, reference: &Reference, until: Option<Instant>) -> Outcome {
        let mut outcome = self.join(reference);
        let came = async {
            // Its sender is dropped without a word only when the agent goes.
            let came = outcome.wait_for(Option::is_some).await.ok();
            came.and_then(|came| came.clone()).unwrap_or(Err(ObjectError::Unknown(reference.id)))
        };
        let start = Instant::now();
        match until {
            None => came.await,
            Some(until) => tokio::time::timeout_at(until.into(), came)
                .await
                .unwrap_or_else(|_| Err(ObjectError::Late(reference.id, start.elapsed()))),
        }
    }

    /// The pull of that object, which is begun if there is none.
    fn join(self: &Arc<Self>, reference: &Reference) -> watch::Receiver<Option<Outcome>> {
        let mut running = self.lock();
        if let Some(outcome) = running.get(&reference.id) {
            return outcome.clone();
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(reference.id, receiver.clone());
        drop(running);
        let (pulls, reference) = (Arc::clone(self), reference.clone());
        self.tasks.spawn(async move {
            let outcome = tokio::select! {
                outcome = pulls.run(&reference) => Some(outcome),
                // The map's own receiver is one of them.
                () = pulls.left_alone(&sender) => None,
            };
            pulls.lock().remove(&reference.id);
            sender.send_replace(outcome);
        });
        receiver
    }

    /// Returns once nobody waits for a pull any longer.
    async fn left_alone(&self, sender: &watch::Sender<Option<Outcome>>) {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            // Counted with the map locked, so that nobody joins in between.
            let running = self.lock();
            if sender.receiver_count() <= 1 {
                return;
            }
            drop(running);
        }
    }

    async fn run(&self, reference: &Reference) -> Outcome {
        let _place = self.places.acquire().await;
        match self.store.find(reference.id) {
            // Somebody else has brought it in the meantime.
            Found::Memory(bytes, object) => Ok((bytes, object)),
            Found::Disk(object) => self.load(reference.id, &object).await,
            Found::Nowhere if self.address.get() == Some(&reference.owner) => {
                Err(ObjectError::Unknown(reference.id))
            }
            Found::Nowhere => self.bring(reference).await.inspect_err(|_| self.failed.add(1)),
        }
    }

    /// What another agent has of these keys, if it says so until then. `began` is when somebody began to wait.
    pub(super) async fn look_up(
        &self,
        owner: &str,
        keys: &[String],
        began: Instant,
        until: Option<Instant>,
    ) -> Result<Vec<Option<Reference>>, ObjectError> {
        let looking = self.transport.look_up(owner, keys);
        let found = match until {
            None => looking.await,
            Some(until) => match tokio::time::timeout_at(until.into(), looking).await {
                Ok(found) => found,
                Err(_) => return Err(late(owner, began.elapsed())),
            },
        };
        found.map_err(|error| ObjectError::Pull(error.to_string(), Kind::Unavailable))
    }

    /// A place for that many bytes, as soon as there is room.
    pub(super) async fn land(&self, size: u64) -> Result<SlotMut, ObjectError> {
        let length =
            usize::try_from(size).map_err(|_| ObjectError::Full(format!("{size} bytes were asked for")))?;
        let ask = Ask { length, rest: 0 };
        let landed = self.landing.land(&mut Stake::default(), ask, None).await;
        landed.map_err(|failure| match failure {
            Failure::ArenaFull { asked, free, limit } => {
                ObjectError::Full(format!("{asked} bytes were asked for, and {free} of {limit} are free"))
            }
            other => ObjectError::Full(other.to_string()),
        })
    }

    /// Brings an object that another agent has.
    async fn bring(&self, reference: &Reference) -> Outcome {
        let Reference { owner, id, size, .. } = reference;
        let mut slot = self.land(*size).await?;
        let count = |bytes: usize| self.pulled_bytes.add(bytes as u64);
        self.transport.pull(owner, *id, &mut slot, &count).await?;
        let slot = slot.freeze();
        let object = Object::pulled(Content::Slot(slot.clone()), owner);
        let new = NewObject {
            content: Content::Slot(slot.clone()),
            array: None,
            key: None,
            ttl: None,
            pin: false,
            creator: Arc::clone(&object.creator),
            origin: object.origin.clone(),
        };
        self.store.create(Some(*id), new)?;
        // It may have to make room at once; who waits for it has it all the same.
        Ok((slot.into_bytes(), object))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, watch::Receiver<Option<Outcome>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<PullError> for ObjectError {
    fn from(error: PullError) -> Self {
        let kind = match error.reason {
            Reason::Gone => Kind::NotFound,
            Reason::WrongSize { .. } => Kind::InvalidArgument,
            _ => Kind::Unavailable,
        };
        Self::Pull(error.to_string(), kind)
    }
}

impl fmt::Debug for Pulls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pulls").field("running", &self.lock().len()).finish_non_exhaustive()
    }
}
