//! The GPUs that the agent gave to this worker.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

/// Their numbers with commas between them; empty or absent for none.
const VARIABLE: &str = "ANYSERVE_GPUS";

/// Their numbers on this machine, in the agent's order. Read once: they stay the same for as long as the process runs.
#[pyfunction]
pub(crate) fn assigned_gpus(py: Python<'_>) -> PyResult<Py<PyTuple>> {
    static GPUS: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();
    let read =
        || Ok::<_, PyErr>(PyTuple::new(py, parse(&std::env::var(VARIABLE).unwrap_or_default())?)?.unbind());
    Ok(GPUS.get_or_try_init(py, read)?.clone_ref(py))
}

fn parse(text: &str) -> PyResult<Vec<u32>> {
    let numbers = text.split(',').map(str::trim).filter(|number| !number.is_empty());
    let wrong =
        |_| PyValueError::new_err(format!("{VARIABLE}={text:?} is not a list of numbers such as 0,1"));
    numbers.map(|number| number.parse().map_err(wrong)).collect()
}
