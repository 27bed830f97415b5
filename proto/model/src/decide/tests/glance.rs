//! States that were kept and read again, and what is shown of large ones.

use std::collections::BTreeSet;

use super::fleet::{counts, fleet, named, run};
use super::*;
use crate::deployment::{Glance, Target};
use crate::id::DatabaseName;

fn written<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_slice(&serde_json::to_vec(value).unwrap()).unwrap()
}

fn shown(deployment: &Deployment, also: &[DatabaseName]) -> Deployment {
    let glance: Glance = written(&deployment.glance(&also.iter().cloned().collect()));
    glance.into_shown().0
}

#[test]
fn a_state_that_was_kept_goes_on_as_the_log_does() {
    let mut simulation = fleet(20, "waves = [\"canary:1\", \"100%\"]\nmax_parallel = 5\nmax_failures = 2");
    run(&mut simulation, &[7]);
    let whole = &simulation.deployment;
    let first = sample::created(whole.pipeline.clone(), vec![whole.migrations[0].clone()]);
    for cut in [1, 2, 17, simulation.log.len() / 2, simulation.log.len()] {
        let (before, after) = simulation.log.split_at(cut);
        let mut kept = Deployment::open(&first).unwrap();
        for record in before {
            kept.apply(record).unwrap();
        }
        let mut read = written(&kept);
        assert_eq!(read, kept, "after {cut} events");
        for record in after {
            read.apply(record).unwrap();
        }
        assert_eq!(read, *whole, "kept after {cut} events");
    }
}

#[test]
fn of_a_large_fleet_everything_is_counted_and_what_matters_is_shown_in_full() {
    let mut simulation = fleet(300, "waves = [\"10%\", \"100%\"]\nmax_parallel = 40\nmax_failures = 3");
    simulation.settle();
    let at_work = shown(&simulation.deployment, &[]);
    assert_eq!(at_work.stages[0].waves(), simulation.deployment.stages[0].waves());
    assert_eq!(at_work.stages[0].running(), 30, "the first wave");
    let in_full = |d: &Deployment| d.stages[0].running_targets().filter(|t| t.is_running()).count();
    assert!((8..30).contains(&in_full(&at_work)), "{} of those at work are there in full", in_full(&at_work));

    run(&mut simulation, &[3, 150]);
    let (whole, seen) = (&simulation.deployment, shown(&simulation.deployment, &[named(77)]));
    assert_eq!(counts(&simulation)[1].failed, 1);
    assert_eq!(seen.stages[0].waves(), whole.stages[0].waves());
    let failed = |d: &Deployment| d.stages[0].failed_targets().cloned().collect::<Vec<Target>>();
    assert_eq!(failed(&seen), failed(whole), "what failed is there in full");
    assert_eq!(seen.stages[0].target(&named(77)), whole.stages[0].target(&named(77)), "asked for");
    assert_eq!((seen.outcome, &seen.paused, seen.seq), (whole.outcome, &whole.paused, whole.seq));
    let bytes = |d: &Deployment| serde_json::to_vec(&d.glance(&BTreeSet::new())).unwrap().len();
    let all = serde_json::to_vec(whole).unwrap().len();
    assert!(bytes(whole) * 8 < all, "{} of {all} bytes", bytes(whole));
}

#[test]
fn of_a_few_databases_nothing_is_left_out() {
    let mut simulation = fleet(12, "max_parallel = 3");
    run(&mut simulation, &[4]);
    assert_eq!(shown(&simulation.deployment, &[]), simulation.deployment);
}
