//! Where the worker notes what it has started, for the agent to read after the worker's death.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

#[derive(Debug)]
pub(crate) struct ClaimFile(File);

impl ClaimFile {
    pub(crate) fn open(path: OsString) -> io::Result<Self> {
        File::options().write(true).open(path).map(Self)
    }

    /// Notes that the assignment with this sequence number is started now.
    pub(crate) fn claim(&self, sequence: u64) {
        // A write to memory; if it fails after all, the agent takes what was started for not started.
        let _ = self.0.write_all_at(&sequence.to_le_bytes(), 0);
    }
}
