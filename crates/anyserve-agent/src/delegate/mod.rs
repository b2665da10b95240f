//! Requests that are not served here go to another replica that serves them.
//!
//! Nothing is queued here: a request is sent on at once, and its response is passed on as it comes. `docs/adr/0020`.

mod attempt;
mod counts;
mod decoded;
mod headers;
mod hops;
mod passing;
mod peer;
mod peers;
mod route;
mod stream;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyserve_core::replicas::balance::{Balancer, Choice, Picked, Policy};
use anyserve_core::scheduler::Time;
use anyserve_core::{Replica, ReplicaId};
use anyserve_registry::SharedDirectory;
use tokio_util::task::TaskTracker;

pub(crate) use attempt::Outgoing;
pub(crate) use counts::Counts;
pub(crate) use headers::onward;
pub(crate) use route::Route;
pub(crate) use stream::{Part, stream};

use peers::Peers;

/// Passes requests on to other replicas.
#[derive(Debug)]
pub(crate) struct Delegate {
    own: ReplicaId,
    endpoint: Box<str>,
    directory: Arc<SharedDirectory>,
    balancer: Balancer,
    peers: Peers,
    counts: Counts,
    /// Time zero of the balancer.
    epoch: Instant,
    /// Where its choices begin, and how many there were.
    choices: AtomicU64,
    under_way: TaskTracker,
}

impl Delegate {
    /// For that replica, which knows the others from there.
    pub(crate) fn new(own: &Replica, directory: Arc<SharedDirectory>) -> Self {
        Self {
            own: own.id().clone(),
            endpoint: own.endpoint().into(),
            directory,
            balancer: Balancer::new(Policy::PowerOfTwo),
            peers: Peers::default(),
            counts: Counts::default(),
            epoch: Instant::now(),
            choices: AtomicU64::new(RandomState::new().hash_one(0)),
            under_way: TaskTracker::new(),
        }
    }

    /// The replicas that are known.
    pub(crate) fn directory(&self) -> &Arc<SharedDirectory> {
        &self.directory
    }

    /// True if another replica takes requests.
    pub(crate) fn has_others(&self) -> bool {
        let directory = self.directory.read();
        directory.iter().any(|replica| *replica.id() != self.own && !replica.capabilities().is_empty())
    }

    /// What was passed on to whom.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns once nothing that was passed on is under way.
    pub(crate) async fn idle(&self) {
        self.under_way.close();
        self.under_way.wait().await;
    }

    /// One of those that the request may go to and has not been at.
    fn pick(&self, route: &mut Route) -> Option<Picked> {
        loop {
            let random = self.choices.fetch_add(1, Ordering::Relaxed);
            let choice = Choice { now: self.now(), random, key: None, except: route.except() };
            let picked = self.balancer.pick(route.targets(), &choice)?;
            if picked.replica().endpoint() != &*self.endpoint {
                return Some(picked);
            }
            // This replica, as it was called before it was started anew.
            route.leave_out(picked.replica().id());
        }
    }

    fn now(&self) -> Time {
        Time(self.epoch.elapsed())
    }
}
