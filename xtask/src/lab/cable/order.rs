//! The language in which the cable is cut and mended.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::host::Host;
use super::lane::Change;

/// Longest delay of a frame. Frames in flight take memory.
const LONGEST: Duration = Duration::from_secs(10);

/// Changes of one direction of the cable, or of both. An order without changes asks for the state of the cable.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Order {
    /// The sender whose frames are meant, or `None` for both.
    pub(crate) from: Option<Host>,
    pub(crate) changes: Vec<Change>,
}

impl Order {
    /// Parses `cut`, `mend delay 50ms loss 1% from alpha`, and so on.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let mut order = Self::default();
        let mut words = line.split_whitespace();
        while let Some(word) = words.next() {
            if order.from.is_some() {
                bail!("`from HOST` ends an order, and `{word}` follows");
            }
            let mut value = || words.next().with_context(|| format!("`{word}` of what?"));
            let change = match word {
                "cut" => Change::Cut,
                "cut-after" => Change::CutAfter(bytes(value()?)?),
                "mend" => Change::Mend,
                "delay" => Change::Delay(delay(value()?)?),
                "rate" => Change::Rate(rate(value()?)?),
                "loss" => Change::Loss(loss(value()?)?),
                "from" => {
                    order.from = Some(Host::named(value()?)?);
                    continue;
                }
                _ => bail!(
                    "`{word}` is no order: cut, cut-after BYTES, mend, delay 50ms, rate 8mbit, loss 1%, from HOST"
                ),
            };
            order.changes.push(change);
        }
        Ok(order)
    }
}

fn bytes(text: &str) -> Result<u64> {
    text.parse()
        .with_context(|| format!("`{text}` is no number of bytes"))
}

fn delay(text: &str) -> Result<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or_default(), 1000),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}` is no delay such as 50ms or 2s"))?;
    let delay = Duration::from_millis(number.saturating_mul(unit));
    if delay > LONGEST {
        bail!("the longest delay is {} s", LONGEST.as_secs());
    }
    Ok(delay)
}

fn rate(text: &str) -> Result<NonZeroU64> {
    let (number, unit) = match text.strip_suffix("kbit") {
        Some(number) => (number, 1_000),
        None => (text.strip_suffix("mbit").unwrap_or_default(), 1_000_000),
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("`{text}` is no rate such as 500kbit or 8mbit"))?;
    NonZeroU64::new(number.saturating_mul(unit))
        .context("a rate of nothing is a cut: order `cut` instead")
}

fn loss(text: &str) -> Result<f64> {
    text.strip_suffix('%')
        .and_then(|number| number.parse().ok())
        .filter(|percent| (0.0..=100.0).contains(percent))
        .with_context(|| format!("`{text}` is no loss between 0% and 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words() {
        let order = |line| Order::parse(line).unwrap();
        assert_eq!(order("\n"), Order::default());
        assert_eq!(order("cut").changes, [Change::Cut]);
        assert_eq!(order("cut").from, None);
        assert_eq!(
            order("cut-after 2000000").changes,
            [Change::CutAfter(2_000_000)]
        );
        let mixed = order("mend delay 50ms rate 8mbit loss 0.5% from beta");
        assert_eq!(mixed.from, Some(Host::Beta));
        assert_eq!(
            mixed.changes,
            [
                Change::Mend,
                Change::Delay(Duration::from_millis(50)),
                Change::Rate(NonZeroU64::new(8_000_000).unwrap()),
                Change::Loss(0.5),
            ]
        );
        assert_eq!(
            order("delay 2s").changes,
            [Change::Delay(Duration::from_secs(2))]
        );
    }

    #[test]
    fn a_wrong_order_is_refused_with_the_reason() {
        for (line, reason) in [
            (
                "snip",
                "`snip` is no order: cut, cut-after BYTES, mend, delay",
            ),
            (
                "cut from gamma",
                "no host is called gamma: the hosts are alpha and beta",
            ),
            ("cut from", "`from` of what?"),
            (
                "from alpha cut",
                "`from HOST` ends an order, and `cut` follows",
            ),
            ("delay 50", "`50` is no delay such as 50ms or 2s"),
            ("delay 11s", "the longest delay is 10 s"),
            ("rate 8", "`8` is no rate such as 500kbit or 8mbit"),
            (
                "rate 0kbit",
                "a rate of nothing is a cut: order `cut` instead",
            ),
            ("loss 101%", "`101%` is no loss between 0% and 100%"),
            ("cut-after -1", "`-1` is no number of bytes"),
        ] {
            let error = Order::parse(line).unwrap_err().to_string();
            assert!(error.starts_with(reason), "{line}: {error}");
        }
    }
}
