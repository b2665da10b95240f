//! Segments, slots, windows and budgets together: whatever is done with them, in whatever order, is checked against a
//! model of it.
#![cfg(not(miri))]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod held;
mod model;

use proptest::prelude::*;

use model::{Model, Step};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_done_in_whatever_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in steps {
            model.take(&step);
            model.check();
        }
        model.end();
    }
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![3 => 0..20_000_usize, 2 => 0..600_000_usize, 1 => 0..3_000_000_usize];
    let which = any::<prop::sample::Index>;
    prop_oneof![
        8 => (0..2_usize, length).prop_map(|(segment, length)| Step::Allocate { segment, length }),
        2 => (0..2_usize, prop::collection::vec(0..300_000_usize, 1..4))
            .prop_map(|(segment, lengths)| Step::AllocateWithin { segment, lengths }),
        3 => which().prop_map(Step::FillElsewhere),
        6 => which().prop_map(Step::Freeze),
        3 => which().prop_map(Step::Clone),
        3 => (which(), 0..=100_usize, 0..=100_usize).prop_map(|(which, from, to)| Step::Slice(which, from, to)),
        3 => which().prop_map(Step::View),
        8 => which().prop_map(Step::Drop),
        2 => (0..2_usize).prop_map(Step::Trim),
        1 => (1..2_usize).prop_map(Step::Close),
    ]
}
