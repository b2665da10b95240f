//! What is said of objects, between the messages and those who speak of them.

use std::time::Duration;

use anyserve_core::object::{Array, Reference, ReferenceError};

use crate::objects::{Create, Object, ObjectName, object_name};

/// An object, by what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Its reference.
    Reference(Reference),
    /// The key that it goes by, at this agent.
    Key(String),
}

/// What holds for a new object, beside its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// What its bytes mean; none for plain bytes.
    pub array: Option<Array>,
    /// From now on it goes by that key.
    pub key: Option<String>,
    /// How long it is there at most.
    pub ttl: Option<Duration>,
    /// It does not make room for others.
    pub pin: bool,
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// What everybody calls it.
    pub reference: Reference,
    /// The key that it goes by.
    pub key: Option<String>,
    /// It does not make room for others.
    pub pinned: bool,
    /// How long it is there yet at most.
    pub expires_in: Option<Duration>,
    /// How long it has been there.
    pub age: Duration,
    /// Who made it, in words.
    pub creator: String,
    /// How many hold it now.
    pub leases: u64,
    /// `memory`, `disk`, or the address of the agent that it was pulled from.
    pub location: String,
}

impl Name {
    /// The same as a message.
    pub fn to_message(&self) -> ObjectName {
        let name = match self {
            Self::Reference(reference) => object_name::Name::Reference(reference.to_string()),
            Self::Key(key) => object_name::Name::Key(key.clone()),
        };
        ObjectName { name: Some(name) }
    }
}

impl From<Creation> for Create {
    fn from(creation: Creation) -> Self {
        let Creation { array, key, ttl, pin } = creation;
        let Array { datatype, shape } = array.unwrap_or(Array { datatype: String::new(), shape: Vec::new() });
        let ttl_us = ttl.map_or(0, |ttl| micros(ttl).max(1));
        Self { datatype, shape, key, ttl_us, pin }
    }
}

impl TryFrom<Object> for Info {
    type Error = ReferenceError;

    fn try_from(message: Object) -> Result<Self, ReferenceError> {
        Ok(Self {
            reference: message.reference.parse()?,
            key: (!message.key.is_empty()).then_some(message.key),
            pinned: message.pinned,
            expires_in: message.expires_in_us.map(Duration::from_micros),
            age: Duration::from_micros(message.age_us),
            creator: message.creator,
            leases: message.leases,
            location: message.location,
        })
    }
}

/// A duration as messages have it.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
