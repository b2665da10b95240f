//! What a worker says it serves, checked once when it says so.

use std::time::Duration;

use anyserve_core::capability::Value;
use anyserve_core::scheduler::{Offer, Priority};
use anyserve_core::{Capability, CapabilityError};
use anyserve_proto::inference::model_metadata_response::TensorMetadata;
use anyserve_proto::worker::{Capability as Declared, DeclaredPool, Hello};

/// The most capabilities, and the most requests at once, that a worker may claim.
const MOST: usize = 1024;

/// What a worker serves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) capabilities: Vec<Described>,
    pub(crate) concurrency: usize,
    /// Its worker can be told to sleep.
    pub(crate) sleeps: bool,
}

/// One capability, its handler's options, and the tensors it declares.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Described {
    pub(crate) offer: Offer,
    pub(crate) inputs: Vec<TensorMetadata>,
    pub(crate) outputs: Vec<TensorMetadata>,
}

/// Why a worker cannot join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("it speaks version {found} of the worker protocol, this agent speaks {expected}")]
    Version { found: u32, expected: u32 },
    #[error(
        "it serves {found} capabilities with a concurrency of {concurrency}; at most {MOST} of each are taken"
    )]
    TooMuch { found: usize, concurrency: u32 },
    #[error("it serves no capability")]
    NoCapabilities,
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    #[error("its options for {0} are out of bounds, or do not go together")]
    Options(Capability),
    #[error("it serves {0} twice")]
    Duplicate(Capability),
    #[error("it serves {found}, but its pool serves {expected}; `anyserve reload` takes changed code up")]
    Changed { found: String, expected: String },
}

impl TryFrom<Hello> for Declaration {
    type Error = HelloError;

    fn try_from(hello: Hello) -> Result<Self, HelloError> {
        check_version(hello.protocol_version)?;
        Self::new(hello.capabilities, hello.concurrency, hello.sleeps)
    }
}

impl TryFrom<&DeclaredPool> for Declaration {
    type Error = HelloError;

    fn try_from(pool: &DeclaredPool) -> Result<Self, HelloError> {
        Self::new(pool.capabilities.clone(), pool.concurrency, pool.sleeps)
    }
}

/// Refuses who speaks another version of the protocol.
pub(crate) fn check_version(found: u32) -> Result<(), HelloError> {
    let expected = anyserve_proto::WORKER_PROTOCOL_VERSION;
    if found == expected { Ok(()) } else { Err(HelloError::Version { found, expected }) }
}

impl Declaration {
    fn new(declared: Vec<Declared>, concurrency: u32, sleeps: bool) -> Result<Self, HelloError> {
        let found = declared.len();
        if found > MOST || concurrency as usize > MOST {
            return Err(HelloError::TooMuch { found, concurrency });
        }
        let mut capabilities: Vec<Described> = Vec::with_capacity(found);
        for declared in declared {
            let pairs = declared.pairs.clone().into_iter().map(|(key, text)| (key, Value::Text(text)));
            let capability = Capability::new(pairs)?;
            if capabilities.iter().any(|earlier| earlier.offer.capability == capability) {
                return Err(HelloError::Duplicate(capability));
            }
            let offer = offer(capability, &declared, concurrency)?;
            capabilities.push(Described { offer, inputs: declared.inputs, outputs: declared.outputs });
        }
        if capabilities.is_empty() {
            return Err(HelloError::NoCapabilities);
        }
        Ok(Self { capabilities, concurrency: concurrency.max(1) as usize, sleeps })
    }
}

/// What the scheduler knows of a capability.
fn offer(capability: Capability, declared: &Declared, concurrency: u32) -> Result<Offer, HelloError> {
    let duration = |micros: u64| (micros > 0).then(|| Duration::from_micros(micros));
    let number = |number: u32| (number > 0).then_some(number as usize);
    let (batch, own) = (declared.max_batch_size, declared.concurrency);
    if batch as usize > MOST || own > concurrency || (batch > 1 && declared.stream) {
        return Err(HelloError::Options(capability));
    }
    let priority = match declared.priority {
        0 => Priority::default(),
        level => Priority::new(level.into()).ok_or_else(|| HelloError::Options(capability.clone()))?,
    };
    Ok(Offer {
        idempotent: declared.idempotent,
        timeout: duration(declared.timeout_us),
        // No limit where the worker's own is the same.
        concurrency: number(own).filter(|_| own < concurrency),
        max_batch_size: number(batch).unwrap_or(1),
        max_batch_delay: Duration::from_micros(declared.max_batch_delay_us),
        stream: declared.stream,
        slo: duration(declared.slo_us),
        priority,
        max_queue_size: number(declared.max_queue_size),
        ..Offer::new(capability)
    })
}
