//! What the application declared of a handler, and what is needed to call it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyserve::proto::inference::model_metadata_response::TensorMetadata;
use anyserve::proto::worker::Capability;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::capability::PyCapability;

/// A name, a datatype and a shape.
type Declared = (String, String, Vec<i64>);

/// What is known of a handler; times are in seconds, and none is no limit.
#[derive(FromPyObject)]
pub(crate) struct Handler {
    function: Py<PyAny>,
    name: String,
    capability: Py<PyCapability>,
    kind: String,
    is_async: bool,
    wants_context: bool,
    idempotent: bool,
    timeout: Option<f64>,
    concurrency: u32,
    slo: Option<f64>,
    priority: Option<u32>,
    max_queue_size: Option<u32>,
    max_batch_size: u32,
    max_batch_delay: f64,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
}

/// How a handler is called, and how it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request; returns a response.
    Unary,
    /// A list of requests; returns a list of responses.
    Batch,
    /// A request; returns an iterator of responses.
    Generator,
    /// A request, its context and a stream to send responses to.
    Stream,
}

/// A handler, ready to be called.
pub(crate) struct Ready {
    pub(crate) function: Py<PyAny>,
    pub(crate) name: String,
    pub(crate) pairs: Arc<BTreeMap<String, String>>,
    pub(crate) kind: Kind,
    pub(crate) is_async: bool,
    pub(crate) wants_context: bool,
}

impl Handler {
    /// What the agent is told.
    pub(crate) fn declaration(&self) -> Capability {
        let tensors = |declared: &[Declared]| {
            let tensor = |(name, datatype, shape): &Declared| TensorMetadata {
                name: name.clone(),
                datatype: datatype.clone(),
                shape: shape.clone(),
            };
            declared.iter().map(tensor).collect()
        };
        Capability {
            pairs: self.capability.get().0.pairs().clone(),
            idempotent: self.idempotent,
            timeout_us: self.timeout.map_or(0, micros),
            inputs: tensors(&self.inputs),
            outputs: tensors(&self.outputs),
            concurrency: self.concurrency,
            max_batch_size: self.max_batch_size,
            max_batch_delay_us: micros(self.max_batch_delay),
            stream: matches!(self.kind.as_str(), "generator" | "stream"),
            slo_us: self.slo.map_or(0, micros),
            priority: self.priority.unwrap_or(0),
            max_queue_size: self.max_queue_size.unwrap_or(0),
        }
    }
}

impl TryFrom<Handler> for Ready {
    type Error = PyErr;

    fn try_from(handler: Handler) -> PyResult<Self> {
        let kind = match handler.kind.as_str() {
            "unary" => Kind::Unary,
            "batch" => Kind::Batch,
            "generator" => Kind::Generator,
            "stream" => Kind::Stream,
            other => return Err(PyValueError::new_err(format!("there is no kind of handler '{other}'"))),
        };
        Ok(Self {
            pairs: Arc::new(handler.capability.get().0.pairs().clone()),
            function: handler.function,
            name: handler.name,
            kind,
            is_async: handler.is_async,
            wants_context: handler.wants_context,
        })
    }
}

/// How many batches a worker with these handlers runs at once.
pub(crate) fn concurrency(handlers: &[Handler]) -> u32 {
    handlers.iter().map(|handler| handler.concurrency).max().unwrap_or(1)
}

pub(crate) fn micros(seconds: f64) -> u64 {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // What is not zero must not become it.
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(u64::from(!time.is_zero()))
}
