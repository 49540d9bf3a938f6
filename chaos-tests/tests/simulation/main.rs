//! The whole control plane in simulated time: a few seeds of it, each in a process of its own. `make simulate` runs many.

use std::sync::Mutex;

use boss_chaos_tests::simulation::many::{self, Wanted};

/// What fits into a minute of a debug build on two cores that do nothing else.
const SEEDS: u64 = 4;

#[test]
fn every_promise_is_kept_in_simulated_time_while_servers_crash_and_the_network_breaks() {
    let told = Mutex::new(Vec::new());
    let wanted = Wanted { seeds: 1..1 + SEEDS, jobs: 2, twice: false, until_bad: false, bug: None };
    let good = many::run(&wanted, &|one| told.lock().unwrap().push(one.clone())).unwrap();
    let bad: Vec<_> = told.into_inner().unwrap().into_iter().filter(|one| !one.good).collect();
    assert_eq!(good, SEEDS, "{bad:#?}");
}

#[test]
fn the_same_seed_gives_the_same_history_in_two_processes_and_another_seed_another_one() {
    let history = |seed| {
        let told = many::once(seed, None).unwrap();
        let hashes =
            told.text.lines().next().and_then(|line| line.split_once(", state ")).map(|(_, hashes)| hashes.to_owned());
        hashes.unwrap_or_else(|| panic!("{}", told.text))
    };
    assert_eq!(history(21), history(21));
    assert_ne!(history(21), history(22));
}
