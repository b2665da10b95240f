use proptest::prelude::*;

use super::*;
use crate::capability::{Capability, Query, Value};

fn id(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

fn capability(pairs: &[(&str, &str)]) -> Capability {
    Capability::new(pairs.iter().map(|&(key, value)| (key, Value::from(value)))).unwrap()
}

fn query(pairs: &[(&str, &str)]) -> Query {
    Query::new(pairs.iter().map(|&(key, value)| (key, Value::from(value)))).unwrap()
}

fn replica(name: &str, incarnation: u64, capabilities: Vec<Capability>) -> Replica {
    Replica::new(id(name), "localhost:8000", incarnation, capabilities).unwrap()
}

fn names(matches: &Matches) -> Vec<&str> {
    matches.iter().map(|replica| replica.id().as_str()).collect()
}

#[test]
fn ids_and_endpoints_are_checked() {
    for bad in ["", "a b", "a,b", "a/b", "é", &"x".repeat(129)] {
        assert!(ReplicaId::new(bad).is_err(), "{bad}");
    }
    for good in ["localhost:1", "10.0.0.1:65535", "[::1]:80", "a-b.c_d:80"] {
        assert!(Replica::new(id("a"), good, 0, []).is_ok(), "{good}");
    }
    for bad in ["", ":80", "a", "a:", "a:0", "a:65536", "a b:80", "::1:80", "[]:80", "http://a:80", "a/b:80"]
    {
        assert!(Replica::new(id("a"), bad, 0, []).is_err(), "{bad}");
    }
    let many = (0..=MAX_CAPABILITIES).map(|number| capability(&[("n", &number.to_string())]));
    let message = Replica::new(id("a"), "a:1", 0, many).unwrap_err().to_string();
    assert!(message.contains("1025 capabilities are over the limit of 1024"), "{message}");
}

#[test]
fn a_later_incarnation_wins_and_the_same_is_no_change() {
    let mut directory = Directory::default();
    let echo = || vec![capability(&[("type", "echo")])];
    assert!(matches!(directory.put(replica("a", 2, echo())), Put::Changed(_)));
    assert_eq!(directory.put(replica("a", 2, echo())), Put::Same);
    assert!(matches!(directory.put(replica("a", 1, vec![])), Put::Superseded(by) if by.incarnation() == 2));
    assert!(matches!(directory.put(replica("a", 3, vec![])), Put::Changed(_)));
    assert!(directory.matching(&query(&[("type", "echo")])).is_empty());
    assert_eq!(directory.len(), 1);
}

#[test]
fn a_request_may_run_twice_only_if_all_that_matches_says_so() {
    let (echo, other) = (capability(&[("type", "echo"), ("a", "1")]), capability(&[("type", "echo")]));
    let safe = replica("a", 1, vec![echo.clone(), other.clone()]).with_idempotent([echo, other.clone()]);
    assert!(safe.is_idempotent(&query(&[("type", "echo")])));
    assert!(!safe.is_idempotent(&query(&[("type", "add")])));
    let partly = safe.with_idempotent([other, capability(&[("type", "add")])]);
    assert!(!partly.is_idempotent(&query(&[("type", "echo")])));
    assert_eq!(partly.idempotent().len(), 1);
}

#[test]
fn a_snapshot_is_the_truth_even_if_it_goes_back() {
    let mut directory = Directory::default();
    directory.put(replica("a", 5, vec![capability(&[("type", "echo")])]));
    directory.put(replica("b", 1, vec![capability(&[("type", "echo")])]));
    let changes = directory.replace([replica("a", 4, vec![]), replica("c", 1, vec![])]);
    let put = |name| Change::Put(directory.get(&id(name)).unwrap().clone());
    assert_eq!(changes, [put("a"), put("c"), Change::Gone(id("b"))]);
    assert_eq!(directory.get(&id("a")).unwrap().incarnation(), 4);
}

#[test]
fn a_model_name_is_a_model_if_any_replica_has_it() {
    let mut directory = Directory::default();
    directory.put(replica("a", 1, vec![capability(&[("type", "chat"), ("model", "llama")])]));
    let query = |name| directory.query_for_model(name, "2").unwrap().to_string();
    assert_eq!(query("llama"), "{model: llama, version: 2}");
    assert_eq!(query("chat"), "{type: chat, version: 2}");
}

#[test]
fn no_match_names_the_query_and_what_exists() {
    let mut directory = Directory::default();
    let embed = query(&[("type", "embed")]);
    let none = "no capability matches {type: embed}: none is served by any replica";
    assert_eq!(directory.explain_no_match(&embed), none);
    directory.put(replica("a", 1, vec![capability(&[("type", "echo")])]));
    let some = "no capability matches {type: embed}; served by any replica: {type: echo}";
    assert_eq!(directory.explain_no_match(&embed), some);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u64, Vec<(u8, u8)>),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let capabilities = prop::collection::vec((0..4_u8, 0..4_u8), 0..4);
    prop_oneof![
        3 => (0..6_u8, 0..3_u64, capabilities).prop_map(|(name, age, pairs)| Step::Put(name, age, pairs)),
        1 => (0..6_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn matches_are_those_of_every_replica_looked_at(steps in prop::collection::vec(step(), 0..40)) {
        let mut directory = Directory::default();
        for step in steps {
            match step {
                Step::Put(name, incarnation, pairs) => {
                    let offered = pairs.iter().map(|(kind, model)| {
                        capability(&[("type", &kind.to_string()), ("model", &model.to_string())])
                    });
                    directory.put(replica(&name.to_string(), incarnation, offered.collect()));
                }
                Step::Remove(name) => drop(directory.remove(&id(&name.to_string()))),
            }
            for (kind, model) in [(0, 0), (1, 3), (3, 2)] {
                let (kind, model) = (kind.to_string(), model.to_string());
                for wanted in [
                    query(&[("type", &kind)]),
                    query(&[("model", &model)]),
                    query(&[("type", &kind), ("model", &model)]),
                ] {
                    let all = directory.iter().filter(|replica| replica.matches(&wanted));
                    let expected: Vec<_> = all.map(|replica| replica.id().as_str()).collect();
                    let matches = directory.matching(&wanted);
                    prop_assert_eq!(names(&matches), expected);
                }
            }
        }
    }
}
