//! How well the scheduler does on a trace of real traffic, without a wall clock.
//!
//! `simulate TRACE.csv [PLOT.svg]`: the trace has the columns `TIMESTAMP`, `ContextTokens` and `GeneratedTokens`. Its
//! arrivals are sped up or slowed down, so that the offered load is so many times what the workers can do. Prints a table
//! in Markdown, and writes a plot.

mod plot;
mod run;

use std::error::Error;

use anyserve_bench_scheduler::trace;
use run::{CAPACITY, Class, Outcome, Policy};

const LOADS: [f64; 7] = [0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let trace = arguments.next().ok_or("usage: simulate TRACE.csv [PLOT.svg]")?;
    let requests = trace::read(&std::fs::read_to_string(&trace)?)?;
    let work: f64 = requests.iter().map(|request| run::service(request).as_secs_f64()).sum();
    #[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 requests")]
    let capacity = CAPACITY as f64 * requests.len() as f64 / work;
    println!("{} requests; {CAPACITY} slots serve {capacity:.2} requests/s\n", requests.len());
    println!(
        "| load | policy | met SLO, of all | of admitted | interactive | batch | wait p50 (s) | p99 (s) | \
         goodput (1/s) | refused |"
    );
    println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut series = Vec::new();
    // What the workers serve in half of an interactive request's SLO: the limit that an operator who knows the traffic
    // would set. Twice as long is much worse.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a small number")]
    let short = (capacity * Class::Interactive.slo().as_secs_f64() / 2.0) as usize;
    let short_name = format!("FIFO of {short}");
    let policies =
        [("FIFO", Policy::Fifo), (&short_name, Policy::ShortFifo(short)), ("anyserve", Policy::Anyserve)];
    for (name, policy) in policies {
        let outcomes = LOADS.map(|load| run::run(&trace::at_rate(&requests, load * capacity), policy));
        series.push((name, outcomes));
    }
    for (index, load) in LOADS.into_iter().enumerate() {
        for (name, outcomes) in &series {
            print_row(load, name, &outcomes[index]);
        }
    }
    if let Some(path) = arguments.next() {
        let lines = series.iter().map(|(name, outcomes)| (*name, outcomes.as_slice()));
        std::fs::write(path, plot::draw(&LOADS, &lines.collect::<Vec<_>>(), capacity))?;
    }
    Ok(())
}

fn print_row(load: f64, name: &str, outcome: &Outcome) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let cells = [
        percent(outcome.met_of_all()),
        percent(outcome.met_of_admitted(None)),
        percent(outcome.met_of_admitted(Some(Class::Interactive))),
        percent(outcome.met_of_admitted(Some(Class::Batch))),
        format!("{:.2}", outcome.wait(0.5).as_secs_f64()),
        format!("{:.2}", outcome.wait(0.99).as_secs_f64()),
        format!("{:.2}", outcome.goodput()),
        percent(outcome.refused()),
    ];
    println!("| {load} | {name} | {} |", cells.join(" | "));
}
