//! The policies, by name.

use std::fmt;
use std::str::FromStr;

/// How one of several replicas is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Of two that are drawn, the one with fewer requests under way: nearly as even as looking at all of them, and
    /// clients that do not know of each other do not all run to the same one.
    #[default]
    PowerOfTwo,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstanding,
    /// The one that the request's key stands for, or the next for that key while it has over 1.25 times its share.
    ConsistentHash,
}

/// There is no policy of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "policy '{0}' is not known; there are power_of_two, round_robin, least_outstanding and consistent_hash"
)]
pub struct UnknownPolicy(pub String);

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::PowerOfTwo, Self::RoundRobin, Self::LeastOutstanding, Self::ConsistentHash];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PowerOfTwo => "power_of_two",
            Self::RoundRobin => "round_robin",
            Self::LeastOutstanding => "least_outstanding",
            Self::ConsistentHash => "consistent_hash",
        }
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == name);
        found.ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
