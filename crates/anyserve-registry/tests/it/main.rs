//! One suite that every registry passes, and what is particular to each.
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod conformance;
mod etcd;
mod http;
mod memory;
mod shared;
mod support;
