//! KServe v2 over REST: bodies of requests and responses, for whoever serves HTTP from Python.

use anyserve::proto::inference::model_metadata_response::TensorMetadata;
use anyserve::proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve::proto::rest::{self, InferCall, OutputForm, RestError};
use anyserve::proto::tensor::{self, SHARED_MEMORY_REGION};
use bytes::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::message::{PyInferRequest, PyInferResponse};

/// Which outputs of a request are to be binary.
#[pyclass(frozen, module = "anyserve", name = "OutputForm")]
pub(crate) struct PyOutputForm(OutputForm);

#[pymethods]
impl PyOutputForm {
    /// Every output as JSON.
    #[new]
    fn new() -> Self {
        Self(OutputForm::default())
    }

    /// True if the output of that name is to follow the JSON as binary data.
    fn is_binary(&self, output: &str) -> bool {
        self.0.is_binary(output)
    }
}

/// The request, and how its response is to be encoded.
#[pyfunction]
#[pyo3(signature = (body, header_length, model_name, model_version=""))]
pub(crate) fn decode_infer(
    py: Python<'_>,
    body: PyBackedBytes,
    header_length: Option<usize>,
    model_name: &str,
    model_version: &str,
) -> PyResult<(PyInferRequest, PyOutputForm)> {
    let body = Bytes::from_owner(body);
    let decode = || rest::decode_infer(&body, header_length, model_name, model_version);
    let InferCall { request, form } = py.detach(decode).map_err(invalid)?;
    check_no_shared_memory(&request)?;
    Ok((to_request(py, request)?, PyOutputForm(form)))
}

/// The body of the response, and how many bytes of it are JSON if not all are.
#[pyfunction]
#[pyo3(signature = (response, form=None))]
pub(crate) fn encode_response<'py>(
    py: Python<'py>,
    response: &PyInferResponse,
    form: Option<&PyOutputForm>,
) -> PyResult<(Bound<'py, PyBytes>, Option<usize>)> {
    let response = to_response(py, response)?;
    let form = form.map_or_else(OutputForm::default, |form| form.0.clone());
    let encoded = py.detach(|| rest::encode_response(&response, &form)).map_err(invalid)?;
    let length = encoded.json.len() + encoded.binary.iter().map(Bytes::len).sum::<usize>();
    let body = PyBytes::new_with(py, length, |out| {
        let mut at = 0;
        for piece in std::iter::once(&encoded.json[..]).chain(encoded.binary.iter().map(|piece| &piece[..])) {
            out[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        Ok(())
    })?;
    Ok((body, encoded.header_length))
}

/// The request that a flat object stands for.
#[pyfunction]
#[pyo3(signature = (body, inputs, model_name, model_version=""))]
pub(crate) fn decode_generate(
    py: Python<'_>,
    body: PyBackedBytes,
    inputs: Vec<(String, String, Vec<i64>)>,
    model_name: &str,
    model_version: &str,
) -> PyResult<PyInferRequest> {
    let declared = inputs.into_iter().map(|(name, datatype, shape)| TensorMetadata { name, datatype, shape });
    let declared: Vec<_> = declared.collect();
    let decode = || rest::decode_generate(&body, &declared, model_name, model_version);
    to_request(py, py.detach(decode).map_err(invalid)?)
}

/// The response as a flat object.
#[pyfunction]
pub(crate) fn encode_generate<'py>(
    py: Python<'py>,
    response: &PyInferResponse,
) -> PyResult<Bound<'py, PyBytes>> {
    let response = to_response(py, response)?;
    let body = py.detach(|| rest::encode_generate(&response)).map_err(invalid)?;
    Ok(PyBytes::new(py, &body))
}

fn to_request(py: Python<'_>, mut request: ModelInferRequest) -> PyResult<PyInferRequest> {
    tensor::normalize(&mut request).map_err(|error| PyValueError::new_err(error.to_string()))?;
    let contents = std::mem::take(&mut request.raw_input_contents);
    PyInferRequest::from_proto(py, request, contents)
}

fn to_response(py: Python<'_>, response: &PyInferResponse) -> PyResult<ModelInferResponse> {
    let (response, raw_output_contents) = response.to_proto(py)?;
    Ok(ModelInferResponse { raw_output_contents, ..response })
}

/// Shared memory is registered with one agent, and means nothing to whoever passes a request on.
fn check_no_shared_memory(request: &ModelInferRequest) -> PyResult<()> {
    let inputs = request.inputs.iter().map(|input| ("input", &input.name, &input.parameters));
    let outputs = request.outputs.iter().map(|output| ("output", &output.name, &output.parameters));
    let mut tensors = inputs.chain(outputs);
    match tensors.find(|(_, _, parameters)| parameters.contains_key(SHARED_MEMORY_REGION)) {
        None => Ok(()),
        Some((kind, name, _)) => Err(PyValueError::new_err(format!(
            "{kind} '{name}' is in shared memory, which only the agent that it is registered with can use; \
             send the request there"
        ))),
    }
}

fn invalid(error: RestError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
