//! What an object is, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use anyserve_core::object::Array;
use anyserve_core::{ObjectId, Reference};
use anyserve_shm::{Charge, Entry, Slot};
use bytes::Bytes;

use super::spill::OnDisk;

/// An object: its bytes, wherever they are, and what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Object<C = Content> {
    pub(super) content: C,
    pub(crate) array: Option<Array>,
    pub(crate) creator: Arc<str>,
    pub(super) created: Duration,
    /// The agent that it was pulled from.
    pub(crate) origin: Option<String>,
}

/// Where an object's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Small(Bytes, Arc<Charge>),
    Slot(Slot),
}

/// An object that is to be.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub(crate) content: Content,
    pub(crate) array: Option<Array>,
    pub(crate) key: Option<String>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) pin: bool,
    pub(crate) creator: Arc<str>,
    pub(crate) origin: Option<String>,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub(crate) struct Stat {
    pub(crate) id: ObjectId,
    pub(crate) size: u64,
    pub(crate) object: Object<()>,
    /// It had to leave memory, and is brought back when somebody wants it.
    pub(crate) on_disk: bool,
    pub(crate) key: Option<String>,
    pub(crate) pinned: bool,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) age: Duration,
    pub(crate) leases: u64,
}

/// What there is of an object.
#[derive(Debug)]
pub(crate) enum Found {
    Memory(Bytes, Object),
    Disk(Object<OnDisk>),
    Nowhere,
}

impl<C> Object<C> {
    /// The same with its bytes elsewhere.
    pub(super) fn with<D>(&self, content: D) -> Object<D> {
        let Self { content: _, array, creator, created, origin } = self;
        let (array, creator, origin) = (array.clone(), Arc::clone(creator), origin.clone());
        Object { content, array, creator, created: *created, origin }
    }
}

impl Object {
    /// What a reader is told who came by that reference: of an object that was pulled, nothing else is known.
    pub(crate) fn described_by(self, reference: Reference) -> Reference {
        if self.origin.is_some() { reference } else { Reference { array: self.array, ..reference } }
    }

    /// One of another agent's.
    pub(crate) fn pulled(content: Content, owner: &str) -> Self {
        let creator = format!("agent {owner}").into();
        Self { content, array: None, creator, created: Duration::ZERO, origin: Some(owner.to_owned()) }
    }
}

impl Content {
    /// The bytes, which hold the content for as long as any part of them is held.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Small(bytes, _) => bytes.clone(),
            Self::Slot(slot) => slot.clone().into_bytes(),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Small(bytes, _) => bytes.len() as u64,
            Self::Slot(slot) => slot.as_ref().len() as u64,
        }
    }

    /// How many hold it beside the table. Who holds a small one has a copy, or soon will.
    pub(super) fn leases(&self) -> u64 {
        match self {
            Self::Small(..) => 0,
            Self::Slot(slot) => slot.holders() as u64 - 1,
        }
    }

    pub(super) fn account(&self) -> u64 {
        match self {
            Self::Small(_, charge) => charge.account(),
            Self::Slot(slot) => slot.account(),
        }
    }
}

impl Stat {
    pub(super) fn in_memory(id: ObjectId, entry: &Entry<Object>, now: Duration) -> Self {
        let content = &entry.value.content;
        Self { size: content.len(), leases: content.leases(), on_disk: false, ..Self::of(id, entry, now) }
    }

    pub(super) fn on_disk(id: ObjectId, entry: &Entry<Object<OnDisk>>, now: Duration) -> Self {
        Self { size: entry.value.content.len() as u64, ..Self::of(id, entry, now) }
    }

    fn of<C>(id: ObjectId, entry: &Entry<Object<C>>, now: Duration) -> Self {
        Self {
            id,
            size: 0,
            object: entry.value.with(()),
            on_disk: true,
            key: entry.key.clone(),
            pinned: entry.pinned,
            expires_in: entry.expires.map(|expires| expires.saturating_sub(now)),
            age: now.saturating_sub(entry.value.created),
            leases: 0,
        }
    }

    /// What others call it; it was made by the agent at `here`, unless it was pulled from another.
    pub(crate) fn reference(&self, here: &str) -> Reference {
        let owner = self.object.origin.clone().unwrap_or_else(|| here.to_owned());
        Reference { owner, id: self.id, size: self.size, array: self.object.array.clone() }
    }
}
