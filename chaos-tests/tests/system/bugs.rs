//! Deliberate bugs are in no normal build.

use std::{fs, process::Command, time::Duration};

use boss_base::bugs::VARIABLE;
use boss_chaos_tests::{
    binaries, bugs,
    cluster::or_fail,
    process::{Exit, Process},
};

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_normal_program_has_no_bug_on_purpose_and_refuses_to_be_given_one() {
    for program in ["boss-server", "boss-node"] {
        let path = binaries::find(program).unwrap_or_else(|error| panic!("{error}"));
        let process = Process::spawn(Command::new(&path).env(VARIABLE, "half-txn")).expect("it can be started");
        assert_eq!(or_fail(process.wait(PATIENCE).await), Exit::Code(2), "{program}");
        let bytes = fs::read(&path).expect("it was just started");
        let text = String::from_utf8_lossy(&bytes);
        for bug in bugs::ALL {
            assert!(!text.contains(bug.name), "{program} knows the bug {}", bug.name);
        }
    }
}
