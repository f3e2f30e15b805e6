//! The results of the benchmarks, as a table for people and as JSON.

use std::{fmt, fs, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::specification;

/// Several measurements of one quantity, in one unit.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 {
            self.0[middle]
        } else {
            (self.0[middle - 1] + self.0[middle]) / 2.0
        }
    }

    fn json(&self) -> Value {
        json!({
            "median": self.median(),
            "min": self.0.first(),
            "max": self.0.last(),
            "samples": self.0.len(),
        })
    }
}

impl From<Vec<Duration>> for Samples {
    /// Converts the times to seconds.
    fn from(times: Vec<Duration>) -> Self {
        Self::new(times.iter().map(Duration::as_secs_f64).collect())
    }
}

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
}

impl Unit {
    fn show(self, figure: f64) -> String {
        let steps: &[(f64, &str)] = match self {
            Self::Seconds => &[(1e-6, "µs"), (1e-3, "ms"), (1.0, "s")],
            Self::Bytes => &[(1024.0, "KiB"), (1024.0 * 1024.0, "MiB")],
        };
        let fits = steps.iter().rev().find(|(size, _)| figure >= *size);
        let (size, name) = fits.unwrap_or(&steps[0]);
        format!("{:.2} {name}", figure / size)
    }
}

/// One line of the table: our figure beside the one to compare with.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    /// Number of managed domains, if the figure depends on it.
    pub(crate) domains: Option<usize>,
    pub(crate) unit: Unit,
    pub(crate) ours: Samples,
    /// Name and figures to compare with, if there are any.
    pub(crate) theirs: Option<(&'static str, Samples)>,
}

impl Row {
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (_, theirs) = self.theirs.as_ref()?;
        Some(self.ours.median() / theirs.median())
    }

    /// Returns the highest allowed ratio of our figure to the other.
    fn bound(&self) -> Option<f64> {
        let (whose, _) = self.theirs.as_ref()?;
        specification::most(&self.what, whose, self.domains)
    }

    fn name(&self) -> String {
        match self.domains {
            Some(domains) => format!("{}, {domains} domains", self.what),
            None => self.what.clone(),
        }
    }

    fn holds(&self) -> bool {
        match (self.ratio(), self.bound()) {
            (Some(ratio), Some(bound)) => ratio <= bound,
            _ => true,
        }
    }

    fn json(&self) -> Value {
        let (whose, theirs) = match &self.theirs {
            Some((whose, theirs)) => (json!(whose), theirs.json()),
            None => (Value::Null, Value::Null),
        };
        let unit = match self.unit {
            Unit::Seconds => "s",
            Unit::Bytes => "B",
        };
        json!({
            "what": self.what,
            "domains": self.domains,
            "unit": unit,
            "ours": self.ours.json(),
            "compared_with": whose,
            "theirs": theirs,
            "ratio": self.ratio(),
            "bound": self.bound(),
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = self.unit.show(self.ours.median());
        write!(f, "{:52} {ours:>11}", self.name())?;
        if let (Some((whose, theirs)), Some(ratio)) = (&self.theirs, self.ratio()) {
            let theirs = self.unit.show(theirs.median());
            write!(f, "  {whose:9} {theirs:>11}  {ratio:6.2}")?;
        }
        match self.bound() {
            Some(bound) if self.holds() => write!(f, "  (at most {bound})"),
            Some(bound) => write!(f, "  MORE THAN {bound}"),
            None => Ok(()),
        }
    }
}

/// All lines of one part.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a line, and prints it.
    pub(crate) fn add(&mut self, row: Row) {
        if self.0.is_empty() {
            println!(
                "{:52} {:>11}  {:9} {:>11}  {:>6}",
                "(medians)", "ours", "compared", "", "ratio"
            );
        }
        println!("{row}");
        self.0.push(row);
    }

    /// Returns whether there is such a figure; without a number of domains, for any.
    pub(crate) fn has(&self, what: &str, beside: &str, domains: Option<usize>) -> bool {
        self.0.iter().any(|row| {
            row.what == what
                && row
                    .theirs
                    .as_ref()
                    .is_some_and(|(whose, _)| *whose == beside)
                && (domains.is_none() || row.domains == domains)
        })
    }

    /// Writes `DIR/NAME.json`. Returns whether every figure keeps its bound.
    pub(crate) fn save(&self, dir: &Path, name: &str) -> bool {
        fs::create_dir_all(dir).unwrap();
        let rows: Vec<Value> = self.0.iter().map(Row::json).collect();
        let text = serde_json::to_string_pretty(&rows).unwrap();
        fs::write(dir.join(format!("{name}.json")), text).unwrap();
        self.0.iter().all(Row::holds)
    }
}
