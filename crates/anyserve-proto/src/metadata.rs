//! The metadata by which anyserve's processes tell each other what KServe has no field for.

/// The ids of the replicas that have passed a request on, in order, with commas between them.
pub const HOPS: &str = "x-anyserve-hops";

/// In an error: the request was not begun, so it may be sent to another replica.
pub const NOT_BEGUN: &str = "x-anyserve-not-begun";
