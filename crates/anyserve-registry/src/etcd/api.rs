//! What the build script generated from `proto/etcd.proto`.
#![expect(
    unreachable_pub,
    clippy::pedantic,
    clippy::enum_variant_names,
    reason = "generated code; the meaning of each message stands in etcd's documentation"
)]

tonic::include_proto!("etcdserverpb");
