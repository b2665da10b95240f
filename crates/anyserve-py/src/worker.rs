//! `Worker`: the loop that brings requests to the user's handlers.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyserve::proto::inference::model_metadata_response::TensorMetadata;
use anyserve::proto::worker::Capability;
use anyserve::worker::{Failure, FailureKind, Request, Worker};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use crate::capability::PyCapability;
use crate::context::PyContext;
use crate::errors;
use crate::message::{PyInferRequest, PyInferResponse};

/// From this size on, a reply is written without the GIL.
const LARGE_REPLY: usize = 64 * 1024;

/// A name, a datatype and a shape.
type Declared = (String, String, Vec<i64>);

/// What is known of a handler.
#[derive(FromPyObject)]
struct Handler {
    function: Py<PyAny>,
    name: String,
    capability: Py<PyCapability>,
    wants_context: bool,
    idempotent: bool,
    /// Seconds; none is no limit.
    timeout: Option<f64>,
    inputs: Vec<Declared>,
    outputs: Vec<Declared>,
}

/// A handler, ready to be called.
struct Ready {
    function: Py<PyAny>,
    name: String,
    pairs: Arc<BTreeMap<String, String>>,
    wants_context: bool,
}

/// A worker process, connected to its agent.
#[pyclass(frozen, module = "anyserve._core", name = "Worker")]
pub(crate) struct PyWorker(Worker);

#[pymethods]
impl PyWorker {
    /// Takes over the control channel that the agent passed to this process.
    #[new]
    fn new() -> PyResult<Self> {
        Worker::from_env().map(Self).map_err(|error| PyRuntimeError::new_err(error.to_string()))
    }

    /// Tells the agent that the application could not be loaded.
    fn start_failed(&self, message: String, traceback: String) {
        self.0.start_failed(message, traceback);
    }

    /// Tells the agent what the handlers serve, and runs them until the agent says stop.
    fn serve(&self, py: Python<'_>, handlers: Vec<Handler>) -> PyResult<()> {
        let declared = handlers.iter().map(Handler::declaration).collect();
        let handlers: Vec<_> = handlers.into_iter().map(Ready::from).collect();
        py.detach(|| self.0.ready(declared, 1))
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        loop {
            // While there is work the GIL is kept: one crossing for many requests.
            let next = self.0.try_next().or_else(|| py.detach(|| self.0.next()));
            let Some(request) = next else {
                return Ok(());
            };
            answer(py, &handlers, request)?;
            py.check_signals()?;
        }
    }
}

impl Handler {
    fn declaration(&self) -> Capability {
        let tensors = |declared: &[Declared]| {
            let tensor = |(name, datatype, shape): &Declared| TensorMetadata {
                name: name.clone(),
                datatype: datatype.clone(),
                shape: shape.clone(),
            };
            declared.iter().map(tensor).collect()
        };
        let micros = |seconds: f64| {
            let timeout = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
            u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)
        };
        Capability {
            pairs: self.capability.get().0.pairs().clone(),
            idempotent: self.idempotent,
            timeout_us: self.timeout.map_or(0, micros),
            inputs: tensors(&self.inputs),
            outputs: tensors(&self.outputs),
        }
    }
}

impl From<Handler> for Ready {
    fn from(handler: Handler) -> Self {
        let pairs = Arc::new(handler.capability.get().0.pairs().clone());
        Self { function: handler.function, name: handler.name, pairs, wants_context: handler.wants_context }
    }
}

/// Runs the handler of one request and sends its answer. Fails only on what must end the worker.
fn answer(py: Python<'_>, handlers: &[Ready], mut request: Request) -> PyResult<()> {
    let Some(handler) = handlers.get(request.capability()) else {
        request.fail(Failure::new(FailureKind::Internal, "the agent named a handler that does not exist"));
        return Ok(());
    };
    match call(py, handler, &mut request) {
        Ok((response, contents)) => {
            if contents.iter().map(bytes::Bytes::len).sum::<usize>() < LARGE_REPLY {
                request.reply(response, &contents);
            } else {
                py.detach(|| request.reply(response, &contents));
            }
            Ok(())
        }
        Err(error) => {
            let failure = errors::to_failure(py, &error);
            if failure.kind == FailureKind::Internal {
                // The user's own log; the client hears only the message.
                eprint!("handler {} failed:\n{}", handler.name, failure.traceback);
            }
            request.fail(failure);
            // SystemExit and KeyboardInterrupt mean the process, not the request.
            if error.is_instance_of::<PyException>(py) { Ok(()) } else { Err(error) }
        }
    }
}

fn call(
    py: Python<'_>,
    handler: &Ready,
    request: &mut Request,
) -> PyResult<(anyserve::proto::inference::ModelInferResponse, Vec<bytes::Bytes>)> {
    let (infer, contents) = request.take();
    let argument = Bound::new(py, PyInferRequest::from_proto(py, infer, contents)?)?;
    let function = handler.function.bind(py);
    let result = if handler.wants_context {
        let context = PyContext {
            capability: Arc::clone(&handler.pairs),
            cancelled: request.cancellation(),
            deadline: request.deadline(),
        };
        function.call1((argument, context))?
    } else {
        function.call1((argument,))?
    };
    if let Ok(response) = result.cast::<PyInferResponse>() {
        return response.borrow().to_proto(py);
    }
    let kind = if result.is_none() { "None".into() } else { result.get_type().qualname()?.to_string() };
    let name = &handler.name;
    let message = format!("handler {name} returned {kind}; it must return a ModelInferResponse");
    Err(errors::new(py, "InternalError", message))
}
