//! `Registry`: who offers what, for the API server.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyserve::core::Capability;
use anyserve::core::replicas::{Change, Replica, ReplicaId};
use anyserve::registry::{Changes, Follower, Registry, RegistryError, incarnation, open};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use pyo3_async_runtimes::tokio::{future_into_py, get_runtime};

use crate::capability::{to_capability, to_query};
use crate::client::to_timeout;
use crate::errors;

/// The replicas of a fleet.
#[pyclass(frozen, module = "anyserve._core", name = "Registry")]
pub(crate) struct PyRegistry {
    registry: Arc<dyn Registry>,
    follower: Follower,
    /// How many routes were asked for: the next one goes to the next replica.
    turn: AtomicUsize,
}

#[pymethods]
impl PyRegistry {
    #[new]
    fn new(py: Python<'_>, url: &str) -> PyResult<Self> {
        // Connections and the follower live on the runtime that all clients share.
        let _context = get_runtime().enter();
        let registry = open(url).map_err(|error| to_error(py, error))?;
        let follower = Follower::start(Arc::clone(&registry));
        Ok(Self { registry, follower, turn: AtomicUsize::new(0) })
    }

    /// Registers a replica for `lease` seconds, renews it or changes it.
    fn put<'py>(
        &self,
        py: Python<'py>,
        replica: &Bound<'py, PyDict>,
        lease: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let replica = to_replica(py, replica)?;
        let lease = to_timeout(Some(lease))?.unwrap_or_default();
        let registry = Arc::clone(&self.registry);
        future_into_py(py, async move {
            let result = registry.put(&replica, lease).await;
            result.map_err(|error| Python::attach(|py| to_error(py, error)))
        })
    }

    /// Takes a replica out; true if it was there, and of that incarnation or an earlier one.
    #[pyo3(signature = (replica_id, incarnation=None))]
    fn remove<'py>(
        &self,
        py: Python<'py>,
        replica_id: &str,
        incarnation: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = to_id(replica_id)?;
        let registry = Arc::clone(&self.registry);
        future_into_py(py, async move {
            let result = registry.remove(&id, incarnation).await;
            result.map_err(|error| Python::attach(|py| to_error(py, error)))
        })
    }

    /// One replica that matches, each in turn; none if no replica does.
    #[pyo3(signature = (query, exclude=Vec::new()))]
    fn route<'py>(
        &self,
        py: Python<'py>,
        query: &Bound<'py, PyDict>,
        exclude: Vec<String>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let query = to_query(py, query)?;
        let matches = self.follower.directory().read().matching(&query);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let start = turn.checked_rem(matches.len()).unwrap_or_default();
        let mut in_turn = matches[start..].iter().chain(&matches[..start]);
        let is_allowed =
            |replica: &&Arc<Replica>| !exclude.iter().any(|other| other == replica.id().as_str());
        in_turn.find(is_allowed).map(|replica| to_route(py, replica)).transpose()
    }

    /// The replicas that match, by id; all of them without a query.
    #[pyo3(signature = (query=None))]
    fn replicas<'py>(
        &self,
        py: Python<'py>,
        query: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyList>> {
        match query {
            Some(query) => {
                let query = to_query(py, query)?;
                let matches = self.follower.directory().read().matching(&query);
                to_dicts(py, &matches)
            }
            None => to_dicts(py, &self.follower.directory().snapshot().1),
        }
    }

    /// The version of what is known, and all replicas.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyList>)> {
        let (version, replicas) = self.follower.directory().snapshot();
        Ok((version, to_dicts(py, &replicas)?))
    }

    /// Waits for another version than `since`: that version, and what has changed.
    fn changes<'py>(&self, py: Python<'py>, since: u64) -> PyResult<Bound<'py, PyAny>> {
        let directory = Arc::clone(self.follower.directory());
        future_into_py(py, async move {
            let (version, changes) = directory.changes(since).await;
            Python::attach(|py| Ok((version, to_list(py, &changes)?.unbind())))
        })
    }

    /// A sentence for a query that no replica matches.
    fn explain_no_match(&self, py: Python<'_>, query: &Bound<'_, PyDict>) -> PyResult<String> {
        let query = to_query(py, query)?;
        Ok(self.follower.directory().read().explain_no_match(&query))
    }

    /// True while the registry is followed; else what is known is what was known last.
    fn is_connected(&self) -> bool {
        self.follower.directory().status().connected
    }
}

fn to_replica(py: Python<'_>, dict: &Bound<'_, PyDict>) -> PyResult<Replica> {
    let member = |name: &str| {
        let missing = || PyValueError::new_err(format!("a replica needs '{name}'"));
        dict.get_item(name)?.ok_or_else(missing)
    };
    let wrong =
        |name: &str, kind: &str| PyValueError::new_err(format!("'{name}' of a replica must be {kind}"));
    let id: String = member("replica_id")?.extract().map_err(|_| wrong("replica_id", "a str"))?;
    let endpoint: String = member("endpoint")?.extract().map_err(|_| wrong("endpoint", "a str"))?;
    let incarnation = match dict.get_item("incarnation")?.filter(|value| !value.is_none()) {
        Some(value) => value.extract().map_err(|_| wrong("incarnation", "an int from 0 to 2**64 - 1"))?,
        None => incarnation(),
    };
    let listed = |name: &str, value: Bound<'_, PyAny>| {
        let listed: Vec<Bound<'_, PyDict>> = value.extract().map_err(|_| wrong(name, "a list of dicts"))?;
        let capabilities: PyResult<Vec<_>> = listed.iter().map(|pairs| to_capability(py, pairs)).collect();
        capabilities.map_err(|error| as_value_error(py, error))
    };
    let capabilities = listed("capabilities", member("capabilities")?)?;
    let idempotent = match dict.get_item("idempotent")?.filter(|value| !value.is_none()) {
        Some(value) => listed("idempotent", value)?,
        None => Vec::new(),
    };
    let replica = Replica::new(to_id(&id)?, &endpoint, incarnation, capabilities);
    let replica = replica.map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(replica.with_idempotent(idempotent))
}

/// Whatever is wrong with a replica is a `ValueError`, the type of a value in it as well.
fn as_value_error(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyTypeError>(py) {
        PyValueError::new_err(error.value(py).to_string())
    } else {
        error
    }
}

fn to_id(text: &str) -> PyResult<ReplicaId> {
    ReplicaId::new(text).map_err(|error| PyValueError::new_err(error.to_string()))
}

fn to_route<'py>(py: Python<'py>, replica: &Replica) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("endpoint", replica.endpoint())?;
    dict.set_item("replica_id", replica.id().as_str())?;
    Ok(dict)
}

fn to_dict<'py>(py: Python<'py>, replica: &Replica) -> PyResult<Bound<'py, PyDict>> {
    let listed = |capabilities: &BTreeSet<Capability>| {
        PyList::new(py, capabilities.iter().map(Capability::pairs).collect::<Vec<_>>())
    };
    let dict = PyDict::new(py);
    dict.set_item("replica_id", replica.id().as_str())?;
    dict.set_item("endpoint", replica.endpoint())?;
    dict.set_item("incarnation", replica.incarnation())?;
    dict.set_item("capabilities", listed(replica.capabilities())?)?;
    if !replica.idempotent().is_empty() {
        dict.set_item("idempotent", listed(replica.idempotent())?)?;
    }
    Ok(dict)
}

fn to_dicts<'py>(py: Python<'py>, replicas: &[Arc<Replica>]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for replica in replicas {
        list.append(to_dict(py, replica)?)?;
    }
    Ok(list)
}

fn to_list<'py>(py: Python<'py>, changes: &Changes) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    let append = |name: &str, value: Bound<'py, PyAny>| {
        let dict = PyDict::new(py);
        dict.set_item(name, value)?;
        list.append(dict)
    };
    match changes {
        Changes::Snapshot(replicas) => append("snapshot", to_dicts(py, replicas)?.into_any())?,
        Changes::Since(changes) => {
            for change in changes {
                match change {
                    Change::Put(replica) => append("put", to_dict(py, replica)?.into_any())?,
                    Change::Gone(id) => append("gone", id.as_str().into_pyobject(py)?.into_any())?,
                }
            }
        }
    }
    Ok(list)
}

/// The exception for what a registry said.
fn to_error(py: Python<'_>, error: RegistryError) -> PyErr {
    let message = error.to_string();
    match error {
        RegistryError::Url { .. } | RegistryError::TooLarge { .. } => PyValueError::new_err(message),
        RegistryError::Superseded { by, .. } => {
            let class = errors::class(py, "SupersededError");
            class.and_then(|class| class.call1((message, by))).map_or_else(|error| error, PyErr::from_value)
        }
        _ => errors::new(py, "RegistryError", message),
    }
}
