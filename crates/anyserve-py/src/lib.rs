//! The `anyserve._core` extension module: conversions, errors and the buffer protocol; what it does is in the other
//! crates, what it looks like to a user is in `python/anyserve`.

mod admin;
mod agent;
mod array;
mod call;
mod calls;
mod capability;
mod client;
mod client_objects;
mod contents;
mod context;
mod current;
mod errors;
mod fleet;
mod gpus;
mod handler;
mod message;
mod object_ref;
mod objects;
mod options;
mod outlet;
mod parameters;
mod pool;
mod process;
mod quick;
mod raw;
mod registry;
mod response_stream;
mod rest;
mod staging;
mod store;
mod target;
mod tensor;
mod waiting;
mod work;
mod worker;
mod writable;

use pyo3::prelude::*;

/// The Rust core of anyserve.
#[pymodule(gil_used = true)]
mod _core {
    #[pymodule_export]
    use super::admin::PyAdmin;
    #[pymodule_export]
    use super::agent::run_agent;
    #[pymodule_export]
    use super::calls::{PyCall, call};
    #[pymodule_export]
    use super::capability::PyCapability;
    #[pymodule_export]
    use super::client::PyClient;
    #[pymodule_export]
    use super::client_objects::PyClientObjects;
    #[pymodule_export]
    use super::contents::PyContents;
    #[pymodule_export]
    use super::context::PyContext;
    #[pymodule_export]
    use super::gpus::assigned_gpus;
    #[pymodule_export]
    use super::message::{PyInferRequest, PyInferResponse};
    #[pymodule_export]
    use super::object_ref::PyObjectRef;
    #[pymodule_export]
    use super::objects::{PyEmptyObject, PyObjectInfo, PyObjects};
    #[pymodule_export]
    use super::outlet::PyStream;
    #[pymodule_export]
    use super::process::die_with_parent;
    #[pymodule_export]
    use super::raw::PyRaw;
    #[pymodule_export]
    use super::registry::PyRegistry;
    #[pymodule_export]
    use super::response_stream::PyResponseStream;
    #[pymodule_export]
    use super::rest::{PyOutputForm, decode_generate, decode_infer, encode_generate, encode_response};
    #[pymodule_export]
    use super::store::copied_bytes;
    #[pymodule_export]
    use super::tensor::PyTensor;
    #[pymodule_export]
    use super::work::PyWork;
    #[pymodule_export]
    use super::worker::PyWorker;
    #[pymodule_export]
    use super::writable::PyWritable;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
