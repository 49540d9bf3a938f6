//! The audit on a running cluster: what was done and refused stands in the files of every server, over kills, and
//! whoever edits or cuts them is found.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use boss_chaos_tests::{
    api::Credential,
    bossctl_run::Bossctl,
    cluster::{Cluster, Spec, or_fail, refusal},
    manifests::parked_pod,
    wait::{holds, until},
};
use boss_proto::object::Resource;

const NOTHING_KNOWN: i32 = 3;
/// Heads are committed after half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

fn folder(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.folder().join(format!("c/servers/{id}/data/audit"))
}

async fn search(bossctl: &Bossctl, folder: &Path, what: &[&str]) -> String {
    let dir = folder.display().to_string();
    bossctl.succeed(&[&["audit", "search", "--dir", &dir], what].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_refusals_are_kept_over_kills_and_tampering_is_found() {
    let mut cluster = Cluster::start(Spec { nodes: 0, ..Spec::default() }).await;
    let bossctl = Bossctl::of(&cluster);
    cluster.admin().create(parked_pod("seen")).await.expect("the administrator may");
    let nobody = cluster.api(1, Credential::Token(cluster.token("mallory", &[])));
    refusal(nobody.create(parked_pod("never")).await, "a create without a right");

    // Every server has the write, the one that was called the refusal.
    for id in cluster.server_ids() {
        let folder = folder(&cluster, id);
        let kept = until("the record is kept", PATIENCE, async || {
            let found = search(&bossctl, &folder, &["--object", "pods/default/seen", "--verb", "create"]).await;
            holds(found.contains("admin create pods/default/seen: done"), found)
        });
        or_fail(kept.await);
    }
    let at_first = folder(&cluster, 1);
    let refused = until("the record is kept", PATIENCE, async || {
        let found = search(&bossctl, &at_first, &["--user", "mallory", "--refused"]).await;
        holds(found.contains("PERMISSION_DENIED") && found.contains("Pod/default/never"), found)
    });
    or_fail(refused.await);

    // Killed in the middle of work, it goes on without losing or repeating a write.
    for round in 0..3 {
        let victim = 1 + round % 3;
        cluster.kill_server(victim);
        let other = 1 + victim % 3;
        let name = format!("round-{round}");
        cluster.client(other).create(parked_pod(&name).into_object()).await.expect("a majority is there");
        cluster.start_server(victim);
        let object = format!("pods/default/{name}");
        let folder = folder(&cluster, victim);
        let kept = until("the record is kept", PATIENCE, async || {
            let found = search(&bossctl, &folder, &["--object", &object, "--verb", "create"]).await;
            holds(found.matches(&*object).count() == 1, found)
        });
        or_fail(kept.await);
    }

    // The heads are committed, and the files fit them.
    let dir = at_first.display().to_string();
    let verify = ["audit", "verify", "--dir", &dir];
    let whole = until("the record is kept", PATIENCE, async || {
        let verified = bossctl.run(&verify).await;
        assert!(verified.code == 0 || verified.code == NOTHING_KNOWN, "{verified:?}");
        holds(verified.code == 0, verified.stdout)
    });
    or_fail(whole.await);

    // A running cluster tells the same, each write once, and verifies every server's records.
    let found = bossctl.succeed(&["audit", "search", "--object", "pods/default/seen", "--verb", "create"]).await;
    assert_eq!(found.matches("admin create pods/default/seen: done").count(), 1, "{found}");
    let found = bossctl.succeed(&["audit", "search", "--user", "mallory", "--refused"]).await;
    assert!(found.contains("Pod/default/never"), "{found}");
    let tail = bossctl.succeed(&["audit", "tail", "--lines", "3"]).await;
    assert_eq!(tail.lines().count(), 3, "{tail}");
    let verified = bossctl.succeed(&["audit", "verify"]).await;
    assert_eq!(verified.matches("are whole").count(), 3, "{verified}");

    // A user cannot forge a head, whatever his role.
    let forged = "apiVersion: boss.dev/v1\nkind: AuditHead\nmetadata: {name: server-1}\nspec: {sequence: 1}\n";
    let refused = bossctl.run_with_input(&["replace", "-f", "-"], forged).await;
    assert!(refused.code == 4 && refused.stderr.contains("servers only"), "{refused:?}");

    // An edit shows by itself.
    let file = fs::read_dir(&at_first).expect("it is there").filter_map(Result::ok).map(|entry| entry.path());
    let file =
        file.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).min().expect("there is one");
    let text = fs::read_to_string(&file).expect("it can be read");
    let edited = text.replacen("pods/default/seen", "pods/default/fine", 1);
    assert_ne!(edited, text);
    fs::write(&file, edited).expect("it can be written");
    let found = bossctl.run(&["audit", "verify", "--dir", &dir, "--offline"]).await;
    assert!(found.code == 1 && found.stdout.contains("was edited"), "{found:?}");
    let found = bossctl.run(&["audit", "verify"]).await;
    assert!(found.code == 1 && found.stdout.contains("was edited"), "the running cluster tells it, too: {found:?}");
}
