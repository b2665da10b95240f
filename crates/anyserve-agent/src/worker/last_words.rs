//! What a worker wrote to stderr last, for those who ask why it ended.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio_util::task::AbortOnDropHandle;

/// How many lines are kept, and how much of a line.
const LINES: usize = 12;
const LONGEST_LINE: usize = 240;

/// How long a line may be without its end before it is passed on, and how long it may be.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_HELD: usize = 64 * 1024;

/// How long the rest is waited for once the worker has ended: a child of its own may hold the pipe.
const REST: Duration = Duration::from_millis(100);

/// Passes a worker's stderr on to the agent's, and keeps the last lines.
#[derive(Debug)]
pub(super) struct LastWords {
    lines: Arc<Mutex<Lines>>,
    copying: AbortOnDropHandle<()>,
}

#[derive(Debug, Default)]
struct Lines {
    complete: VecDeque<String>,
    last: Vec<u8>,
}

impl LastWords {
    pub(super) fn of(stderr: pipe::Receiver) -> Self {
        let lines = Arc::new(Mutex::new(Lines::default()));
        let copying = AbortOnDropHandle::new(tokio::spawn(copy(stderr, Arc::clone(&lines))));
        Self { lines, copying }
    }

    /// The last lines, once the worker has ended.
    pub(super) async fn finish(self) -> String {
        let Self { lines, copying } = self;
        let _ = tokio::time::timeout(REST, copying).await;
        let mut lines = lock(&lines);
        lines.end_line();
        lines.complete.make_contiguous().join("\n")
    }
}

/// Whoever reads the agent's stderr slowly slows its workers down, as if they had it themselves, but not the agent.
///
/// Whole lines go on at once, so that no other line comes between; what has no end yet, a moment later.
async fn copy(mut from: pipe::Receiver, lines: Arc<Mutex<Lines>>) {
    let mut held = Vec::new();
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let read = from.read(&mut buffer);
        let read = if held.is_empty() { Ok(read.await) } else { tokio::time::timeout(PAUSE, read).await };
        match read {
            Ok(Ok(count @ 1..)) => {
                lock(&lines).add(&buffer[..count]);
                held.extend_from_slice(&buffer[..count]);
                let whole = held.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
                let part = if held.len() >= LONGEST_HELD { held.len() } else { whole };
                pass_on(held.drain(..part).collect()).await;
            }
            Err(_) => pass_on(std::mem::take(&mut held)).await,
            Ok(_) => return pass_on(held).await,
        }
    }
}

async fn pass_on(bytes: Vec<u8>) {
    if !bytes.is_empty() {
        let mut to = tokio::io::stderr();
        // Nobody may be there to read it.
        let _ = to.write_all(&bytes).await;
        let _ = to.flush().await;
    }
}

fn lock(lines: &Mutex<Lines>) -> MutexGuard<'_, Lines> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lines {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            // A progress bar goes back to the start of its line.
            if byte == b'\n' || byte == b'\r' {
                self.end_line();
            } else if self.last.len() < LONGEST_LINE {
                self.last.push(byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.last)).trim_end().to_owned();
        if !line.is_empty() {
            self.complete.push_back(line);
        }
        while self.complete.len() > LINES {
            self.complete.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let mut lines = Lines::default();
        for number in 0..100 {
            lines.add(format!("line {number}\n").as_bytes());
        }
        lines.add(b"\n\n10 %\r20 %\r");
        lines.add(&[b'x'; 1000]);
        lines.end_line();
        assert_eq!(lines.complete.len(), LINES);
        assert_eq!(lines.complete[LINES - 4], "line 99");
        assert_eq!(lines.complete[LINES - 2], "20 %");
        assert_eq!(lines.complete[LINES - 1].len(), LONGEST_LINE);
    }
}
