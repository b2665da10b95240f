//! What workers said they serve, kept for the next time: a factory cannot say without being run.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use anyserve_proto::worker::{DeclaredPool, Hello};
use prost::Message;

use super::learn::FUNCTIONS;
use crate::config::WorkerCommand;
use crate::dispatch::Declaration;

/// A folder with a file for each command, or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Option<PathBuf>);

impl Memory {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// What a worker of that command said last.
    pub(super) fn recall(&self, command: &WorkerCommand) -> Option<DeclaredPool> {
        let bytes = std::fs::read(self.path(command)?).ok()?;
        let remembered = DeclaredPool::decode(bytes.as_slice()).ok()?;
        // A damaged file is as good as none.
        Declaration::try_from(&remembered).is_ok().then_some(remembered)
    }

    /// Keeps what a worker said. That it cannot be kept is no reason to fail: the next start asks again.
    pub(crate) fn keep(&self, command: &WorkerCommand, hello: &Hello) {
        let Some(path) = self.path(command) else {
            return;
        };
        let declared = DeclaredPool {
            name: FUNCTIONS.to_owned(),
            capabilities: hello.capabilities.clone(),
            concurrency: hello.concurrency,
            sleeps: hello.sleeps,
            options: None,
        };
        let bytes = declared.encode_to_vec();
        if std::fs::read(&path).is_ok_and(|kept| kept == bytes) {
            return;
        }
        let written = path.with_extension(std::process::id().to_string());
        let keep = || {
            std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
            std::fs::write(&written, &bytes)?;
            std::fs::rename(&written, &path)
        };
        if let Err(error) = keep() {
            tracing::debug!(%error, path = %path.display(), "cannot keep what a worker serves");
        }
    }

    fn path(&self, command: &WorkerCommand) -> Option<PathBuf> {
        let folder = self.0.as_ref()?;
        let mut hasher = DefaultHasher::new();
        (command, std::env::current_dir().ok(), env!("CARGO_PKG_VERSION")).hash(&mut hasher);
        Some(folder.join(format!("{:016x}.pool", hasher.finish())))
    }
}
