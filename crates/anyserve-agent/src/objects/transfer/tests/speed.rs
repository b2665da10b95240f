//! How fast a large object comes over loopback:
//! `cargo test --release -p anyserve-agent transfer::tests::speed -- --ignored --nocapture`

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyserve_core::ObjectId;
use anyserve_shm::{Budget, Segment};
use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::{Source, Tcp, TransferServer, Transport, id, localhost};

const SIZE: usize = 1 << 30;
const GIGABYTES: f64 = 1.073_741_824;
const ROUNDS: usize = 5;

struct One(Bytes);

impl Source for One {
    fn open(&self, _: ObjectId) -> Option<Bytes> {
        Some(self.0.clone())
    }
}

/// A runtime like the one of an agent, on as many threads as one pull keeps busy.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Serves an object on a thread of its own, as another agent would.
fn serve(object: Bytes) -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime().block_on(async {
            let (server, address) = TransferServer::bind(localhost()).await.unwrap();
            tell.send(address).unwrap();
            server.run(Arc::new(One(object)), CancellationToken::new()).await;
        });
    });
    told.recv().unwrap()
}

#[test]
#[ignore = "a measurement"]
fn pulls_of_1_gib_into_warm_shared_memory() {
    let segment = Segment::create(&Budget::new(4 << 30, || ()), true).unwrap();
    let mut source = segment.allocate(SIZE).unwrap();
    source.fill(7);
    let owner = serve(source.freeze().into_bytes()).to_string();
    let mut into = segment.allocate(SIZE).unwrap();
    into.fill(1);
    let runtime = runtime();
    for (connections, checksum) in [(1, false), (2, false), (4, false), (1, true)] {
        let transport = Tcp::new(connections, checksum);
        let mut speeds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let started = Instant::now();
                runtime.block_on(transport.pull(&owner, id(1), &mut into, &|_| ())).unwrap();
                GIGABYTES / started.elapsed().as_secs_f64()
            })
            .collect();
        speeds.sort_by(f64::total_cmp);
        let (median, best) = (speeds[ROUNDS / 2], speeds[ROUNDS - 1]);
        println!("{connections} connections, checksum {checksum}: {median:.2} GB/s, best {best:.2}");
    }
    assert!(into.iter().all(|&byte| byte == 7));
}

#[test]
#[ignore = "a measurement"]
fn pulls_of_4_kib() {
    let owner = serve(vec![7; 4096].into()).to_string();
    let (transport, mut into) = (Tcp::new(1, false), vec![0; 4096]);
    let rounds = 20_000;
    let pulls = async {
        for _ in 0..rounds {
            transport.pull(&owner, id(1), &mut into, &|_| ()).await.unwrap();
        }
    };
    let started = Instant::now();
    runtime().block_on(pulls);
    println!("4 KiB: {:?} each", started.elapsed() / rounds);
}
