//! Parameters: a Python dict, made when somebody looks.

use std::collections::BTreeMap;

use anyserve::proto::inference::InferParameter;
use anyserve::proto::inference::infer_parameter::ParameterChoice;
use anyserve::proto::tensor::text_parameter;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};

type ProtoParameters = BTreeMap<String, InferParameter>;

/// The parameters of a message or a tensor.
#[derive(Default)]
pub(crate) struct Parameters {
    proto: ProtoParameters,
    /// What they are once Python has seen them, and may have changed them.
    dict: Option<Py<PyDict>>,
}

impl Parameters {
    pub(crate) fn from_proto(proto: ProtoParameters) -> Self {
        Self { proto, dict: None }
    }

    pub(crate) fn from_dict(dict: Option<Bound<'_, PyDict>>) -> PyResult<Self> {
        if let Some(dict) = &dict {
            // What cannot be sent is refused where it is given.
            to_proto(dict)?;
        }
        let dict = dict.map(|dict| dict.copy()).transpose()?;
        Ok(Self { proto: BTreeMap::new(), dict: dict.map(Bound::unbind) })
    }

    /// The dict, which is the truth from now on.
    pub(crate) fn dict<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        if let Some(dict) = &self.dict {
            return Ok(dict.bind(py).clone());
        }
        let dict = PyDict::new(py);
        for (name, parameter) in std::mem::take(&mut self.proto) {
            match parameter.parameter_choice {
                Some(ParameterChoice::BoolParam(value)) => dict.set_item(name, value)?,
                Some(ParameterChoice::Int64Param(value)) => dict.set_item(name, value)?,
                Some(ParameterChoice::Uint64Param(value)) => dict.set_item(name, value)?,
                Some(ParameterChoice::DoubleParam(value)) => dict.set_item(name, value)?,
                Some(ParameterChoice::StringParam(value)) => dict.set_item(name, value)?,
                None => dict.set_item(name, py.None())?,
            }
        }
        self.dict = Some(dict.clone().unbind());
        Ok(dict)
    }

    /// The parameter of that name, if it is text.
    pub(crate) fn text(&self, py: Python<'_>, name: &str) -> Option<String> {
        match &self.dict {
            Some(dict) => dict.bind(py).get_item(name).ok()??.extract().ok(),
            None if self.proto.is_empty() => None,
            None => text_parameter(&self.proto, name).map(str::to_owned),
        }
    }

    /// Sets a parameter to text.
    pub(crate) fn set_text(&mut self, py: Python<'_>, name: &str, text: String) -> PyResult<()> {
        self.dict(py)?.set_item(name, text)
    }

    /// Takes a parameter out, if it is there.
    pub(crate) fn remove(&mut self, py: Python<'_>, name: &str) -> PyResult<()> {
        if self.text(py, name).is_some() {
            self.dict(py)?.del_item(name)?;
        }
        Ok(())
    }

    pub(crate) fn to_proto(&self, py: Python<'_>) -> PyResult<ProtoParameters> {
        match &self.dict {
            Some(dict) => to_proto(dict.bind(py)),
            None => Ok(self.proto.clone()),
        }
    }
}

fn to_proto(dict: &Bound<'_, PyDict>) -> PyResult<ProtoParameters> {
    dict.iter()
        .map(|(name, value)| {
            let name = name
                .extract::<String>()
                .map_err(|_| PyTypeError::new_err(format!("parameter name {name:?} is not a str")))?;
            let choice = to_choice(&name, &value)?;
            Ok((name, InferParameter { parameter_choice: Some(choice) }))
        })
        .collect()
}

fn to_choice(name: &str, value: &Bound<'_, PyAny>) -> PyResult<ParameterChoice> {
    // bool first: it is an int to Python.
    if value.is_instance_of::<PyBool>() {
        Ok(ParameterChoice::BoolParam(value.extract()?))
    } else if value.is_instance_of::<PyInt>() {
        match value.extract() {
            Ok(signed) => Ok(ParameterChoice::Int64Param(signed)),
            Err(_) => Ok(ParameterChoice::Uint64Param(value.extract()?)),
        }
    } else if value.is_instance_of::<PyFloat>() {
        Ok(ParameterChoice::DoubleParam(value.extract()?))
    } else if value.is_instance_of::<PyString>() {
        Ok(ParameterChoice::StringParam(value.extract()?))
    } else {
        let kind = value.get_type().qualname()?;
        Err(PyTypeError::new_err(format!(
            "parameter '{name}' is a {kind}; it must be a bool, int, float or str"
        )))
    }
}
