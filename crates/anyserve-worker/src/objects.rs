//! What handlers want of the agent in the middle of their work: objects.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyserve_channel::INLINE_LIMIT;
pub use anyserve_core::object::{Array, Reference};
use anyserve_proto::object::micros;
pub use anyserve_proto::object::{Creation, Info, Name};
use anyserve_proto::objects::{Lookup, Object as Message};
use anyserve_proto::worker::failure::Kind;
use anyserve_proto::worker::{Allocate, Get, answer, call};
use anyserve_shm::ViewMut;
use bytes::Bytes;

use crate::calls::{GRACE, failure_of};
use crate::failure::Failure;
use crate::lead::Shared;

/// The objects of the agent, as a worker sees them. Usable from any thread; each call waits for the agent's answer.
#[derive(Clone, Debug)]
pub struct Objects(Arc<Shared>);

/// Shared memory for this process to fill. It is given back when it is dropped.
#[derive(Debug)]
pub struct Allocation(ViewMut);

impl Objects {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// So many bytes of shared memory, which hold whatever was there before.
    pub fn allocate(&self, size: usize) -> Result<Allocation, Failure> {
        let (answer, _) = self.call(call::What::Allocate(Allocate { size: size as u64 }), &[], None)?;
        match answer {
            answer::Result::Allocated(place) => {
                let view = self.0.memory.claim(&place);
                view.map(Allocation).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// A new object of these bytes.
    pub fn create(&self, bytes: &[u8], creation: Creation) -> Result<Info, Failure> {
        if bytes.len() <= INLINE_LIMIT {
            let bytes = Bytes::copy_from_slice(bytes);
            let ttl = creation.ttl;
            let info = self.create_of(creation, std::slice::from_ref(&bytes))?;
            self.0.recent.add(info.reference.clone(), bytes, ttl);
            return Ok(info);
        }
        let mut allocation = self.allocate(bytes.len())?;
        allocation.copy_from_slice(bytes);
        self.seal(allocation.freeze(), creation)
    }

    /// A new object of all that was [allocated](Self::allocate) and filled in.
    pub fn seal(&self, bytes: Bytes, creation: Creation) -> Result<Info, Failure> {
        let ttl = creation.ttl;
        let info = self.create_of(creation, std::slice::from_ref(&bytes))?;
        self.0.recent.add(info.reference.clone(), bytes, ttl);
        Ok(info)
    }

    /// The bytes of an object, in place; they are there for as long as they are held, whatever becomes of the object.
    /// One that another agent has is brought, which may take that long.
    pub fn get(&self, name: &Name, timeout: Option<Duration>) -> Result<(Reference, Bytes), Failure> {
        if let Name::Reference(reference) = name
            && let Some(found) = self.0.recent.get(reference)
        {
            return Ok(found);
        }
        let timeout_us = timeout.map_or(0, |timeout| micros(timeout).max(1));
        let what = call::What::Get(Get { name: Some(name.to_message()), timeout_us });
        let (answer, mut contents) = self.call(what, &[], timeout)?;
        let (answer::Result::Got(message), Some(bytes)) = (&answer, contents.pop()) else {
            return Err(unexpected(&answer));
        };
        let (reference, ttl) =
            (info(message.clone())?.reference, message.expires_in_us.map(Duration::from_micros));
        self.0.recent.add(reference.clone(), bytes.clone(), ttl);
        Ok((reference, bytes))
    }

    /// The objects of these keys at this agent, or at `owner`, `HOST:PORT` as references name it, of whose objects
    /// nothing but the reference is known. Another agent is waited for that long.
    pub fn lookup(
        &self,
        keys: Vec<String>,
        owner: Option<String>,
        timeout: Option<Duration>,
    ) -> Result<Vec<Option<Info>>, Failure> {
        let timeout_us = timeout.map_or(0, |timeout| micros(timeout).max(1));
        let lookup = Lookup { keys, owner: owner.unwrap_or_default(), timeout_us };
        let (answer, _) = self.call(call::What::Lookup(lookup), &[], timeout)?;
        let answer::Result::Found(found) = answer else {
            return Err(unexpected(&answer));
        };
        let one = |message: Message| (!message.reference.is_empty()).then(|| info(message)).transpose();
        found.objects.into_iter().map(one).collect()
    }

    /// Deletes an object of this agent's, or its copy of another's; false if there was none. Who holds it goes on
    /// holding it.
    pub fn delete(&self, name: &Name) -> Result<bool, Failure> {
        if let Name::Reference(reference) = name {
            self.0.recent.remove(reference.id);
        } else {
            // Which of them it is, only the agent knows.
            self.0.recent.clear();
        }
        match self.call(call::What::Delete(name.to_message()), &[], None)? {
            (answer::Result::Deleted(deleted), _) => Ok(deleted),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// What is known of an object of this agent's.
    pub fn stat(&self, name: &Name) -> Result<Info, Failure> {
        match self.call(call::What::Stat(name.to_message()), &[], None)? {
            (answer::Result::Stat(message), _) => info(message),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn create_of(&self, creation: Creation, contents: &[Bytes]) -> Result<Info, Failure> {
        match self.call(call::What::Create(creation.into()), contents, None)? {
            (answer::Result::Created(message), _) => info(message),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn call(
        &self,
        what: call::What,
        contents: &[Bytes],
        timeout: Option<Duration>,
    ) -> Result<(answer::Result, Vec<Bytes>), Failure> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout.saturating_add(GRACE)));
        let Some((answer, contents)) = self.0.call(what, contents, until)? else {
            let message = format!("no answer within {:?}", timeout.unwrap_or_default());
            return Err(Failure::new(Kind::DeadlineExceeded, message));
        };
        match answer.result {
            None | Some(answer::Result::Failure(_)) => Err(failure_of(answer.result)),
            Some(result) => Ok((result, contents)),
        }
    }
}

impl Allocation {
    /// From now on the bytes do not change.
    pub fn freeze(self) -> Bytes {
        self.0.freeze().into_bytes()
    }
}

impl Deref for Allocation {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Allocation {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

fn unexpected(answer: &answer::Result) -> Failure {
    failure_of(Some(answer.clone()))
}

fn info(message: Message) -> Result<Info, Failure> {
    let wrong = |error| Failure::new(Kind::Internal, format!("from the agent: {error}"));
    Info::try_from(message).map_err(wrong)
}
