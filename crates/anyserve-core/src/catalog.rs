//! The capabilities that exist, and the query that a request stands for.

use std::collections::BTreeSet;

use crate::capability::{Capability, CapabilityError, Query, Value};

/// Capability keys that a model name can stand for.
pub(crate) const MODEL: &str = "model";
const TYPE: &str = "type";
const VERSION: &str = "version";

/// How many capabilities a "no such capability" message lists.
const EXAMPLES: usize = 5;

/// Every capability that is known, whether or not a worker is up for it.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    capabilities: BTreeSet<Capability>,
    models: BTreeSet<String>,
}

impl Catalog {
    /// Adds one capability.
    pub fn insert(&mut self, capability: Capability) {
        if let Some(model) = capability.get(MODEL) {
            self.models.insert(model.to_owned());
        }
        self.capabilities.insert(capability);
    }

    /// True if nothing is known.
    pub fn is_empty(&self) -> bool {
        self.capabilities.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter()
    }

    /// The query behind a model name: `{model: NAME}` if any capability has that model, else `{type: NAME}`; a version
    /// adds `{version: V}`.
    pub fn query_for_model(&self, name: &str, version: &str) -> Result<Query, CapabilityError> {
        query_for_model(name, version, self.models.contains(name))
    }

    /// A sentence for a request that no capability matches: the query, and some of what exists.
    pub fn explain_no_match(&self, query: &Query) -> String {
        explain_no_match(query, self.capabilities.len(), self.iter(), "here")
    }
}

/// The query behind a name that is a model's, or else a type's.
pub(crate) fn query_for_model(name: &str, version: &str, is_model: bool) -> Result<Query, CapabilityError> {
    if name.is_empty() {
        return Err(CapabilityError::Empty);
    }
    let key = if is_model { MODEL } else { TYPE };
    let version = (!version.is_empty()).then(|| (VERSION, Value::from(version)));
    Query::new([(key, Value::from(name))].into_iter().chain(version))
}

/// What is said of a query that matches none of `count` capabilities; `place` is where they are served.
pub(crate) fn explain_no_match<'a>(
    query: &Query,
    count: usize,
    capabilities: impl Iterator<Item = &'a Capability>,
    place: &str,
) -> String {
    let known: Vec<_> = capabilities.take(EXAMPLES).map(Capability::to_string).collect();
    match known.len() {
        0 => format!("no capability matches {query}: none is served {place}"),
        shown => {
            let more = match count - shown {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("no capability matches {query}; served {place}: {}{more}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        let chat = [("type", Value::from("chat")), ("model", Value::from("llama-70b"))];
        catalog.insert(Capability::new(chat).unwrap());
        catalog.insert(Capability::new([("type", Value::from("echo"))]).unwrap());
        catalog
    }

    #[test]
    fn a_model_name_is_a_model_if_one_is_known_and_else_a_type() {
        let query = |name, version| catalog().query_for_model(name, version).unwrap().to_string();
        assert_eq!(query("llama-70b", ""), "{model: llama-70b}");
        assert_eq!(query("echo", ""), "{type: echo}");
        assert_eq!(query("echo", "2"), "{type: echo, version: 2}");
        assert_eq!(catalog().query_for_model("", ""), Err(CapabilityError::Empty));
    }

    #[test]
    fn no_match_names_the_query_and_what_exists() {
        let query = Query::new([("type", Value::from("embed"))]).unwrap();
        assert_eq!(
            catalog().explain_no_match(&query),
            "no capability matches {type: embed}; served here: {model: llama-70b, type: chat}, {type: echo}"
        );
        let mut many = Catalog::default();
        for index in 0..7 {
            many.insert(Capability::new([("type", Value::Integer(index))]).unwrap());
        }
        assert!(many.explain_no_match(&query).ends_with("{type: 4} and 2 more"));
    }
}
