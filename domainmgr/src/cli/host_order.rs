//! The order in which domains start and stop with the host.

use crate::frontends::control::wire::Domain;
use crate::spec::host_order::{Member, first_to_start, first_to_stop, in_rounds};

/// Steps of stopping all domains: those of one step stop side by side, and the next step begins when they are down.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Vec<Domain>>,
    /// Names of domains that need each other in a circle. Those of one circle stop side by side.
    pub(super) circles: Vec<Vec<String>>,
}

/// Orders the domains for a stop. The ones called `last` stop after all others, one after the other.
pub(super) fn stops(all: Vec<Domain>, last: &[String]) -> Steps {
    let is_last = |domain: &Domain| last.iter().any(|name| is_called(domain, name));
    let (mut at_last, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_last);
    let mut found = Steps::default();
    for round in in_rounds(others, member, first_to_stop) {
        let circles = round.iter().filter(|group| group.len() > 1);
        let names = |group: &Vec<Domain>| group.iter().map(|d| label(d).to_owned()).collect();
        found.circles.extend(circles.map(names));
        found.steps.push(round.into_iter().flatten().collect());
    }
    for name in last {
        let (step, others) = at_last.into_iter().partition(|d| is_called(d, name));
        found.steps.push(step);
        at_last = others;
    }
    found.steps.retain(|step| !step.is_empty());
    found
}

/// Puts the domains in the order in which they start.
pub(super) fn starts(all: Vec<Domain>) -> Vec<Domain> {
    let rounds = in_rounds(all, member, first_to_start);
    rounds.into_iter().flatten().flatten().collect()
}

/// The name of the domain for people; its uuid if its file cannot be used.
pub(super) fn label(domain: &Domain) -> &str {
    if domain.name.is_empty() {
        &domain.uuid
    } else {
        &domain.name
    }
}

/// Returns whether the domain goes by this name.
pub(super) fn is_called(domain: &Domain, name: &str) -> bool {
    names(domain).contains(&name)
}

fn names(domain: &Domain) -> [&str; 3] {
    [&domain.name, &domain.display_name, &domain.uuid]
}

fn member(domain: &Domain) -> Member<'_> {
    Member {
        names: names(domain).into(),
        priority: domain.priority,
        after: &domain.after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, priority: i32, after: &[&str]) -> Domain {
        Domain {
            uuid: format!("uuid of {name}"),
            name: format!("{name}.1"),
            display_name: name.to_owned(),
            priority,
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            ..Domain::from(&crate::frontends::eve::DomainStatus::default())
        }
    }

    fn names(steps: &Steps) -> Vec<Vec<&str>> {
        steps
            .steps
            .iter()
            .map(|step| step.iter().map(|d| d.display_name.as_str()).collect())
            .collect()
    }

    #[test]
    fn a_domain_is_needed_by_any_of_its_names() {
        let all = vec![
            domain("db", 0, &[]),
            domain("web", 10, &["db", "uuid of cache"]),
            domain("cache", -5, &["db.1"]),
        ];
        let steps = stops(all.clone(), &[]);
        assert_eq!(names(&steps), [["web"], ["cache"], ["db"]]);
        assert!(steps.circles.is_empty());
        let starts: Vec<String> = starts(all).into_iter().map(|d| d.display_name).collect();
        assert_eq!(starts, ["db", "cache", "web"]);
    }

    #[test]
    fn a_circle_stops_side_by_side_and_is_named() {
        let all = vec![
            domain("self", 9, &["self"]),
            domain("a", 0, &["b"]),
            domain("b", 0, &["a"]),
        ];
        let steps = stops(all, &[]);
        assert_eq!(names(&steps), [vec!["a", "b"], vec!["self"]]);
        assert_eq!(steps.circles, [["a.1", "b.1"]]);
    }

    #[test]
    fn the_last_come_last_one_after_the_other() {
        let all = vec![
            domain("router", 0, &["web"]),
            domain("web", 9, &[]),
            domain("dns", 0, &[]),
        ];
        let last = ["dns".to_owned(), "router.1".to_owned()];
        let steps = stops(all, &last);
        assert_eq!(names(&steps), [["web"], ["dns"], ["router"]]);
    }
}
