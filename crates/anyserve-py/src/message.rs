//! `ModelInferRequest` and `ModelInferResponse`.

use anyserve::proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use anyserve::proto::inference::model_infer_response::InferOutputTensor;
use anyserve::proto::inference::{ModelInferRequest, ModelInferResponse};
use anyserve::proto::tensor::Datatype;
use bytes::Bytes;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::parameters::Parameters;
use crate::tensor::PyTensor;

/// What a client asks.
#[pyclass(module = "anyserve", name = "ModelInferRequest")]
pub(crate) struct PyInferRequest {
    #[pyo3(get, set)]
    model_name: String,
    #[pyo3(get, set)]
    model_version: String,
    #[pyo3(get, set)]
    id: String,
    parameters: Parameters,
    inputs: Vec<Py<PyTensor>>,
    /// Names of the outputs that the client wants; none means all.
    #[pyo3(get, set)]
    requested_outputs: Vec<String>,
}

/// What a handler answers.
#[pyclass(module = "anyserve", name = "ModelInferResponse")]
pub(crate) struct PyInferResponse {
    #[pyo3(get, set)]
    model_name: String,
    #[pyo3(get, set)]
    model_version: String,
    #[pyo3(get, set)]
    id: String,
    parameters: Parameters,
    outputs: Vec<Py<PyTensor>>,
}

impl PyInferRequest {
    /// From a message whose tensors were normalized, and their contents.
    pub(crate) fn from_proto(
        py: Python<'_>,
        infer: ModelInferRequest,
        contents: Vec<Bytes>,
    ) -> PyResult<Self> {
        let inputs = infer.inputs.into_iter().zip(contents).map(|(input, raw)| {
            tensor(
                py,
                input.name,
                &input.datatype,
                input.shape,
                Parameters::from_proto(input.parameters),
                raw,
            )
        });
        Ok(Self {
            inputs: inputs.collect::<PyResult<_>>()?,
            model_name: infer.model_name,
            model_version: infer.model_version,
            id: infer.id,
            parameters: Parameters::from_proto(infer.parameters),
            requested_outputs: infer.outputs.into_iter().map(|output| output.name).collect(),
        })
    }

    pub(crate) fn to_proto(&self, py: Python<'_>) -> PyResult<ModelInferRequest> {
        let (mut inputs, mut raw_input_contents) = (Vec::new(), Vec::new());
        for input in &self.inputs {
            let input = input.try_borrow(py)?;
            if !input.is_elsewhere(py) {
                raw_input_contents.push(input.raw.clone());
            }
            inputs.push(InferInputTensor {
                name: input.name.clone(),
                datatype: input.datatype.name().to_owned(),
                shape: input.shape.clone(),
                parameters: input.parameters.to_proto(py)?,
                contents: None,
            });
        }
        let requested =
            |name: &String| InferRequestedOutputTensor { name: name.clone(), ..Default::default() };
        Ok(ModelInferRequest {
            model_name: self.model_name.clone(),
            model_version: self.model_version.clone(),
            id: self.id.clone(),
            parameters: self.parameters.to_proto(py)?,
            inputs,
            outputs: self.requested_outputs.iter().map(requested).collect(),
            raw_input_contents,
        })
    }
}

#[pymethods]
impl PyInferRequest {
    #[new]
    #[pyo3(signature = (model_name="", model_version="", id="", *, parameters=None))]
    fn new(
        model_name: &str,
        model_version: &str,
        id: &str,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let parameters = Parameters::from_dict(parameters)?;
        Ok(Self {
            model_name: model_name.to_owned(),
            model_version: model_version.to_owned(),
            id: id.to_owned(),
            parameters,
            inputs: Vec::new(),
            requested_outputs: Vec::new(),
        })
    }

    /// A dict of the request's parameters; changes to it are kept.
    #[getter]
    fn parameters<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.parameters.dict(py)
    }

    /// The input tensors, in order.
    #[getter]
    fn inputs(&self, py: Python<'_>) -> Vec<Py<PyTensor>> {
        self.inputs.iter().map(|input| input.clone_ref(py)).collect()
    }

    /// The input of that name; `KeyError`, with the names there are, if there is none.
    fn get_input(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyTensor>> {
        find(py, &self.inputs, "input", name)
    }

    /// Adds an input and returns it.
    #[pyo3(signature = (name, datatype=None, shape=None, data=None, *, parameters=None))]
    fn add_input(
        &mut self,
        py: Python<'_>,
        name: String,
        datatype: Option<&str>,
        shape: Option<Vec<i64>>,
        data: Option<&Bound<'_, PyAny>>,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyTensor>> {
        let tensor = Py::new(py, PyTensor::new(name, data, datatype, shape, parameters)?)?;
        self.inputs.push(tensor.clone_ref(py));
        Ok(tensor)
    }

    fn __repr__(&self) -> String {
        let (model, id, inputs) = (&self.model_name, &self.id, self.inputs.len());
        format!("ModelInferRequest(model_name='{model}', id='{id}', {inputs} inputs)")
    }
}

impl PyInferResponse {
    pub(crate) fn from_proto(py: Python<'_>, infer: ModelInferResponse) -> PyResult<Self> {
        let outputs = infer.outputs.into_iter().zip(infer.raw_output_contents).map(|(output, raw)| {
            tensor(
                py,
                output.name,
                &output.datatype,
                output.shape,
                Parameters::from_proto(output.parameters),
                raw,
            )
        });
        Ok(Self {
            outputs: outputs.collect::<PyResult<_>>()?,
            model_name: infer.model_name,
            model_version: infer.model_version,
            id: infer.id,
            parameters: Parameters::from_proto(infer.parameters),
        })
    }

    /// The message without contents, and the contents of its outputs.
    pub(crate) fn to_proto(&self, py: Python<'_>) -> PyResult<(ModelInferResponse, Vec<Bytes>)> {
        let (mut outputs, mut contents) = (Vec::new(), Vec::new());
        for output in &self.outputs {
            let output = output.try_borrow(py)?;
            contents.push(if output.is_elsewhere(py) { Bytes::new() } else { output.raw.clone() });
            outputs.push(InferOutputTensor {
                name: output.name.clone(),
                datatype: output.datatype.name().to_owned(),
                shape: output.shape.clone(),
                parameters: output.parameters.to_proto(py)?,
                contents: None,
            });
        }
        let response = ModelInferResponse {
            model_name: self.model_name.clone(),
            model_version: self.model_version.clone(),
            id: self.id.clone(),
            parameters: self.parameters.to_proto(py)?,
            outputs,
            raw_output_contents: Vec::new(),
        };
        Ok((response, contents))
    }
}

#[pymethods]
impl PyInferResponse {
    #[new]
    #[pyo3(signature = (model_name="", model_version="", id="", *, parameters=None))]
    fn new(
        model_name: &str,
        model_version: &str,
        id: &str,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let parameters = Parameters::from_dict(parameters)?;
        Ok(Self {
            model_name: model_name.to_owned(),
            model_version: model_version.to_owned(),
            id: id.to_owned(),
            parameters,
            outputs: Vec::new(),
        })
    }

    /// A dict of the response's parameters; changes to it are kept.
    #[getter]
    fn parameters<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.parameters.dict(py)
    }

    /// The output tensors, in order.
    #[getter]
    fn outputs(&self, py: Python<'_>) -> Vec<Py<PyTensor>> {
        self.outputs.iter().map(|output| output.clone_ref(py)).collect()
    }

    /// The output of that name; `KeyError`, with the names there are, if there is none.
    fn get_output(&self, py: Python<'_>, name: &str) -> PyResult<Py<PyTensor>> {
        find(py, &self.outputs, "output", name)
    }

    /// Adds an output and returns it.
    #[pyo3(signature = (name, datatype=None, shape=None, data=None, *, parameters=None))]
    fn add_output(
        &mut self,
        py: Python<'_>,
        name: String,
        datatype: Option<&str>,
        shape: Option<Vec<i64>>,
        data: Option<&Bound<'_, PyAny>>,
        parameters: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyTensor>> {
        let tensor = Py::new(py, PyTensor::new(name, data, datatype, shape, parameters)?)?;
        self.outputs.push(tensor.clone_ref(py));
        Ok(tensor)
    }

    fn __repr__(&self) -> String {
        let (model, id, outputs) = (&self.model_name, &self.id, self.outputs.len());
        format!("ModelInferResponse(model_name='{model}', id='{id}', {outputs} outputs)")
    }
}

fn tensor(
    py: Python<'_>,
    name: String,
    datatype: &str,
    shape: Vec<i64>,
    parameters: Parameters,
    raw: Bytes,
) -> PyResult<Py<PyTensor>> {
    let datatype = Datatype::parse(datatype).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Py::new(py, PyTensor { name, datatype, shape, parameters, raw })
}

fn find(py: Python<'_>, tensors: &[Py<PyTensor>], kind: &str, name: &str) -> PyResult<Py<PyTensor>> {
    let found = tensors.iter().find(|tensor| tensor.try_borrow(py).is_ok_and(|tensor| tensor.name == name));
    found.map(|tensor| tensor.clone_ref(py)).ok_or_else(|| {
        let readable = tensors.iter().filter_map(|tensor| tensor.try_borrow(py).ok());
        let names: Vec<_> = readable.map(|tensor| format!("'{}'", tensor.name)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        PyKeyError::new_err(format!("there is no {kind} '{name}'; there is {names}"))
    })
}
