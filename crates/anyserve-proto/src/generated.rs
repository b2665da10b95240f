//! What the build script generated from `proto/`.
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::large_enum_variant,
    clippy::allow_attributes,
    reason = "generated code; the meaning of each message stands in proto/"
)]

/// KServe v2: package `inference`.
pub mod inference {
    tonic::include_proto!("inference");
}

/// The packages `anyserve.*`, nested as their generated paths expect.
pub mod anyserve {
    /// How an operator steers an agent.
    pub mod admin {
        pub mod v1 {
            tonic::include_proto!("anyserve.admin.v1");
        }
    }
    /// Clients that share memory with the agent.
    pub mod local {
        pub mod v1 {
            tonic::include_proto!("anyserve.local.v1");
        }
    }
    /// Objects, and how clients make and read them.
    pub mod objects {
        pub mod v1 {
            tonic::include_proto!("anyserve.objects.v1");
        }
    }
    /// What a replica tells about itself.
    pub mod replica {
        pub mod v1 {
            tonic::include_proto!("anyserve.replica.v1");
        }
    }
    /// The worker channel.
    pub mod worker {
        pub mod v1 {
            tonic::include_proto!("anyserve.worker.v1");
        }
    }
}
