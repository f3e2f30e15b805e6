//! Draws a run of the demo: one lane per domain, coloured by its state, with marks for events.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;
use svg::Document;
use svg::node::element::{Circle, Group, Line, Rectangle, Style, Text, Title};

/// Sizes, in pixels.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 70.0;
const LANE: f64 = 34.0;
const BAR: f64 = 16.0;
const HEADING: f64 = 14.0;

/// Style sheet of the picture. It fits any page, because the picture has a white background of its own.
const STYLE: &str = "text { font: 12px sans-serif; fill: #24292f } .small { font-size: 10px; fill: #57606a } \
                     .title { font-size: 15px; font-weight: bold }";

/// The states, in the order of the legend, with their colours.
const STATES: [(&str, &str); 7] = [
    ("booting", "#c8d9f0"),
    ("running", "#4f9d69"),
    ("paused", "#9a8fd1"),
    ("suspended", "#e3b341"),
    ("halting", "#e08a5b"),
    ("halted", "#d0d7de"),
    ("failed", "#cf222e"),
];

/// Maps a `StateName` to the entry of [`STATES`] that it is drawn as.
fn state(name: &str) -> &'static str {
    match name {
        "RUNNING" => "running",
        "PAUSED" => "paused",
        "SUSPENDED" => "suspended",
        "HALTING" => "halting",
        "HALTED" | "PRESERVED" => "halted",
        "BROKEN" | "?" => "failed",
        _ => "booting",
    }
}

/// A period of time in one state.
#[derive(Debug, PartialEq)]
struct Span {
    from: f64,
    to: f64,
    state: &'static str,
    domid: u64,
}

/// A mark on a lane.
#[derive(Debug, PartialEq)]
struct Mark {
    at: f64,
    text: String,
    bad: bool,
}

/// Everything drawn for one domain.
#[derive(Debug, Default, PartialEq)]
struct Lane {
    spans: Vec<Span>,
    marks: Vec<Mark>,
}

/// A run of the demo.
#[derive(Debug, Default)]
struct Run {
    end: f64,
    headings: Vec<(f64, String)>,
    lanes: BTreeMap<String, Lane>,
    /// Names of the domains, in the order in which they appeared.
    order: Vec<String>,
}

/// Draws the record that `tests/demo` leaves behind.
pub(super) fn draw(record: &str, title: &str, to: &Path) -> Result<()> {
    let run = read(record)?;
    svg::save(to, &picture(&run, title))?;
    Ok(())
}

fn read(record: &str) -> Result<Run> {
    let record: Value = serde_json::from_str(record).context("the record of the demo")?;
    let mut run = Run {
        end: record["end"].as_f64().context("the record has no end")?,
        ..Run::default()
    };
    for event in record["events"].as_array().context("no events")? {
        let at = event["at"].as_f64().context("an event without a time")?;
        let text = || event["text"].as_str().unwrap_or_default().to_owned();
        let kind = event["kind"].as_str().unwrap_or_default();
        let Some(name) = event["name"].as_str() else {
            run.headings.push((at, text()));
            continue;
        };
        if !run.lanes.contains_key(name) {
            run.order.push(name.to_owned());
        }
        let lane = run.lanes.entry(name.to_owned()).or_default();
        match kind {
            "status" => lane.enters(
                at,
                state(event["state"].as_str().unwrap_or("?")),
                event["domid"].as_u64().unwrap_or(0),
            ),
            "gone" => {
                lane.ends(at);
                lane.marks.push(Mark {
                    at,
                    text: "its DomainStatus is gone".into(),
                    bad: false,
                });
            }
            _ => lane.marks.push(Mark {
                at,
                text: text(),
                bad: true,
            }),
        }
    }
    let end = run.end;
    for lane in run.lanes.values_mut() {
        lane.ends(end);
    }
    Ok(run)
}

impl Lane {
    fn enters(&mut self, at: f64, state: &'static str, domid: u64) {
        let before = self.spans.last().filter(|span| span.to.is_infinite());
        if before.is_some_and(|span| span.state == state && span.domid == domid) {
            return;
        }
        if let (Some(span), true) = (before, domid > 0) {
            if span.domid > 0 && span.domid != domid {
                self.marks.push(Mark {
                    at,
                    text: format!(
                        "domain {} has died; domain {domid} takes its place",
                        span.domid
                    ),
                    bad: false,
                });
            }
        }
        self.ends(at);
        self.spans.push(Span {
            from: at,
            to: f64::INFINITY,
            state,
            domid,
        });
    }

    /// Closes the open span.
    fn ends(&mut self, at: f64) {
        if let Some(span) = self.spans.last_mut().filter(|span| span.to.is_infinite()) {
            span.to = at;
        }
    }
}

fn picture(run: &Run, title: &str) -> Document {
    let end = run.end.max(1.0);
    let x = |at: f64| LEFT + (WIDTH - LEFT - RIGHT) * at / end;
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let lanes_end = TOP + LANE * count(run.order.len());
    let height = lanes_end + 40.0 + HEADING * count(run.headings.len()) + 10.0;
    let mut document = Document::new()
        .set("viewBox", (0, 0, WIDTH, height))
        .set("width", WIDTH)
        .set("height", height)
        .add(Style::new(STYLE))
        .add(
            Rectangle::new()
                .set("width", "100%")
                .set("height", "100%")
                .set("fill", "#ffffff"),
        )
        .add(label(LEFT, 24.0, title).set("class", "title"))
        .add(legend());

    for (number, (at, _)) in run.headings.iter().enumerate() {
        document = document
            .add(
                Line::new()
                    .set("x1", x(*at))
                    .set("x2", x(*at))
                    .set("y1", TOP - 8.0)
                    .set("y2", lanes_end)
                    .set("stroke", "#d0d7de")
                    .set("stroke-dasharray", "2 3"),
            )
            .add(
                label(
                    x(*at),
                    TOP - 12.0 - 10.0 * f64::from(u8::from(number % 2 == 1)),
                    &(number + 1).to_string(),
                )
                .set("class", "small")
                .set("text-anchor", "middle"),
            );
    }
    for (row, name) in run.order.iter().enumerate() {
        document = document.add(lane(name, &run.lanes[name], TOP + LANE * count(row), &x));
    }
    for seconds in (0_u32..).step_by(10).take_while(|s| f64::from(*s) <= end) {
        document = document.add(
            label(x(seconds.into()), lanes_end + 14.0, &format!("{seconds} s"))
                .set("class", "small")
                .set("text-anchor", "middle"),
        );
    }
    for (number, (at, text)) in run.headings.iter().enumerate() {
        let y = lanes_end + 40.0 + HEADING * count(number);
        let text = format!("{}   {at:.1} s   {text}", number + 1);
        document = document.add(label(LEFT, y, &text).set("class", "small"));
    }
    document
}

fn lane(name: &str, lane: &Lane, top: f64, x: &impl Fn(f64) -> f64) -> Group {
    let mut group =
        Group::new().add(label(LEFT - 10.0, top + BAR - 4.0, name).set("text-anchor", "end"));
    for span in &lane.spans {
        let colour = STATES
            .iter()
            .find(|(name, _)| *name == span.state)
            .map_or("#000000", |(_, colour)| colour);
        let seconds = span.to - span.from;
        let text = match span.domid {
            0 => format!("{name}: {} for {seconds:.1} s", span.state),
            domid => format!(
                "{name}: {} as domain {domid} for {seconds:.1} s",
                span.state
            ),
        };
        group = group.add(
            Rectangle::new()
                .set("x", x(span.from))
                .set("y", top)
                // A minimum width, so that short spans are visible.
                .set("width", (x(span.to) - x(span.from)).max(1.5))
                .set("height", BAR)
                .set("fill", colour)
                .add(Title::new(text)),
        );
    }
    for mark in &lane.marks {
        group = group.add(
            Circle::new()
                .set("cx", x(mark.at))
                .set("cy", top + BAR / 2.0)
                .set("r", 4)
                .set("fill", if mark.bad { "#cf222e" } else { "#24292f" })
                .add(Title::new(format!(
                    "{name}, {:.1} s: {}",
                    mark.at, mark.text
                ))),
        );
    }
    group
}

fn legend() -> Group {
    let mut group = Group::new();
    let mut x = LEFT + 330.0;
    for (name, colour) in STATES {
        group = group
            .add(
                Rectangle::new()
                    .set("x", x)
                    .set("y", 14)
                    .set("width", 12)
                    .set("height", 12)
                    .set("fill", colour),
            )
            .add(label(x + 16.0, 24.0, name).set("class", "small"));
        x += 78.0;
    }
    group
}

fn label(x: f64, y: f64, text: &str) -> Text {
    Text::new(text).set("x", x).set("y", y)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{ "end": 9.0, "events": [
        { "at": 0.5, "kind": "heading", "text": "a < b" },
        { "at": 1.0, "kind": "status", "name": "web", "state": "BOOTING", "domid": 0 },
        { "at": 2.0, "kind": "status", "name": "web", "state": "RUNNING", "domid": 5 },
        { "at": 3.0, "kind": "status", "name": "web", "state": "RUNNING", "domid": 5 },
        { "at": 4.0, "kind": "status", "name": "web", "state": "RUNNING", "domid": 6 },
        { "at": 5.0, "kind": "reset", "name": "web", "text": "a triple fault" },
        { "at": 7.0, "kind": "gone", "name": "web" } ] }"#;

    #[test]
    fn events_become_spans_and_marks() -> Result<()> {
        let run = read(RECORD)?;
        let spans: Vec<_> = run.lanes["web"]
            .spans
            .iter()
            .map(|s| (s.from, s.to, s.state, s.domid))
            .collect();
        assert_eq!(
            spans,
            [
                (1.0, 2.0, "booting", 0),
                (2.0, 4.0, "running", 5),
                (4.0, 7.0, "running", 6)
            ]
        );
        let marks: Vec<_> = run.lanes["web"]
            .marks
            .iter()
            .map(|m| (m.at, m.bad))
            .collect();
        assert_eq!(marks, [(4.0, false), (5.0, true), (7.0, false)]);
        Ok(())
    }

    #[test]
    fn the_picture_is_well_formed_whatever_the_texts() -> Result<()> {
        let text = picture(&read(RECORD)?, "Xen & more").to_string();
        assert!(text.contains("a &lt; b"), "{text}");
        assert!(text.contains("Xen &amp; more"), "{text}");
        assert_eq!(text.matches("<rect").count(), 1 + STATES.len() + 3);
        Ok(())
    }

    #[test]
    fn every_state_is_in_the_legend() {
        for name in [
            "RUNNING",
            "PAUSED",
            "SUSPENDED",
            "HALTING",
            "HALTED",
            "BROKEN",
            "BOOTING",
        ] {
            assert!(
                STATES.iter().any(|(known, _)| *known == state(name)),
                "{name}"
            );
        }
    }

    #[test]
    fn a_record_that_is_cut_off_is_an_error() {
        assert!(read("{").is_err());
        assert!(read(r#"{"events": []}"#).is_err());
    }
}
