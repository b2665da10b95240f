//! Amounts and times as people read them.

use std::fmt;
use std::time::Duration;

/// What the GPUs are called among the other resources.
pub(super) const GPUS: &str = "gpus";

/// The resource that is counted in bytes.
const MEMORY: &str = "memory";

/// So much of a resource.
pub(super) struct Amount<'a>(pub(super) &'a str, pub(super) u64);

/// The same where it is clear what it is of.
pub(super) struct Bare<'a>(pub(super) &'a str, pub(super) u64);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Amount(_, 0) => write!(out, "none"),
            Amount(GPUS, 1) => write!(out, "1 GPU"),
            Amount(GPUS, count) => write!(out, "{count} GPUs"),
            Amount(MEMORY, bytes) => write!(out, "{} of memory", Bare(MEMORY, bytes)),
            Amount(name, count) => write!(out, "{count} of '{name}'"),
        }
    }
}

impl fmt::Display for Bare<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Bare(MEMORY, bytes) => write_bytes(out, bytes),
            Bare(_, count) => write!(out, "{count}"),
        }
    }
}

/// To a hundredth of the largest unit; what is not exact shows both digits, so that 64 GiB is not what is a little less.
fn write_bytes(out: &mut fmt::Formatter<'_>, bytes: u64) -> fmt::Result {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let Some((shift, unit)) = units.into_iter().find(|(shift, _)| bytes >> shift > 0) else {
        return write!(out, "{bytes} bytes");
    };
    let (whole, rest) = (bytes >> shift, bytes & ((1 << shift) - 1));
    let hundredths = u128::from(rest) * 100;
    let (part, exact) = (hundredths >> shift, hundredths.trailing_zeros() >= shift);
    match part {
        0 if exact => write!(out, "{whole} {unit}"),
        part if exact && part % 10 == 0 => write!(out, "{whole}.{} {unit}", part / 10),
        part => write!(out, "{whole}.{part:02} {unit}"),
    }
}

/// A time, with two or three digits.
pub(super) struct Brief(pub(super) Duration);

impl fmt::Display for Brief {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            ..0.001 => write!(out, "{} µs", self.0.as_micros()),
            ..1.0 => write!(out, "{:.0} ms", seconds * 1e3),
            ..10.0 if self.0.subsec_millis() >= 50 => write!(out, "{seconds:.1} s"),
            ..120.0 => write!(out, "{seconds:.0} s"),
            _ => write!(out, "{:.0} min", seconds / 60.0),
        }
    }
}

/// `1 request waits`, `3 requests wait`.
pub(super) struct Waiting(pub(super) usize);

impl fmt::Display for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => write!(out, "1 request waits"),
            count => write!(out, "{count} requests wait"),
        }
    }
}
