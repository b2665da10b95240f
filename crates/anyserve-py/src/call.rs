//! Calling a handler, and answering with what it returned.

use std::io::Write as _;
use std::sync::Arc;

use anyserve::worker::{Answer, Failure, FailureKind, Request, reply_all};
use bytes::Bytes;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use crate::context::PyContext;
use crate::current::Entered;
use crate::errors;
use crate::handler::{Kind, Ready};
use crate::message::{PyInferRequest, PyInferResponse};
use crate::outlet::{Outlet, PyStream};

/// From this size on, replies are written without the GIL.
pub(crate) const LARGE_REPLY: usize = 64 * 1024;

/// Runs a handler that is not async on a batch, or a batch of one. Fails only on what must end the worker.
pub(crate) fn run(py: Python<'_>, handler: &Ready, mut batch: Vec<Request>) -> PyResult<()> {
    let _entered = Entered::new(&batch);
    if matches!(handler.kind, Kind::Unary | Kind::Batch) {
        let result =
            arguments(py, handler, &mut batch).and_then(|arguments| invoke(py, handler, arguments, None));
        return match result {
            Ok(result) => {
                answer(py, handler, batch, &result);
                Ok(())
            }
            Err(error) => fail(py, handler, batch, error),
        };
    }
    let Some(mut request) = batch.pop() else {
        return Ok(());
    };
    let arguments = arguments(py, handler, std::slice::from_mut(&mut request));
    let outlet = Outlet::new(request);
    let streamed = arguments.and_then(|arguments| stream(py, handler, arguments, &outlet));
    match streamed {
        Ok(()) => {
            py.detach(|| outlet.finish());
            Ok(())
        }
        Err(error) => fail_stream(py, handler, &outlet, error),
    }
}

/// The first arguments of a handler: its requests and their contexts.
type Arguments<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// The requests of a batch, or the request that it is, as the handler gets them.
pub(crate) fn arguments<'py>(
    py: Python<'py>,
    handler: &Ready,
    batch: &mut [Request],
) -> PyResult<Arguments<'py>> {
    let context = |request: &Request| PyContext {
        request: request.id(),
        capability: Arc::clone(&handler.pairs),
        cancelled: request.cancellation(),
        deadline: request.deadline(),
    };
    let argument = |request: &mut Request| {
        let (infer, contents) = request.take();
        Bound::new(py, PyInferRequest::from_proto(py, infer, contents)?)
    };
    if handler.kind == Kind::Batch {
        let requests = batch.iter_mut().map(argument).collect::<PyResult<Vec<_>>>()?;
        let contexts = handler.wants_context.then(|| PyList::new(py, batch.iter().map(context)));
        let contexts = contexts.transpose()?.map(Bound::into_any);
        return Ok((PyList::new(py, requests)?.into_any(), contexts));
    }
    let request = &mut batch[0];
    let contexts = handler.wants_context.then(|| Bound::new(py, context(request))).transpose()?;
    Ok((argument(request)?.into_any(), contexts.map(Bound::into_any)))
}

/// Calls the user's function.
pub(crate) fn invoke<'py>(
    py: Python<'py>,
    handler: &Ready,
    arguments: Arguments<'py>,
    stream: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let function = handler.function.bind(py);
    match (arguments, stream) {
        ((request, Some(context)), Some(stream)) => function.call1((request, context, stream)),
        ((request, Some(context)), None) => function.call1((request, context)),
        ((request, None), _) => function.call1((request,)),
    }
}

/// Answers with what a handler of one response, or of a list of them, returned.
pub(crate) fn answer(py: Python<'_>, handler: &Ready, batch: Vec<Request>, result: &Bound<'_, PyAny>) {
    let answers = match handler.kind {
        Kind::Batch => match batch_answers(py, handler, &batch, result) {
            Ok(answers) => answers,
            Err(failure) => vec![Err(failure); batch.len()],
        },
        _ => vec![response(py, handler, result)],
    };
    let size = |answer: &Answer| {
        answer.as_ref().map_or(0, |(_, contents)| contents.iter().map(Bytes::len).sum::<usize>())
    };
    let large = answers.iter().map(size).sum::<usize>() >= LARGE_REPLY;
    let answers = batch.into_iter().zip(answers);
    if large { py.detach(|| reply_all(answers)) } else { reply_all(answers) }
}

/// Answers every request with the error that the handler raised; returns it if it must end the worker.
pub(crate) fn fail(py: Python<'_>, handler: &Ready, batch: Vec<Request>, error: PyErr) -> PyResult<()> {
    let failure = failure(py, handler, &error);
    reply_all(batch.into_iter().map(|request| (request, Err(failure.clone()))));
    unless_fatal(py, error)
}

/// The same for a stream.
pub(crate) fn fail_stream(py: Python<'_>, handler: &Ready, outlet: &Outlet, error: PyErr) -> PyResult<()> {
    let failure = failure(py, handler, &error);
    py.detach(|| outlet.fail(failure));
    unless_fatal(py, error)
}

/// `SystemExit` and `KeyboardInterrupt` mean the process, not the request.
fn unless_fatal(py: Python<'_>, error: PyErr) -> PyResult<()> {
    if error.is_instance_of::<PyException>(py) { Ok(()) } else { Err(error) }
}

fn failure(py: Python<'_>, handler: &Ready, error: &PyErr) -> Failure {
    let failure = errors::to_failure(py, error);
    if failure.kind == FailureKind::Internal {
        // The user's own log; the client hears only the message.
        // A standard error that nobody reads any longer is no reason to fail.
        let _ = write!(std::io::stderr(), "handler {} failed:\n{}", handler.name, failure.traceback);
    }
    failure
}

/// Runs a handler that streams, until it has nothing more to send.
fn stream(py: Python<'_>, handler: &Ready, arguments: Arguments<'_>, outlet: &Arc<Outlet>) -> PyResult<()> {
    if handler.kind == Kind::Stream {
        let stream = Bound::new(py, PyStream(Arc::clone(outlet)))?.into_any();
        return returned_nothing(py, handler, &invoke(py, handler, arguments, Some(stream))?);
    }
    let responses = iterator(py, handler, &invoke(py, handler, arguments, None)?)?;
    let sent = send_each(py, handler, &responses, outlet);
    if sent.is_err()
        && let Ok(close) = responses.getattr("close")
        && let Err(error) = close.call0()
    {
        // What the generator's own clean-up raises is not why the stream ended.
        error.write_unraisable(py, Some(&responses));
    }
    sent
}

fn send_each(
    py: Python<'_>,
    handler: &Ready,
    responses: &Bound<'_, PyIterator>,
    outlet: &Outlet,
) -> PyResult<()> {
    for item in responses.clone() {
        let item = item?;
        let response = item.cast::<PyInferResponse>().map_err(|_| wrong(py, handler, &item, "yielded"))?;
        outlet.send(py, response)?;
        py.check_signals()?;
    }
    Ok(())
}

fn iterator<'py>(
    py: Python<'py>,
    handler: &Ready,
    result: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyIterator>> {
    result.try_iter().map_err(|_| {
        let (name, kind) = (&handler.name, kind_of(result));
        let message = format!("handler {name} returned {kind}; it must return an iterator of responses");
        errors::new(py, "InternalError", message)
    })
}

/// Sees that a handler which sends its responses did not return one.
pub(crate) fn returned_nothing(py: Python<'_>, handler: &Ready, result: &Bound<'_, PyAny>) -> PyResult<()> {
    if result.is_none() {
        return Ok(());
    }
    let (name, kind) = (&handler.name, kind_of(result));
    let message = format!("handler {name} returned {kind}; it sends its responses by stream.send()");
    Err(errors::new(py, "InternalError", message))
}

fn response(py: Python<'_>, handler: &Ready, result: &Bound<'_, PyAny>) -> Answer {
    let Ok(response) = result.cast::<PyInferResponse>() else {
        return Err(failure(py, handler, &wrong(py, handler, result, "returned")));
    };
    let proto = response.try_borrow().map_err(PyErr::from).and_then(|response| response.to_proto(py));
    proto.map_err(|error| failure(py, handler, &error))
}

fn batch_answers(
    py: Python<'_>,
    handler: &Ready,
    batch: &[Request],
    result: &Bound<'_, PyAny>,
) -> Result<Vec<Answer>, Failure> {
    let results: Option<Vec<Bound<'_, PyAny>>> = result.extract().ok();
    let wrong = |what: String| {
        let (name, requests) = (&handler.name, batch.len());
        let message = format!("handler {name} returned {what} for a batch of {requests} requests");
        failure(py, handler, &errors::new(py, "InternalError", message))
    };
    let results = results.ok_or_else(|| wrong(format!("{}, not a list of responses,", kind_of(result))))?;
    if results.len() != batch.len() {
        return Err(wrong(format!("{} responses", results.len())));
    }
    let one = |result: &Bound<'_, PyAny>| {
        if result.is_instance_of::<PyException>() {
            // The handler's word that this request failed, and the others did not.
            return Err(failure(py, handler, &PyErr::from_value(result.clone())));
        }
        response(py, handler, result)
    };
    Ok(results.iter().map(one).collect())
}

/// The error for what is no response.
pub(crate) fn wrong(py: Python<'_>, handler: &Ready, found: &Bound<'_, PyAny>, did: &str) -> PyErr {
    let (name, kind) = (&handler.name, kind_of(found));
    let must = if did == "yielded" { "yield" } else { "return" };
    let message = format!("handler {name} {did} {kind}; it must {must} a ModelInferResponse");
    errors::new(py, "InternalError", message)
}

pub(crate) fn kind_of(object: &Bound<'_, PyAny>) -> String {
    if object.is_none() {
        return "None".to_owned();
    }
    object.get_type().qualname().map_or_else(|_| "an object".to_owned(), |name| name.to_string())
}
