//! From what is wanted to the replicas that have it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyserve_core::Replica;
use anyserve_core::replicas::Matches;
use anyserve_core::scheduler::Time;
use anyserve_registry::{Reading, SharedDirectory};

use super::wanted::Wanted;
use crate::ClientError;

/// How many answers are remembered.
const MOST_REMEMBERED: usize = 1024;

/// So long replicas are tried that are not in the registry any more, if no others match.
///
/// A registry that keeps nothing on disk knows nobody after a restart, until each replica has registered again. They are
/// there all the while.
const GRACE: Duration = Duration::from_secs(30);

/// The replicas for what was asked for lately.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<HashMap<Wanted, Route>>);

#[derive(Debug)]
struct Route {
    /// Of the directory, when it was asked.
    version: u64,
    /// Not empty.
    matches: Matches,
    /// Since when they are not there any more.
    gone: Option<Time>,
}

impl Routes {
    /// The replicas for what is wanted: at least one.
    pub(super) fn find(
        &self,
        wanted: &Wanted,
        directory: &SharedDirectory,
        now: Time,
    ) -> Result<Matches, ClientError> {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = directory.status().version;
        if let Some(route) = routes.get(wanted)
            && route.version == version
            && route.gone.is_none()
        {
            return Ok(Arc::clone(&route.matches));
        }
        let reading = directory.read();
        let matches = matching(wanted, &reading)?;
        if matches.is_empty() {
            return departed(&mut routes, wanted, now).ok_or_else(|| explain(wanted, &reading));
        }
        if routes.len() >= MOST_REMEMBERED {
            routes.clear();
        }
        routes.insert(wanted.clone(), Route { version, matches: Arc::clone(&matches), gone: None });
        Ok(matches)
    }
}

fn matching(wanted: &Wanted, directory: &Reading<'_>) -> Result<Matches, ClientError> {
    match wanted {
        Wanted::Query(query) => Ok(directory.matching(query)),
        Wanted::Model { name, version } => {
            let query = directory.query_for_model(name, version).map_err(ClientError::Capability)?;
            Ok(directory.matching(&query))
        }
        Wanted::Anything => {
            let takes_requests = |replica: &&Arc<Replica>| !replica.capabilities().is_empty();
            Ok(directory.iter().filter(takes_requests).cloned().collect())
        }
    }
}

/// Those that were there a moment ago.
fn departed(routes: &mut HashMap<Wanted, Route>, wanted: &Wanted, now: Time) -> Option<Matches> {
    let route = routes.get_mut(wanted)?;
    let gone = *route.gone.get_or_insert(now);
    if now.since(gone) < GRACE {
        return Some(Arc::clone(&route.matches));
    }
    routes.remove(wanted);
    None
}

fn explain(wanted: &Wanted, directory: &Reading<'_>) -> ClientError {
    ClientError::NoReplica(match wanted {
        Wanted::Query(query) => directory.explain_no_match(query),
        Wanted::Model { name, version } => match directory.query_for_model(name, version) {
            Ok(query) => directory.explain_no_match(&query),
            Err(error) => return ClientError::Capability(error),
        },
        Wanted::Anything => "no replica takes requests".to_owned(),
    })
}
