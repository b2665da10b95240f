//! Where the worker notes what it has started, for the agent to read after the worker's death.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(crate) struct ClaimFile {
    file: File,
    /// The highest sequence number noted: threads may come here in another order than they took their work.
    highest: Mutex<u64>,
}

impl ClaimFile {
    pub(crate) fn open(path: OsString) -> io::Result<Self> {
        let file = File::options().write(true).open(path)?;
        Ok(Self { file, highest: Mutex::new(0) })
    }

    /// Notes that the assignment with this sequence number is started now.
    pub(crate) fn claim(&self, sequence: u64) {
        let mut highest = self.highest.lock().unwrap_or_else(PoisonError::into_inner);
        if sequence <= *highest {
            return;
        }
        *highest = sequence;
        // A write to memory; if it fails after all, the agent takes what was started for not started.
        let _ = self.file.write_all_at(&sequence.to_le_bytes(), 0);
    }
}
