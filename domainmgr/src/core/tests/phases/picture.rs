//! Draws the phases on a circle, with numbered arrows, and a legend beside it.

use std::f64::consts::TAU;

use svg::Document;
use svg::node::element::{Circle, Definitions, Marker, Path, Rectangle, Style, Text};

use crate::core::state::ways::{Name, WAYS};

const STYLE: &str = "text { font: 14px sans-serif; fill: #222 } \
    .phase { font-weight: bold; text-anchor: middle } \
    .number { font-size: 11px; text-anchor: middle } \
    .box { fill: #eef3fa; stroke: #345 } \
    .badge { fill: #fff; stroke: #888 } \
    .way { fill: none; stroke: #555 }";

/// The phases in the order in which they stand on the circle.
const ROUND: [Name; 8] = [
    Name::Up,
    Name::GivenAway,
    Name::Ending,
    Name::PutAway,
    Name::Halting,
    Name::Down,
    Name::Leftover,
    Name::Built,
];

const CENTRE: (f64, f64) = (360.0, 340.0);
const RADIUS: f64 = 270.0;
/// Half the width and half the height of a phase's box.
const HALF: (f64, f64) = (50.0, 18.0);
/// Sideways distance from the middle of a way to the straight line, as a part of the way's length.
const BEND: f64 = 0.12;

/// Returns the place of a phase.
fn place(name: Name) -> (f64, f64) {
    let index = ROUND.iter().position(|n| *n == name).unwrap();
    let turn = f64::from(u8::try_from(index).unwrap()) / 8.0 * TAU - TAU / 4.0;
    (
        CENTRE.0 + RADIUS * turn.cos(),
        CENTRE.1 + RADIUS * turn.sin(),
    )
}

/// Returns the point at which the line from the middle of a box to `to` leaves the box.
fn edge(from: (f64, f64), to: (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let scale = (HALF.0 / dx.abs()).min(HALF.1 / dy.abs());
    (from.0 + dx * scale, from.1 + dy * scale)
}

/// Rounds, so that the picture does not depend on the last bits of a calculation.
fn tenth(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}

fn number(document: Document, number: usize, (x, y): (f64, f64)) -> Document {
    let badge = Circle::new()
        .set("class", "badge")
        .set("cx", tenth(x))
        .set("cy", tenth(y))
        .set("r", 10);
    let text = Text::new(number.to_string())
        .set("class", "number")
        .set("x", tenth(x))
        .set("y", tenth(y + 4.0));
    document.add(badge).add(text)
}

/// Adds one way: an arrow that bends to its right, with its number nearer to where it begins.
fn way(document: Document, index: usize, from: Name, to: Name) -> Document {
    let (a, b) = (place(from), place(to));
    let bend = (
        f64::midpoint(a.0, b.0) - (b.1 - a.1) * BEND,
        f64::midpoint(a.1, b.1) + (b.0 - a.0) * BEND,
    );
    let (start, end) = (edge(a, bend), edge(b, bend));
    let line = format!(
        "M {:.1} {:.1} Q {:.1} {:.1} {:.1} {:.1}",
        start.0, start.1, bend.0, bend.1, end.0, end.1
    );
    let arrow = Path::new()
        .set("class", "way")
        .set("d", line)
        .set("marker-end", "url(#end)");
    // A point of the curve, at this part of the way.
    let t: f64 = 0.35;
    let at = |a: f64, c: f64, b: f64| (1.0 - t).powi(2) * a + 2.0 * t * (1.0 - t) * c + t * t * b;
    let middle = (at(start.0, bend.0, end.0), at(start.1, bend.1, end.1));
    number(document.add(arrow), index, middle)
}

fn phase(document: Document, name: Name) -> Document {
    let (x, y) = place(name);
    let frame = Rectangle::new()
        .set("class", "box")
        .set("x", tenth(x - HALF.0))
        .set("y", tenth(y - HALF.1))
        .set("width", HALF.0 * 2.0)
        .set("height", HALF.1 * 2.0)
        .set("rx", 8);
    let text = Text::new(format!("{name:?}"))
        .set("class", "phase")
        .set("x", tenth(x))
        .set("y", tenth(y + 5.0));
    document.add(frame).add(text)
}

/// Returns the picture of all phases and ways.
pub(super) fn draw() -> String {
    let head = Marker::new()
        .set("id", "end")
        .set("viewBox", "0 0 10 10")
        .set("refX", 9)
        .set("refY", 5)
        .set("markerWidth", 8)
        .set("markerHeight", 8)
        .set("orient", "auto")
        .add(
            Path::new()
                .set("d", "M 0 1 L 10 5 L 0 9 z")
                .set("fill", "#555"),
        );
    let mut document = Document::new()
        .set("viewBox", "0 0 1180 740")
        .set("role", "img")
        .add(Style::new(STYLE))
        .add(Definitions::new().add(head));
    for (i, (from, to, _)) in WAYS.iter().enumerate() {
        document = way(document, i + 1, *from, *to);
    }
    for name in ROUND {
        document = phase(document, name);
    }
    for (i, (from, to, why)) in WAYS.iter().enumerate() {
        let y = 30.0 + 25.5 * f64::from(u8::try_from(i).unwrap());
        document = number(document, i + 1, (740.0, y));
        let text = format!("{from:?} → {to:?}: {why}");
        document = document.add(Text::new(text).set("x", 760).set("y", tenth(y + 5.0)));
    }
    document.to_string() + "\n"
}
