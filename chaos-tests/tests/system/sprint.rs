//! A short sprint of everything: clients of every workload while servers are killed, paused, cut off and lose power, and
//! every promise judged. `SEED=123` repeats the choices of a run; `make chaos` does more of it.

use std::{env, io::Write, time::Duration};

use boss_chaos_tests::{
    needs,
    nemesis::Family,
    run_folder,
    sprint::{self, Options},
};
use boss_proto::{ids::Revision, v1};

#[test]
fn every_promise_is_kept_while_servers_are_killed_paused_cut_off_and_lose_power() {
    let families = vec![Family::Kill, Family::Pause, Family::Partition, Family::DiskLoss];
    if !needs::are_met(&families) {
        return;
    }
    let options =
        Options { servers: 3, nodes: 2, families, duration: Duration::from_secs(25), ..Options::of_seed(seed()) };
    writeln!(std::io::stderr(), "{}", options.command()).expect("standard error is open");
    let reports = run_folder::root().join("reports");
    let outcome = sprint::run(&options, &reports, false).expect("root may do this, and the folder is ours");
    let broken: Vec<_> = outcome.broken().collect();
    assert!(outcome.is_good(), "{}: {broken:?}", outcome.folder.join("report.html").display());
}

fn seed() -> u64 {
    match env::var("SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SEED={text} is no number")),
        Err(_) => v1::RequestId::random(Revision::ZERO).nonce.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)),
    }
}
