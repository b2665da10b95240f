//! Large data beside the requests: shared memory, the objects in it, and who holds what.
//!
//! Contents are [`Bytes`] wherever they are. Those that lie in a segment are found by their address
//! ([`Segments::locate`]), and a worker is told where they are instead of being sent them ([`WorkerMemory::pack`]);
//! what a worker sends back the same way is looked up among what it holds ([`WorkerMemory::unpack`]). Whoever holds the
//! bytes leases the memory: it is free once nobody does. So nothing here counts references by hand.

mod calls;
mod client_shm;
mod error;
mod evict;
mod landing;
mod load;
mod lookup;
mod memory;
mod object;
mod pulls;
mod resolve;
mod segments;
mod spill;
mod store;
mod tables;
mod transfer;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyserve_core::object::Array;
use anyserve_core::{ObjectId, Reference};
use anyserve_proto::objects::ObjectName;
use anyserve_proto::tensor::{self, Datatype};
use anyserve_shm::Segment;
use bytes::Bytes;

pub(crate) use calls::{Called, new_object};
use client_shm::ClientShm;
pub(crate) use client_shm::{ClientShmError, RegionStatus, Targets};
pub(crate) use error::ObjectError;
pub(crate) use landing::{Ask, Landing, Stake};
pub(crate) use memory::{OldLease, Parcel, PlacementError, WorkerMemory};
pub(crate) use object::Content;
use object::{Found, Object};
use pulls::Pulls;
pub(crate) use resolve::ResolveError;
use segments::{Known, Segments};
pub(crate) use spill::Spill;
use store::Store;
pub(crate) use transfer::{CONNECTIONS, Tcp, TransferServer};
use transfer::{Opening, Source, Transport};

/// How often is looked at what has ended or expired.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// How often workers are asked at most to give back what they only keep for later.
const TIDY_EVERY: Duration = Duration::from_millis(20);

/// The objects of an agent, and the shared memory that they and the requests are in.
#[derive(Debug)]
pub(crate) struct Objects {
    store: Arc<Store>,
    segments: Segments,
    /// Where requests and what clients create land.
    landing: Arc<Landing>,
    pulls: Arc<Pulls>,
    /// What clients share with this agent.
    client_shm: ClientShm,
    /// Where other agents find this one's objects: `HOST:PORT`.
    address: Arc<OnceLock<String>>,
    workers: Mutex<Vec<Weak<WorkerMemory>>>,
    retired: Mutex<Vec<Retired>>,
}

/// The segment of a worker that is gone; it stays while something is in it.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) segment: Arc<Segment>,
    pub(crate) known: Arc<Known>,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Objects {
    /// None yet, and room for `limit` bytes in memory; what is too much goes to the file, if there is one, or is lost.
    pub(crate) fn new(
        limit: u64,
        spill: Option<Spill>,
        transport: Box<dyn Transport>,
        allow_client_shm: bool,
    ) -> io::Result<Arc<Self>> {
        let (store, segments) = (Arc::new(Store::new(limit, spill)), Segments::default());
        let (segment, _) = segments.make(store.budget(), true)?;
        let landing = Arc::new(Landing::new(segment, Arc::clone(&store)));
        let address = Arc::new(OnceLock::new());
        Ok(Arc::new(Self {
            pulls: Pulls::new(transport, Arc::clone(&store), Arc::clone(&landing), Arc::clone(&address)),
            landing,
            store,
            segments,
            client_shm: ClientShm::new(allow_client_shm),
            address,
            workers: Mutex::default(),
            retired: Mutex::default(),
        }))
    }

    pub(crate) fn landing(&self) -> &Arc<Landing> {
        &self.landing
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn client_shm(&self) -> &ClientShm {
        &self.client_shm
    }

    /// Where other agents find this one's objects; empty as long as nobody can.
    pub(crate) fn address(&self) -> &str {
        self.address.get().map_or("", String::as_str)
    }

    /// Says where other agents find this one's objects.
    pub(crate) fn set_address(&self, address: String) {
        // Said once, when the port is known.
        let _ = self.address.set(address);
    }

    /// A segment that others may map, with an account of its own.
    pub(crate) fn make_segment(&self, only_we_write: bool) -> io::Result<(Segment, Arc<Known>)> {
        self.segments.make(self.store.budget(), only_we_write)
    }

    /// Where these bytes lie, if that is in shared memory.
    pub(crate) fn locate(&self, bytes: &[u8]) -> Option<(Arc<Known>, u64)> {
        self.segments.locate(bytes)
    }

    /// The object of that reference, if it is in memory; none if it has to be brought.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<(Bytes, Object)>, ObjectError> {
        let id = reference.id;
        match self.store.get(id) {
            Found::Memory(bytes, object) => {
                check(reference, &object, &bytes)?;
                Ok(Some((bytes, object)))
            }
            Found::Disk(object) => {
                check_size(reference, object.content.len() as u64)?;
                Ok(None)
            }
            Found::Nowhere if reference.owner == self.address() => Err(ObjectError::Unknown(id)),
            Found::Nowhere => Ok(None),
        }
    }

    pub(crate) fn pulls(&self) -> &Arc<Pulls> {
        &self.pulls
    }

    /// Deletes an object; false if there was none.
    pub(crate) fn delete(&self, name: ObjectName) -> Result<bool, ObjectError> {
        match self.named(Some(name)) {
            Ok(reference) => Ok(self.store.delete(reference.id)),
            // That there is nothing to delete is no error.
            Err(ObjectError::NoKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leases of workers that are at least that old.
    pub(crate) fn old_leases(&self, age: Duration) -> Vec<OldLease> {
        self.workers().iter().flat_map(|worker| worker.old_leases(age)).collect()
    }

    /// The workers that have not ended.
    pub(crate) fn workers(&self) -> Vec<Arc<WorkerMemory>> {
        lock(&self.workers).iter().filter_map(Weak::upgrade).collect()
    }

    /// Sees to what has ended or expired, for as long as it is polled.
    pub(crate) async fn run(&self) {
        let mut tidied = tokio::time::Instant::now();
        let mut house = tokio::time::interval(HOUSEKEEPING);
        loop {
            tokio::select! {
                _ = house.tick() => self.keep_house(),
                () = self.store.short().notified() => {
                    tokio::time::sleep_until(tidied + TIDY_EVERY).await;
                    tidied = tokio::time::Instant::now();
                    self.workers().iter().for_each(|worker| worker.tidy());
                }
            }
        }
    }

    fn keep_house(&self) {
        lock(&self.workers).retain(|worker| worker.strong_count() > 0);
        // Looking takes out what has expired.
        self.store.totals();
        self.drop_retired();
        self.trim();
    }

    /// Lets go of the segments of dead workers that nothing is in any more.
    fn drop_retired(&self) {
        let mut retired = lock(&self.retired);
        let (empty, left): (Vec<_>, Vec<_>) = std::mem::take(&mut *retired)
            .into_iter()
            .partition(|retired| retired.segment.account().used() == 0);
        *retired = left;
        drop(retired);
        for Retired { segment, known } in empty {
            self.segments.remove(segment.address());
            self.unmap(&known);
        }
        for known in self.client_shm.drop_retired(&self.segments) {
            self.unmap(&known);
        }
    }

    /// Tells the workers that nothing will ever be there again.
    fn unmap(&self, known: &Known) {
        for worker in self.workers() {
            worker.unmap(known.id);
        }
    }

    /// A client shares a part of a shared memory object with this agent.
    pub(crate) fn register_shm(&self, region: RegionStatus) -> Result<(), ClientShmError> {
        self.client_shm.register(&self.segments, region)
    }

    /// A client no longer shares the region of that name, or any if it is empty.
    pub(crate) fn unregister_shm(&self, name: &str) -> Result<(), ClientShmError> {
        self.client_shm.unregister(name)?;
        // What no request uses goes at once, the rest by and by.
        self.drop_retired();
        Ok(())
    }

    /// Gives memory back to the system that nobody uses, once there is more than there should be.
    fn trim(&self) {
        let workers = self.workers();
        let present = |worker: &Arc<WorkerMemory>| worker.with_segment(Segment::present).unwrap_or(0);
        let retired: u64 = lock(&self.retired).iter().map(|retired| retired.segment.present()).sum();
        let landing = self.landing.segment();
        let present = workers.iter().map(present).sum::<u64>() + retired + landing.present();
        if present <= self.store.budget().limit() {
            return;
        }
        let trim = |segment: &Segment| {
            if let Err(error) = segment.trim() {
                tracing::warn!(%error, "unused shared memory could not be given back");
            }
        };
        for worker in workers {
            worker.with_segment(trim);
        }
        lock(&self.retired).iter().for_each(|retired| trim(&retired.segment));
        trim(landing);
    }

    fn add_worker(&self, worker: &Arc<WorkerMemory>) {
        lock(&self.workers).push(Arc::downgrade(worker));
    }

    fn retire(&self, retired: Retired) {
        retired.segment.account().close();
        lock(&self.retired).push(retired);
    }
}

/// Checks what a reference says of an object; of one that was pulled, nobody here knows better what it means.
fn check(reference: &Reference, object: &Object, bytes: &[u8]) -> Result<(), ObjectError> {
    check_size(reference, bytes.len() as u64)?;
    match &reference.array {
        Some(Array { datatype, shape }) if object.origin.is_some() => {
            Ok(tensor::check(Datatype::parse(datatype)?, shape, bytes)?)
        }
        _ => Ok(()),
    }
}

fn check_size(reference: &Reference, size: u64) -> Result<(), ObjectError> {
    let (id, claimed) = (reference.id, reference.size);
    if claimed == size { Ok(()) } else { Err(ObjectError::WrongSize { id, claimed, size }) }
}

impl Source for Objects {
    fn open(&self, id: ObjectId) -> Option<Bytes> {
        match self.store.get(id) {
            Found::Memory(bytes, _) => Some(bytes),
            Found::Disk(_) | Found::Nowhere => None,
        }
    }

    fn look_up(&self, keys: &[String]) -> Vec<Option<Reference>> {
        let here = |key: &String| {
            let stat = self.store.lookup(key).and_then(|id| self.store.stat(id));
            stat.map(|stat| stat.reference(self.address()))
        };
        keys.iter().map(here).collect()
    }

    fn load(&self, id: ObjectId) -> Opening<'_> {
        Box::pin(async move {
            let reference = self.store.stat(id)?.reference(self.address());
            let found = self.pulls.pull(&reference, None).await;
            found.ok().map(|(bytes, _)| bytes)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
