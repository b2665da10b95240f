//! What anyserve decides, apart from how it is carried out.
//!
//! - [`calls`]: the calls that handlers make of other workers, and which of them can never run.
//! - [`capability`]: what a capability is, what a query is, and when they match.
//! - [`catalog`]: the capabilities that exist, and the query that a request stands for.
//! - [`object`]: what objects are called.
//! - [`replicas`]: the replicas of a fleet, and which of them match a query.
//! - [`scheduler`]: which request goes to which worker next.
//! - [`scaler`]: how many workers each pool has, and which of them hold the machine's resources.
//!
//! Nothing here does I/O, reads a clock or knows of tokio: time is an argument, decisions are return values. So a test
//! or a simulation can run a day of traffic in a second.

pub mod calls;
pub mod capability;
pub mod catalog;
pub mod object;
pub mod replicas;
pub mod scaler;
pub mod scheduler;

pub use calls::{CallId, Calls};
pub use capability::{Capability, CapabilityError, Query, Value};
pub use catalog::Catalog;
pub use object::{ObjectId, Reference};
pub use replicas::{Directory, Replica, ReplicaId};
pub use scaler::Scaler;
pub use scheduler::Scheduler;
