//! The order of domains that need each other: those that are needed start first and stop last.
//!
//! Domains that need each other in a circle cannot be put in an order. They are one group, which starts and stops as a whole, and
//! any other domain is a group of its own.

use std::collections::HashMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// A domain among those that start or stop together.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// Names that others know it by.
    pub names: Vec<&'a str>,
    /// Those with a higher priority start earlier and stop later.
    pub priority: i32,
    /// Names of domains that it needs. Those that are not among the members do not count.
    pub after: &'a [String],
}

/// Members that need each other, directly or by way of others; or one that is in no circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Places among the members, in ascending order.
    pub members: Vec<usize>,
    /// The highest priority of these.
    pub priority: i32,
    /// One of them needs a member of another group.
    needs: bool,
    /// A member of another group needs one of them.
    needed: bool,
}

/// Returns the groups that start first: of those that need no other, the ones with the highest priority.
#[must_use]
pub fn first_to_start(members: &[Member<'_>]) -> Vec<Group> {
    let mut free = groups(members);
    free.retain(|group| !group.needs);
    let highest = free.iter().map(|group| group.priority).max();
    free.retain(|group| Some(group.priority) == highest);
    free
}

/// Returns the groups that stop first: of those that no other needs, the ones with the lowest priority.
#[must_use]
pub fn first_to_stop(members: &[Member<'_>]) -> Vec<Group> {
    let mut free = groups(members);
    free.retain(|group| !group.needed);
    let lowest = free.iter().map(|group| group.priority).min();
    free.retain(|group| Some(group.priority) == lowest);
    free
}

/// Takes the members away from `all`, in rounds: each has the groups that `next` names.
pub fn in_rounds<T>(
    mut all: Vec<T>,
    member: impl for<'a> Fn(&'a T) -> Member<'a>,
    next: fn(&[Member<'_>]) -> Vec<Group>,
) -> Vec<Vec<Vec<T>>> {
    let mut rounds = Vec::new();
    while !all.is_empty() {
        let groups = next(&all.iter().map(&member).collect::<Vec<_>>());
        let mut left: Vec<Option<T>> = all.into_iter().map(Some).collect();
        let mut take = |group: &Group| {
            group
                .members
                .iter()
                .filter_map(|at| left[*at].take())
                .collect()
        };
        rounds.push(groups.iter().map(&mut take).collect());
        all = left.into_iter().flatten().collect();
    }
    rounds
}

fn groups(members: &[Member<'_>]) -> Vec<Group> {
    let mut graph = DiGraph::<(), ()>::new();
    let nodes: Vec<NodeIndex> = members.iter().map(|_| graph.add_node(())).collect();
    if members.iter().any(|member| !member.after.is_empty()) {
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, member) in members.iter().enumerate() {
            for name in &member.names {
                named.entry(name).or_default().push(at);
            }
        }
        for (at, member) in members.iter().enumerate() {
            let needed = member
                .after
                .iter()
                .filter_map(|name| named.get(name.as_str()));
            for other in needed.flatten().filter(|other| **other != at) {
                graph.update_edge(nodes[at], nodes[*other], ());
            }
        }
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of = vec![0; members.len()];
    for circle in tarjan_scc(&graph) {
        let mut places: Vec<usize> = circle.iter().map(|node| node.index()).collect();
        places.sort_unstable();
        for place in &places {
            group_of[*place] = groups.len();
        }
        groups.push(Group {
            priority: places
                .iter()
                .map(|at| members[*at].priority)
                .max()
                .unwrap_or_default(),
            members: places,
            needs: false,
            needed: false,
        });
    }
    for edge in graph.edge_indices() {
        let Some((needing, needed)) = graph.edge_endpoints(edge) else {
            continue;
        };
        let (needing, needed) = (group_of[needing.index()], group_of[needed.index()]);
        if needing != needed {
            groups[needing].needs = true;
            groups[needed].needed = true;
        }
    }
    groups.sort_by_key(|group| group.members.first().copied());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    type Wish = (&'static str, i32, Vec<String>);

    fn wish(name: &'static str, priority: i32, after: &[&str]) -> Wish {
        let after = after.iter().map(|name| (*name).to_owned());
        (name, priority, after.collect())
    }

    fn member((name, priority, after): &Wish) -> Member<'_> {
        Member {
            names: vec![name],
            priority: *priority,
            after,
        }
    }

    fn rounds(all: &[Wish], next: fn(&[Member<'_>]) -> Vec<Group>) -> Vec<Vec<&'static str>> {
        let rounds = in_rounds(all.to_vec(), member, next);
        let names = |round: Vec<Vec<Wish>>| round.iter().flatten().map(|wish| wish.0).collect();
        rounds.into_iter().map(names).collect()
    }

    fn starts(all: &[Wish]) -> Vec<Vec<&'static str>> {
        rounds(all, first_to_start)
    }

    fn stops(all: &[Wish]) -> Vec<Vec<&'static str>> {
        rounds(all, first_to_stop)
    }

    #[test]
    fn without_wishes_all_are_side_by_side() {
        let all = [wish("a", 0, &[]), wish("b", 0, &[])];
        assert_eq!(starts(&all), [["a", "b"]]);
        assert_eq!(stops(&all), [["a", "b"]]);
        assert_eq!(starts(&[]), [[""; 0]; 0]);
    }

    #[test]
    fn what_others_need_starts_first_and_priority_decides_among_the_rest() {
        let all = [
            wish("db", 0, &[]),
            wish("web", 10, &["db", "cache"]),
            wish("cache", -5, &["db", "cache"]),
            wish("batch", -1, &["gone"]),
            wish("mail", 10, &[]),
        ];
        assert_eq!(
            starts(&all),
            [
                vec!["mail"],
                vec!["db"],
                vec!["batch"],
                vec!["cache"],
                vec!["web"]
            ]
        );
        assert_eq!(
            stops(&all),
            [
                vec!["batch"],
                vec!["web", "mail"],
                vec!["cache"],
                vec!["db"]
            ]
        );
    }

    #[test]
    fn a_circle_is_one_group() {
        let all = [
            wish("a", 0, &["b"]),
            wish("on-a", 99, &["a"]),
            wish("b", 5, &["a"]),
            wish("low", -9, &[]),
            wish("high", 9, &[]),
        ];
        assert_eq!(
            starts(&all),
            [vec!["high"], vec!["a", "b"], vec!["on-a"], vec!["low"]]
        );
        assert_eq!(
            stops(&all),
            [vec!["low"], vec!["high"], vec!["on-a"], vec!["a", "b"]]
        );
        let circles = in_rounds(all.to_vec(), member, first_to_start);
        let circles: Vec<_> = circles
            .iter()
            .map(|round| round.iter().filter(|group| group.len() > 1).count())
            .collect();
        assert_eq!(circles, [0, 1, 0, 0]);
    }
}
