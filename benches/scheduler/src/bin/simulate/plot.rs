//! The plot: two panels side by side, in colours that are legible on white and on black.

use std::fmt::Write;

use crate::run::Outcome;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
const PANEL: [f64; 2] = [280.0, 200.0];
const TOP: f64 = 50.0;
const LEFTS: [f64; 2] = [60.0, 430.0];
const MOST_LOAD: f64 = 3.0;
const GREY: &str = "#808080";
const COLOURS: [&str; 3] = ["#e07b39", "#9a7fd1", "#3d8fd1"];

/// Draws what became of the requests at each load, a line for each policy.
pub(crate) fn draw(loads: &[f64], series: &[(&str, &[Outcome])], capacity: f64) -> String {
    let mut svg = String::new();
    let mut add = |element: &str| {
        svg.push_str(element);
        svg.push('\n');
    };
    add(&format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="{GREY}">"#
    ));
    let titles = ["Goodput / capacity", "Admitted requests that met their SLO"];
    let values: [&dyn Fn(&Outcome) -> f64; 2] =
        [&|outcome| outcome.goodput() / capacity, &|outcome| outcome.met_of_admitted(None)];
    for ((left, title), value) in LEFTS.into_iter().zip(titles).zip(values) {
        add(&axes(left, title));
        for ((_, outcomes), colour) in series.iter().zip(COLOURS) {
            let points = loads.iter().zip(*outcomes).map(|(&load, outcome)| at(left, load, value(outcome)));
            add(&line(&points.collect::<Vec<_>>(), colour));
        }
    }
    let mut x = LEFTS[0];
    for ((name, _), colour) in series.iter().zip(COLOURS) {
        add(&format!(r#"<path d="M{x} 14h20" stroke="{colour}" stroke-width="2"/>"#));
        add(&format!(r#"<text x="{}" y="18">{name}</text>"#, x + 26.0));
        x += 120.0;
    }
    add("</svg>");
    svg
}

fn at(left: f64, load: f64, share: f64) -> [f64; 2] {
    [left + PANEL[0] * load / MOST_LOAD, TOP + PANEL[1] * (1.0 - share)]
}

fn axes(left: f64, title: &str) -> String {
    let [width, height] = PANEL;
    let mut out = format!(r#"<text x="{left}" y="{}">{title}</text>"#, TOP - 12.0);
    for tenths in [0, 25, 50, 75, 100] {
        let y = at(left, 0.0, f64::from(tenths) / 100.0)[1];
        let _ = write!(
            out,
            r#"<path d="M{left} {y}h{width}" stroke="{GREY}" stroke-opacity="0.3"/><text x="{}" y="{}" text-anchor="end">{tenths} %</text>"#,
            left - 6.0,
            y + 4.0
        );
    }
    for load in 0..=3 {
        let [x, y] = at(left, f64::from(load), 0.0);
        let _ = write!(out, r#"<text x="{x}" y="{}" text-anchor="middle">{load}</text>"#, y + 18.0);
    }
    let [x, y] = [left + width / 2.0, TOP + height + 36.0];
    let _ = write!(out, r#"<text x="{x}" y="{y}" text-anchor="middle">offered load / capacity</text>"#);
    out
}

fn line(points: &[[f64; 2]], colour: &str) -> String {
    let path: Vec<_> = points.iter().map(|[x, y]| format!("{x:.1},{y:.1}")).collect();
    let mut out =
        format!(r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#, path.join(" "));
    for [x, y] in points {
        let _ = write!(out, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
    }
    out
}
