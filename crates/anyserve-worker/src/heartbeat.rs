//! The sign of life that the agent gets whatever the application does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::lead::Shared;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);

/// Starts the thread that sends it, for as long as the process runs.
///
/// A thread of its own, because any other may be held up: by the application's imports, by a handler, or by the GIL.
/// It shares nothing with them but the moment in which a message is written.
pub(crate) fn start(shared: Arc<Shared>) -> io::Result<()> {
    let beat = move || loop {
        std::thread::sleep(PERIOD);
        shared.beat();
    };
    std::thread::Builder::new().name("anyserve-heart".to_owned()).spawn(beat).map(drop)
}
