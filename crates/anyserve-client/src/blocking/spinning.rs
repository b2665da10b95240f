//! Waiting for a moment without sleeping.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

/// No call spins longer than that, and none does while calls take longer than that.
const LONGEST: Duration = Duration::from_millis(1);
/// The last so many calls say how long the next one takes.
const REMEMBERED: u64 = 8;

/// How long the last calls took, on average, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    fn is_fast(&self) -> bool {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) <= LONGEST
    }

    fn took(&self, call: Duration) {
        let call = u64::try_from(call.as_nanos()).unwrap_or(u64::MAX);
        let mean = self.0.load(Ordering::Relaxed);
        // Another thread's call may be lost by this, which does not matter.
        self.0.store(mean - mean / REMEMBERED + call / REMEMBERED, Ordering::Relaxed);
    }
}

pin_project_lite::pin_project! {
    /// A call that is looked after again and again for a moment, before the thread sleeps until it is woken.
    pub(super) struct Spinning<'a, F> {
        #[pin]
        call: F,
        pace: &'a Pace,
        started: Instant,
        spins: bool,
    }
}

impl<'a, F> Spinning<'a, F> {
    /// `alone`: no other thread drives the connections.
    pub(super) fn new(call: F, pace: &'a Pace, alone: bool) -> Self {
        Self { call, pace, started: Instant::now(), spins: alone && pace.is_fast() }
    }
}

impl<F: Future> Future for Spinning<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.call.poll(context) {
            this.pace.took(this.started.elapsed());
            return Poll::Ready(output);
        }
        if *this.spins {
            if this.started.elapsed() < LONGEST {
                // Whoever else is to run on this core may well be who answers.
                thread::yield_now();
                // The runtime looks at its sockets before it polls this again.
                let _ = pin!(tokio::task::yield_now()).poll(context);
            } else {
                *this.spins = false;
            }
        }
        Poll::Pending
    }
}
