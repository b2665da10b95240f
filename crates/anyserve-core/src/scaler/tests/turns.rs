//! Who has waited too long has a turn, though others are busy for ever.

use super::*;

impl Machine {
    /// Keeps a pool busy: as many requests run or wait as two workers take.
    fn press(&mut self, name: &str) {
        let waiting = self.scheduler.demand(self.pools[name]).waiting;
        for _ in waiting..4 {
            self.ask_for(name);
        }
    }

    /// Lets all pools be pressed for so long, every request and every start taking a second. Returns for how many seconds
    /// each pool had no worker at the most, and how many were started.
    fn run_pressed(&mut self, names: &[&str], length: u64) -> (BTreeMap<String, u64>, usize) {
        let mut without: BTreeMap<String, u64> = names.iter().map(|name| ((*name).to_owned(), 0)).collect();
        let (mut longest, mut starts) = (without.clone(), 0);
        for _ in 0..length {
            for name in names {
                self.press(name);
                self.finish(name);
            }
            for _ in 0..3 {
                starts += self.decide().iter().filter(|step| step.starts_with("start")).count();
                self.settle_but_starts();
            }
            self.millis += 1000;
            self.settle();
            for name in names {
                let now = without.get_mut(*name).unwrap();
                *now = if self.stages(name).contains(&Stage::Ready) { 0 } else { *now + 1 };
                let longest = longest.get_mut(*name).unwrap();
                *longest = (*now).max(*longest);
            }
        }
        (longest, starts)
    }
}

#[test]
fn a_busy_worker_is_drained_for_who_has_waited_too_long() {
    let mut machine = Machine::new(0, 1);
    machine.pool(spec("first"));
    machine.pool(spec("second"));
    machine.bring_up("first");
    machine.press("first");
    machine.assign();
    machine.ask_for("second");
    machine.decide();
    // Its own start took a second, so it is kept for four; another start is taken to last five, so that long is waited.
    assert_eq!(machine.decide_after(4999), [""; 0]);
    assert_eq!(machine.scaler.next_check(&machine.scheduler, machine.now()), Some(at(6000)));
    assert_eq!(machine.decide_after(1), ["stop first: pool 'second' has waited its turn for 5 s"]);
    machine.settle();
    assert_eq!(machine.stages("first"), [Stage::Draining], "it finishes what it has");
    assert_eq!(machine.decide_after(60_000), [""; 0]);
    machine.finish("first");
    machine.settle();
    assert_eq!(machine.decide()[0], "start second: 1 request waits and it has no worker");
}

#[test]
fn an_slo_shortens_the_patience() {
    let mut machine = Machine::new(0, 1);
    machine.pool(spec("first"));
    machine.pool_with(spec("second"), |offer| Offer { slo: Some(seconds(4)), ..offer });
    machine.bring_up("first");
    machine.millis += 60_000;
    machine.press("first");
    machine.assign();
    machine.ask_for("second");
    machine.decide();
    assert_eq!(machine.decide_after(1999), [""; 0]);
    assert_eq!(machine.decide_after(1), ["stop first: pool 'second' has waited its turn for 2 s"]);
}

#[test]
fn a_busy_worker_is_not_drained_before_its_start_has_paid() {
    let mut machine = Machine::new(0, 1);
    machine.pool(spec("first"));
    machine.pool(spec("second"));
    machine.ask_for("second");
    machine.press("first");
    machine.decide();
    machine.millis += 10_000;
    machine.settle();
    assert_eq!(machine.stages("first"), [Stage::Ready], "more wait for it");
    machine.decide();
    assert_eq!(machine.decide_after(39_999), [""; 0], "four times the ten seconds that it took to start");
    assert_eq!(machine.decide_after(1), ["stop first: pool 'second' has waited its turn for 50 s"]);
}

#[test]
fn turns_go_round() {
    let mut machine = Machine::new(0, 2);
    let names = ["first", "second", "third", "fourth", "fifth"];
    for name in names {
        machine.pool(spec(name));
    }
    let (without, starts) = machine.run_pressed(&names, 600);
    // A turn takes five seconds, of which one is for the start and four are for serving, and some for draining.
    assert!(without.values().all(|&seconds| seconds < 40), "{without:?}");
    assert!(starts < 600 / 5, "most of the time is for serving: {starts} starts");
}

#[test]
fn small_wants_do_not_starve_a_large_one() {
    let mut machine = Machine::new(4, 0);
    let small = ["a", "b", "c", "d", "e", "f"];
    for name in small {
        machine.pool(PoolSpec { resources: gpus(1), ..spec(name) });
    }
    machine.pool(PoolSpec { resources: gpus(4), ..spec("large") });
    machine.run_pressed(&small, 60);
    let all: Vec<_> = small.into_iter().chain(["large"]).collect();
    let (without, _) = machine.run_pressed(&all, 600);
    assert!(without.values().all(|&seconds| seconds < 60), "{without:?}");
}

#[test]
fn two_large_wants_do_not_wait_for_each_other() {
    let mut machine = Machine::new(4, 0);
    for name in ["first", "second"] {
        machine.pool(PoolSpec { resources: gpus(3), ..spec(name) });
    }
    let (without, starts) = machine.run_pressed(&["first", "second"], 300);
    assert!(without.values().all(|&seconds| seconds < 20), "{without:?}");
    assert!(starts > 10, "{starts}");
}

#[test]
fn what_cannot_have_a_worker_takes_nobody_s_turn() {
    let mut machine = Machine::new(0, 3);
    machine.pool(PoolSpec { pinned: true, ..spec("pinned") });
    machine.bring_up("pinned");
    machine.pool(PoolSpec { resources: slots(3), ..spec("large") });
    machine.ask_for("large");
    machine.decide();
    machine.millis += 10_000;
    let names = ["first", "second", "third"];
    for name in names {
        machine.pool(spec(name));
    }
    let (without, _) = machine.run_pressed(&names, 100);
    assert!(without.values().all(|&seconds| seconds < 30), "{without:?}");
}

#[test]
fn residence_bounds_how_often_pools_trade_places() {
    let mut machine = Machine::new(0, 1);
    let names = ["first", "second"];
    for name in names {
        machine.pool(PoolSpec { min_residence: seconds(9), ..spec(name) });
    }
    let mut starts = 0;
    for second in 0..200 {
        machine.ask_for(names[second % 2]);
        for _ in 0..3 {
            machine.assign();
            for name in names {
                machine.finish(name);
            }
            starts += machine.decide().iter().filter(|step| step.starts_with("start")).count();
            machine.settle_but_starts();
        }
        machine.millis += 1000;
        machine.settle();
    }
    assert!((10..=200 / (1 + 9)).contains(&starts), "{starts}");
}

#[test]
fn those_who_trade_places_all_the_time_do_not_starve_a_large_one() {
    let mut machine = Machine::new(0, 3);
    let small = ["a", "b", "c", "d", "e", "f"];
    for name in small {
        machine.pool(PoolSpec { asleep: Some(Amounts::new()), ..spec(name) });
    }
    // Their starts take long, so each is to stay for twelve seconds; but they wake fast, and so are soon put to sleep.
    for name in small {
        machine.ask_for(name);
        for _ in 0..3 {
            machine.decide();
            machine.settle_but_starts();
        }
        machine.millis += 3000;
        machine.settle();
        machine.finish(name);
    }
    machine.pool(PoolSpec { resources: slots(3), ..spec("large") });
    machine.ask_for("large");
    for second in 0..100 {
        // One of them is always busy; of the others, one after the other is asked for, and idle after that.
        for name in small {
            machine.finish(name);
        }
        machine.press("a");
        machine.ask_for(small[1 + second % 5]);
        for _ in 0..3 {
            machine.assign();
            machine.decide();
            machine.settle_but_starts();
        }
        machine.millis += 1000;
        machine.settle();
        if machine.stages("large").contains(&Stage::Ready) {
            return;
        }
    }
    panic!("it never has a worker");
}
