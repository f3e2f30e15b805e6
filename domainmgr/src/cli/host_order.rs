//! The order in which domains stop with the host.

use crate::frontends::control::wire::Domain;

/// Steps of stopping all domains: those of one step stop side by side, and the next step begins when they are down.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Vec<Domain>>,
    /// Names of domains that need each other in a circle. They stop side by side.
    pub(super) circle: Vec<String>,
}

/// Orders the domains. A domain stops before those that it needs; of those that nobody needs any more, the ones with the lowest
/// priority stop first. The ones called `last` stop after all others, one after the other.
pub(super) fn order(all: Vec<Domain>, last: &[String]) -> Steps {
    let is_last = |domain: &Domain| last.iter().any(|name| is_called(domain, name));
    let (mut at_last, mut left): (Vec<_>, Vec<_>) = all.into_iter().partition(is_last);
    let mut found = Steps::default();
    while !left.is_empty() {
        let mut step = take_ready(&mut left);
        if step.is_empty() {
            step = std::mem::take(&mut left);
            found.circle = step.iter().map(|domain| domain.name.clone()).collect();
        }
        found.steps.push(step);
    }
    for name in last {
        let (step, others) = at_last.into_iter().partition(|d| is_called(d, name));
        found.steps.push(step);
        at_last = others;
    }
    found.steps.retain(|step| !step.is_empty());
    found
}

/// Takes the domains that can stop now: no other needs them, and their priority is the lowest.
fn take_ready(left: &mut Vec<Domain>) -> Vec<Domain> {
    let needs = |other: &Domain, domain: &Domain| {
        other.uuid != domain.uuid && other.after.iter().any(|name| is_called(domain, name))
    };
    let is_free = |domain: &Domain| !left.iter().any(|other| needs(other, domain));
    let free: Vec<&Domain> = left.iter().filter(|domain| is_free(domain)).collect();
    let lowest = free.iter().map(|domain| domain.priority).min();
    let ready: Vec<String> = free
        .iter()
        .filter(|domain| Some(domain.priority) == lowest)
        .map(|domain| domain.uuid.clone())
        .collect();
    let (step, others) = std::mem::take(left)
        .into_iter()
        .partition(|domain| ready.contains(&domain.uuid));
    *left = others;
    step
}

/// Returns whether the domain goes by this name.
pub(super) fn is_called(domain: &Domain, name: &str) -> bool {
    [&domain.name, &domain.display_name, &domain.uuid].contains(&&name.to_owned())
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
    fn without_wishes_all_stop_side_by_side() {
        let steps = order(vec![domain("a", 0, &[]), domain("b", 0, &[])], &[]);
        assert_eq!(names(&steps), [["a", "b"]]);
        assert_eq!(names(&order(Vec::new(), &[])), [[""; 0]; 0]);
    }

    #[test]
    fn what_others_need_stops_after_them_and_priority_decides_among_the_rest() {
        let all = vec![
            domain("db", 0, &[]),
            domain("web", 10, &["db", "uuid of cache"]),
            domain("cache", -5, &["db.1"]),
            domain("batch", -1, &["gone"]),
            domain("mail", 10, &[]),
        ];
        let steps = order(all, &[]);
        assert_eq!(
            names(&steps),
            [
                vec!["batch"],
                vec!["web", "mail"],
                vec!["cache"],
                vec!["db"]
            ]
        );
        assert!(steps.circle.is_empty());
    }

    #[test]
    fn a_circle_stops_side_by_side_and_is_named() {
        let all = vec![
            domain("a", 0, &["b"]),
            domain("b", 0, &["a"]),
            domain("self", 0, &["self"]),
        ];
        let steps = order(all, &[]);
        assert_eq!(names(&steps), [vec!["self"], vec!["a", "b"]]);
        assert_eq!(steps.circle, ["a.1", "b.1"]);
    }

    #[test]
    fn the_last_come_last_one_after_the_other() {
        let all = vec![
            domain("router", 0, &["web"]),
            domain("web", 9, &[]),
            domain("dns", 0, &[]),
        ];
        let last = ["dns".to_owned(), "router.1".to_owned()];
        let steps = order(all, &last);
        assert_eq!(names(&steps), [["web"], ["dns"], ["router"]]);
    }
}
