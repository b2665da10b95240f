//! What handlers want of the object system, by their worker's channel.

use std::sync::Arc;
use std::time::Duration;

use anyserve_channel::split_payload;
use anyserve_core::object::Array;
use anyserve_core::{ObjectId, Reference};
use anyserve_proto::object::micros;
use anyserve_proto::objects::{Create, Lookup, Object as Described, ObjectName, object_name};
use anyserve_proto::worker::{Allocate, Answer, Call, Failure, Placed, ToWorker, answer, call, to_worker};
use bytes::Bytes;

use super::memory::{Parcel, WorkerMemory};
use super::object::{Content, NewObject, Stat};
use super::{ObjectError, Objects};
use crate::dispatch::Violation;

/// How long a call for memory waits for what others give back when they are asked.
const SHORT_WAIT: Duration = Duration::from_millis(250);

/// What became of a call.
pub(crate) enum Called {
    /// It was answered.
    Done,
    /// It is about an object that has to be brought: another agent has it, or a file.
    Remote { call: u64, reference: Reference, timeout: Option<Duration> },
    /// It is about keys at another agent.
    Lookup { call: u64, lookup: Lookup },
    /// There is no room for it now.
    Short { call: u64, size: u64 },
    /// It is a request of its own.
    Infer { call: u64, infer: anyserve_proto::worker::Infer, contents: Vec<Bytes> },
}

impl Objects {
    /// Answers a worker's call, if that needs no waiting.
    pub(crate) fn call(
        &self,
        worker: &WorkerMemory,
        call: Call,
        payload: Bytes,
    ) -> Result<Called, Violation> {
        let Call { call: number, what, payload_sizes, placed } = call;
        let payload = split_payload(payload, &payload_sizes)?;
        let result = match what.ok_or(Violation::OutOfTurn)? {
            call::What::Allocate(Allocate { size }) => match worker.allocate(size) {
                Ok(place) => Ok(answer::Result::Allocated(place)),
                Err(_) => return Ok(Called::Short { call: number, size }),
            },
            call::What::Create(create) => self.create(worker, create, &payload, &placed)?,
            call::What::Get(get) => match self.named(get.name) {
                Ok(reference) => match self.find(&reference) {
                    Ok(None) => {
                        let timeout = (get.timeout_us > 0).then(|| Duration::from_micros(get.timeout_us));
                        return Ok(Called::Remote { call: number, reference, timeout });
                    }
                    Ok(Some((bytes, object))) => {
                        let reference = object.described_by(reference);
                        worker.answer_object(number, self.got(&reference), bytes);
                        return Ok(Called::Done);
                    }
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            call::What::Lookup(lookup) if lookup.owner.is_empty() => {
                Ok(answer::Result::Found(self.look_up_here(&lookup.keys)))
            }
            call::What::Lookup(lookup) => return Ok(Called::Lookup { call: number, lookup }),
            call::What::Delete(name) => self.delete(name).map(answer::Result::Deleted),
            call::What::Stat(stat) => self
                .named(Some(stat))
                .and_then(|reference| self.stat_of(&reference))
                .map(answer::Result::Stat),
            call::What::Infer(infer) => {
                let contents = worker.unpack(payload, &placed)?;
                return Ok(Called::Infer { call: number, infer, contents });
            }
        };
        worker.answer(number, result);
        Ok(Called::Done)
    }

    /// A stat of an object that is here.
    pub(crate) fn stat(&self, id: ObjectId) -> Result<Described, ObjectError> {
        let stat = self.store.stat(id).ok_or(ObjectError::Unknown(id))?;
        Ok(self.described(&stat))
    }

    /// The same by a reference; of one that was pulled, only the reference says what it means.
    pub(crate) fn stat_of(&self, reference: &Reference) -> Result<Described, ObjectError> {
        let found = self.stat(reference.id)?;
        let known = found.reference.parse().is_ok_and(|known: Reference| known.owner == self.address());
        Ok(if known { found } else { Described { reference: reference.to_string(), ..found } })
    }

    /// The object of that key; without a reference if there is none.
    pub(crate) fn describe_key(&self, key: &str) -> Described {
        let stat = self.store.lookup(key).and_then(|id| self.store.stat(id));
        stat.map(|stat| self.described(&stat)).unwrap_or_default()
    }

    /// What an object is called, by its reference or its key.
    pub(crate) fn named(&self, name: Option<ObjectName>) -> Result<Reference, ObjectError> {
        match name.and_then(|name| name.name) {
            Some(object_name::Name::Reference(text)) => Ok(text.parse()?),
            Some(object_name::Name::Key(key)) => {
                let stat = self.store.lookup(&key).and_then(|id| self.store.stat(id));
                stat.map(|stat| stat.reference(self.address())).ok_or(ObjectError::NoKey(key))
            }
            None => Err(ObjectError::Invalid("neither a reference nor a key was given".to_owned())),
        }
    }

    /// The id of an object by whatever it is called: an id, a reference or a key.
    pub(crate) fn id_of(&self, name: &str) -> Result<ObjectId, ObjectError> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let name = if name.starts_with("anyserve://") {
            object_name::Name::Reference(name.to_owned())
        } else {
            object_name::Name::Key(name.to_owned())
        };
        self.named(Some(ObjectName { name: Some(name) })).map(|reference| reference.id)
    }

    /// What is told of an object.
    pub(crate) fn described(&self, stat: &Stat) -> Described {
        Described {
            reference: stat.reference(self.address()).to_string(),
            key: stat.key.clone().unwrap_or_default(),
            pinned: stat.pinned,
            expires_in_us: stat.expires_in.map(micros),
            age_us: micros(stat.age),
            creator: stat.object.creator.to_string(),
            leases: stat.leases,
            location: match &stat.object.origin {
                Some(owner) => owner.clone(),
                None if stat.on_disk => "disk".to_owned(),
                None => "memory".to_owned(),
            },
        }
    }

    /// Makes an object; what is told of it, should it have expired by now.
    pub(crate) fn make(&self, new: NewObject) -> Result<Described, ObjectError> {
        let (size, array) = (new.content.len(), new.array.clone());
        let id = self.store.create(None, new)?;
        self.stat(id).or_else(|_| {
            let reference = Reference { owner: self.address().to_owned(), id, size, array };
            Ok(Described { reference: reference.to_string(), ..Described::default() })
        })
    }

    /// What a worker is told of an object that it gets.
    pub(crate) fn got(&self, reference: &Reference) -> Described {
        let found = self.store.stat(reference.id);
        let expires_in_us = found.and_then(|stat| stat.expires_in).map(micros);
        Described { reference: reference.to_string(), expires_in_us, ..Described::default() }
    }

    /// Answers a call for memory as soon as there is some, but not much later than now.
    pub(crate) async fn allocate(&self, worker: &WorkerMemory, call: u64, size: u64) {
        let until = tokio::time::Instant::now() + SHORT_WAIT;
        loop {
            let freed = self.store.freed().notified();
            match worker.allocate(size) {
                Ok(place) => return worker.answer(call, Ok(answer::Result::Allocated(place))),
                Err(error) if tokio::time::timeout_at(until, freed).await.is_err() => {
                    return worker.answer(call, Err(error));
                }
                Err(_) => {}
            }
        }
    }

    fn create(
        &self,
        worker: &WorkerMemory,
        create: Create,
        payload: &[Bytes],
        placed: &[Placed],
    ) -> Result<Result<answer::Result, ObjectError>, Violation> {
        let content = match (placed, payload) {
            ([place], []) => match worker.seal(place)? {
                Some(slot) => Ok(Content::Slot(slot)),
                None => Err(ObjectError::Invalid(
                    "the memory is not all of what was allocated, or is an object already".to_owned(),
                )),
            },
            ([], [bytes]) => self.store.small(bytes),
            _ => return Err(Violation::OutOfTurn),
        };
        Ok(content.and_then(|content| {
            let new = new_object(create, content, Arc::clone(worker.name()));
            self.make(new).map(answer::Result::Created)
        }))
    }
}

impl WorkerMemory {
    /// Answers a call with an object's bytes.
    pub(crate) fn answer_object(&self, call: u64, got: Described, bytes: Bytes) {
        self.answer_with(call, answer::Result::Got(got), &[bytes], false);
    }

    /// Answers a call with contents; with `more`, another answer follows.
    pub(crate) fn answer_with(&self, call: u64, result: answer::Result, contents: &[Bytes], more: bool) {
        let Parcel { payload, placed } = self.pack(contents);
        let payload_sizes = payload.iter().map(|content| content.len() as u64).collect();
        let answer = Answer { call, result: Some(result), payload_sizes, placed, more };
        let message = ToWorker { message: Some(to_worker::Message::Answer(answer)) };
        if let Err(error) = self.sender().send(&message, &payload) {
            let message = format!("the answer fits no frame: {error}");
            self.answer(call, Err(ObjectError::Invalid(message)));
        }
    }

    /// Answers a call that has no contents.
    pub(crate) fn answer(&self, call: u64, result: Result<answer::Result, ObjectError>) {
        let result = result.unwrap_or_else(|error| {
            let (kind, message) = (error.kind() as i32, error.to_string());
            answer::Result::Failure(Failure { kind, message, ..Failure::default() })
        });
        let answer = Answer { call, result: Some(result), ..Answer::default() };
        self.send(to_worker::Message::Answer(answer));
    }
}

/// What is asked for, as an object that is to be.
pub(crate) fn new_object(create: Create, content: Content, creator: Arc<str>) -> NewObject {
    let Create { datatype, shape, key, ttl_us, pin } = create;
    NewObject {
        content,
        array: (!datatype.is_empty()).then_some(Array { datatype, shape }),
        key,
        ttl: (ttl_us > 0).then(|| Duration::from_micros(ttl_us)),
        pin,
        creator,
        origin: None,
    }
}
