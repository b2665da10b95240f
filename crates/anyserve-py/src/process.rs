//! What a process asks of the kernel for itself.

use pyo3::prelude::*;

/// From now on this process is killed when the process that started it dies.
#[pyfunction]
pub(crate) fn die_with_parent() -> PyResult<()> {
    let kill = Some(rustix::process::Signal::KILL);
    rustix::process::set_parent_process_death_signal(kill).map_err(std::io::Error::from)?;
    Ok(())
}
