//! Migrations that are disturbed at each moment of the protocol: the guest ends up where the table says, and it is one guest.

use std::{
    env,
    process::Command,
    time::{Duration, Instant},
};

use super::{
    beta::KILL,
    bring_back, cable,
    cable::Mended,
    relay::{Disturbance, End, Moment, Relay},
    settled, start_again, two, verb,
};

/// Variable with the number of disturbances of each kind at each moment.
const CUTS: &str = "LAB_CUTS";

#[derive(Clone, Copy, Debug)]
enum Way {
    /// The cable is cut for what comes from this host, or for both.
    Cut(Option<End>),
    /// The agent of this host is killed with SIGKILL.
    Kill(End),
}

/// The table. Returns whether the guest has been given away for good, so that it runs on beta in the end.
fn runs_on_beta(moment: Moment, way: Way) -> bool {
    match moment {
        Moment::Header | Moment::Transfer(_) | Moment::Suspended | Moment::Ready => false,
        // Only where GO arrives, at an agent that lives.
        Moment::Go => matches!(way, Way::Cut(Some(End::Beta)) | Way::Kill(End::Alpha)),
        Moment::Word | Moment::After => true,
    }
}

fn disturb_with(way: Way) {
    let count: u32 = env::var(CUTS).map_or(1, |n| n.parse().unwrap());
    let (mut host, mut beta, app) = two();
    let relay = Relay::to(&beta);
    let _mended = Mended;
    for moment in Moment::ALL {
        let (mut asked, mut longest) = (0, Duration::ZERO);
        for _ in 0..count {
            bring_back(&host, &beta, &app);
            relay.disturb(
                moment,
                match way {
                    Way::Cut(end) => Disturbance::Cut(end),
                    Way::Kill(End::Alpha) => kills(&["kill", "-9", &host.process().to_string()]),
                    Way::Kill(End::Beta) => kills(&["ssh", "beta-oob", KILL]),
                },
            );
            let begin = Instant::now();
            let (done, said) = verb(
                &host,
                &["migrate", &app.name(), "beta", "--via", &relay.via()],
            );
            assert!(relay.has_come(), "{moment:?}: {said}");
            asked += u32::from(said.contains("has not said"));
            match way {
                Way::Cut(_) => drop(cable::order("mend")),
                Way::Kill(End::Alpha) => {
                    host.kill();
                    start_again(&mut host);
                }
                Way::Kill(End::Beta) => {
                    beta.kill();
                    beta.run();
                }
            }
            let runs_here = settled(&host, &beta, &app);
            longest = longest.max(begin.elapsed());
            assert_eq!(
                !runs_here,
                runs_on_beta(moment, way),
                "{way:?} at {moment:?}: {said}"
            );
            assert!(!done || !runs_here, "{said}");
        }
        let place = if runs_on_beta(moment, way) {
            "beta"
        } else {
            "alpha"
        };
        println!(
            "{way:?} at {moment:?}: {count} times, runs on {place}, {asked} had to ask, at most {:.1} s, 0 lost, 0 twice",
            longest.as_secs_f64()
        );
    }
}

fn kills(words: &[&str]) -> Disturbance {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    Disturbance::Other(Box::new(move || {
        let status = Command::new(&words[0]).args(&words[1..]).status().unwrap();
        assert!(status.success(), "{words:?}");
    }))
}

#[test]
fn a_cut_of_both_directions_leaves_one_guest() {
    disturb_with(Way::Cut(None));
}

#[test]
fn a_cut_of_what_comes_from_alpha_leaves_one_guest() {
    disturb_with(Way::Cut(Some(End::Alpha)));
}

#[test]
fn a_cut_of_what_comes_from_beta_leaves_one_guest() {
    disturb_with(Way::Cut(Some(End::Beta)));
}

#[test]
fn a_sender_that_is_killed_leaves_one_guest() {
    disturb_with(Way::Kill(End::Alpha));
}

#[test]
fn a_receiver_that_is_killed_leaves_one_guest() {
    disturb_with(Way::Kill(End::Beta));
}
