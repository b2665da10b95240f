//! What the build script generated from `proto/`.
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated code; the meaning of each message stands in proto/"
)]

/// KServe v2: package `inference`.
pub mod inference {
    tonic::include_proto!("inference");
}

/// The worker channel: package `anyserve.worker.v1`, nested as its generated paths expect.
pub mod anyserve {
    pub mod worker {
        pub mod v1 {
            tonic::include_proto!("anyserve.worker.v1");
        }
    }
}
