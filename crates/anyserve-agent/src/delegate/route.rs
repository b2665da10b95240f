//! Where a request may go.

use std::sync::Arc;

use anyserve_core::replicas::{Directory, Matches, Replica};
use anyserve_core::{Query, ReplicaId};
use http::{HeaderMap, HeaderValue};

use super::Delegate;
use super::hops::Hops;
use crate::dispatch::Wanted;
use crate::failure::Failure;

/// How many replicas a request is sent to at most, one after the other.
const MOST_ATTEMPTS: usize = 4;

/// Where a request may go, and where it has been.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    query: Query,
    targets: Matches,
    /// This replica, those that the request came by, and those that have refused it.
    except: Vec<ReplicaId>,
    refused: usize,
    hops: HeaderValue,
}

impl Delegate {
    /// Where a request that is not served here may go; why nowhere, if there is no such replica.
    pub(crate) fn route(&self, wanted: &Wanted, headers: &HeaderMap) -> Result<Route, Failure> {
        let directory = self.directory().read();
        let (query, targets) = find(&directory, wanted)?;
        let (query, targets) = match directory.lapsed() {
            // Rather one that may be dead than nobody.
            Some(lapsed) if targets.is_empty() => match find(lapsed, wanted)? {
                (_, none) if none.is_empty() => (query, none),
                found => found,
            },
            _ => (query, targets),
        };
        let refuse = |why: &str| {
            let message = directory.explain_no_match(&query);
            Err(Failure::NoMatch(if targets.is_empty() { message } else { why.to_owned() }))
        };
        let Some(hops) = Hops::of(headers) else {
            return refuse(&format!(
                "{query} is not served here, and the request was passed on often enough"
            ));
        };
        let mut except = hops.replicas().to_vec();
        except.push(self.own.clone());
        let route = Route {
            hops: hops.and(&self.own),
            query: query.clone(),
            targets: targets.clone(),
            except,
            refused: 0,
        };
        if !route.has_another() {
            return refuse(&format!(
                "{query} is not served here, and the request has been wherever it was said to be"
            ));
        }
        Ok(route)
    }
}

/// What is wanted, in the words of that directory, and who serves it.
fn find(directory: &Directory, wanted: &Wanted) -> Result<(Query, Matches), Failure> {
    let query = match wanted {
        Wanted::Pairs(query) => query.clone(),
        Wanted::Model { name, .. } if name.is_empty() => return Err(Failure::NoCapability),
        Wanted::Model { name, version } => directory.query_for_model(name, version)?,
    };
    let targets = directory.matching(&query);
    Ok((query, targets))
}

impl Route {
    pub(super) fn targets(&self) -> &[Arc<Replica>] {
        &self.targets
    }

    pub(super) fn except(&self) -> &[ReplicaId] {
        &self.except
    }

    pub(super) fn query(&self) -> &Query {
        &self.query
    }

    pub(super) fn hops(&self) -> &HeaderValue {
        &self.hops
    }

    /// True if there is a replica that the request has not been at.
    pub(super) fn has_another(&self) -> bool {
        self.targets.iter().any(|replica| !self.except.contains(replica.id()))
    }

    /// The request is not sent to that one.
    pub(super) fn leave_out(&mut self, id: &ReplicaId) {
        self.except.push(id.clone());
    }

    /// The request is not sent to that one again. False if it has been sent about enough.
    pub(super) fn refused_by(&mut self, id: &ReplicaId) -> bool {
        self.leave_out(id);
        self.refused += 1;
        self.refused < MOST_ATTEMPTS
    }
}
