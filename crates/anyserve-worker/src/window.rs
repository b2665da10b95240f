//! How far the responses of a stream may be ahead of what its client has taken.

use std::time::Duration;

use anyserve_proto::worker::Welcome;

/// What the agent allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The largest response, contents included.
    pub(crate) max_message_size: u64,
    /// Responses of one stream that the client has not taken.
    pub(crate) window_responses: u32,
    /// Their size together.
    pub(crate) window_bytes: u64,
    /// How long a stream waits for its client to take something.
    pub(crate) stall_timeout: Duration,
}

/// What one stream has sent and its client has not taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    responses: u32,
    bytes: u64,
}

impl Default for Limits {
    /// Before the agent has said what it allows: everything.
    fn default() -> Self {
        Self {
            max_message_size: u64::MAX,
            window_responses: u32::MAX,
            window_bytes: u64::MAX,
            stall_timeout: Duration::MAX,
        }
    }
}

impl From<&Welcome> for Limits {
    fn from(welcome: &Welcome) -> Self {
        Self {
            max_message_size: welcome.max_message_size,
            window_responses: welcome.stream_window_responses,
            window_bytes: welcome.stream_window_bytes,
            stall_timeout: Duration::from_micros(welcome.stream_stall_timeout_us),
        }
    }
}

impl Window {
    /// Counts one response; false if there is no room for it.
    ///
    /// The last response may go over the limit of bytes. So a stream only waits while more is outstanding than the agent
    /// leaves unreported.
    pub(crate) fn claim(&mut self, bytes: u64, limits: &Limits) -> bool {
        if self.responses >= limits.window_responses || self.bytes >= limits.window_bytes {
            return false;
        }
        self.responses += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }

    /// The client took something.
    pub(crate) fn open(&mut self, responses: u32, bytes: u64) {
        self.responses = self.responses.saturating_sub(responses);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_closes_by_number_and_by_size_and_opens_again() {
        let limits = Limits { window_responses: 2, window_bytes: 10, ..Limits::default() };
        let mut window = Window::default();
        assert!(window.claim(100, &limits), "a large one goes while there is any room");
        assert!(!window.claim(1, &limits));
        window.open(1, 100);
        assert!(window.claim(4, &limits) && window.claim(4, &limits));
        assert!(!window.claim(0, &limits), "two are under way");
        window.open(1, 4);
        assert!(window.claim(7, &limits));
        window.open(1, 0);
        assert!(!window.claim(0, &limits), "eleven bytes are under way");
    }
}
