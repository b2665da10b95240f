//! How well pools trade places on a machine that is too small for all of them.
//!
//! `switch TRACE.csv`: the requests of a trace of real traffic are split over many models, of which few fit at once. Prints
//! a table in Markdown: anyserve's scheduler and scaler against what others do. `switch --tick`: how long one decision
//! takes.

mod baseline;
mod model;
mod ours;
mod outcome;
mod tick;

use std::error::Error;
use std::time::Duration;

use anyserve_bench_scheduler::trace;
use baseline::Kind;
use model::Setting;
use outcome::Summary;

const HEADINGS: [&str; 11] = [
    "setting",
    "policy",
    "met SLO",
    "goodput (1/s)",
    "loads",
    "refused",
    "first response p50 (s)",
    "p99 (s)",
    "longest (s)",
    "met by worst model",
    "mean over models",
];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: switch TRACE.csv, or switch --tick")?;
    if path == "--tick" {
        tick::print();
        return Ok(());
    }
    let trace = trace::read(&std::fs::read_to_string(&path)?)?;
    let usual = Setting::USUAL;
    println!("{} requests. Usual: {}\n", trace.len(), usual.describe());
    println!("| {} |", HEADINGS.join(" | "));
    println!("| --- | --- |{}", " ---: |".repeat(HEADINGS.len() - 2));
    for (name, setting) in settings() {
        compare(name, &setting, &trace);
    }
    Ok(())
}

/// The usual one, and what changes one thing in it.
fn settings() -> [(&'static str, Setting); 13] {
    let usual = Setting::USUAL;
    let seconds = Duration::from_secs;
    [
        ("usual", usual),
        ("8 at once", Setting { parallel: 8, ..usual }),
        ("load 2 s", Setting { load: seconds(2), ..usual }),
        ("load 10 s, SLO 20 s", Setting { load: seconds(10), slo: seconds(20), ..usual }),
        ("SLO 5.5 s", Setting { slo: Duration::from_millis(5500), ..usual }),
        ("SLO 30 s", Setting { slo: seconds(30), ..usual }),
        ("Zipf 0.5", Setting { zipf: 0.5, ..usual }),
        ("Zipf 1.5", Setting { zipf: 1.5, ..usual }),
        ("room for 8", Setting { room: 8, ..usual }),
        ("traffic / 3", Setting { traffic: 1.0 / 3.0, ..usual }),
        ("traffic / 10", Setting { traffic: 0.1, ..usual }),
        ("traffic / 30", Setting { traffic: 1.0 / 30.0, ..usual }),
        ("in real time", Setting { speed: 1.0, ..usual }),
    ]
}

fn compare(name: &str, setting: &Setting, trace: &[trace::Request]) {
    let requests = setting.requests(trace);
    let (blocking, per_model, ours) = std::thread::scope(|scope| {
        let blocking = scope.spawn(|| baseline::run(setting, &requests, Kind::Blocking));
        let per_model = scope.spawn(|| baseline::run(setting, &requests, Kind::PerModel));
        let ours = ours::run(setting, &requests);
        (blocking.join(), per_model.join(), ours)
    });
    let [blocking, per_model] = [blocking, per_model].map(|outcome| outcome.expect("it does not panic"));
    let outcomes = [("LRU, FIFO", blocking), ("LRU, FIFO per model", per_model), ("anyserve", ours)];
    for (policy, outcome) in outcomes {
        print_row(name, policy, &outcome.summary(&requests, setting));
    }
}

fn print_row(setting: &str, policy: &str, summary: &Summary) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
    let cells = [
        percent(summary.met),
        format!("{:.2}", summary.goodput),
        summary.loads.to_string(),
        percent(summary.refused),
        seconds(summary.median),
        seconds(summary.p99),
        seconds(summary.longest),
        percent(summary.worst_met),
        percent(summary.mean_met),
    ];
    println!("| {setting} | {policy} | {} |", cells.join(" | "));
}
