//! A process that writes a log is killed between any two calls to the disk: nothing it had acknowledged is lost, and
//! what it leaves opens without a question.

use std::{collections::BTreeMap, fs, io::Write};

use super::*;
use crate::failpoints::{crash_at_every_point, is_child};

/// Small, so that a short life fills many.
const SMALL_SEGMENT_BYTES: u64 = 8 * 1024;
const ENTRIES: u64 = 240;

fn small(dir: &Path) -> Options {
    Options { segment_bytes: SMALL_SEGMENT_BYTES, ..options(&dir.join("log")) }
}

/// What the process was told is durable, where a killed process cannot lose it.
struct Acknowledged(File);

impl Acknowledged {
    fn note(&mut self, what: &str, number: u64) {
        writeln!(self.0, "{what} {number}").unwrap();
    }

    /// The last number of each kind.
    fn read(dir: &Path) -> BTreeMap<String, u64> {
        let text = fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(what, number)| (what.to_owned(), number.parse().unwrap())).collect()
    }
}

async fn write_some(open: &mut Open, from: u64, acknowledged: &mut Acknowledged) {
    for i in from..from + ENTRIES {
        open.append(vec![entry(i)]).await.unwrap();
        acknowledged.note("entry", i);
        if i % 30 == 29 {
            open.log.save_vote(&Vote::new(i, 1)).await.unwrap();
            acknowledged.note("vote", i);
        }
        if i % 60 == 59 {
            acknowledged.note("purge-asked", i - 40);
            open.log.purge(id(i - 40)).await.unwrap();
        }
    }
}

/// The work of the child; nothing in any other process.
#[tokio::test]
async fn the_life_of_a_log() {
    let Some(dir) = is_child() else { return };
    let mut acknowledged = Acknowledged(File::create(dir.join("acknowledged")).unwrap());
    let mut open = Open::try_on(SystemDisk, small(&dir)).unwrap();
    write_some(&mut open, 0, &mut acknowledged).await;
    open.close().await;
    let newest = files(&dir.join("log")).pop().unwrap();
    let end = used(&newest).next_multiple_of(8) as u64;
    File::options().write(true).open(&newest).unwrap().write_all_at(&[0x5a; 3_000], end).unwrap();
    let mut open = Open::try_on(SystemDisk, small(&dir)).unwrap();
    write_some(&mut open, ENTRIES, &mut acknowledged).await;
    open.close().await;
}

async fn check_what_is_left(dir: &Path, point: &str) {
    let acknowledged = Acknowledged::read(dir);
    let last = |what: &str| acknowledged.get(what).copied();
    let mut open = Open::try_on(SystemDisk, small(dir)).unwrap_or_else(|error| panic!("{point}: {error}"));
    let purged = open.log.get_log_state().await.unwrap().last_purged_log_id.map(|purged| purged.index);
    assert!(purged <= last("purge-asked"), "{point}: purged {purged:?}");
    let first = purged.map_or(0, |purged| purged + 1);
    let entries = open.log.try_get_log_entries(..).await.unwrap();
    let expected: Vec<_> = (first..first + entries.len() as u64).map(entry).collect();
    assert_eq!(entries, expected, "{point}");
    assert!(last("entry") <= open.log.last().map(|last| last.index), "{point}: an acknowledged entry is lost");
    assert!(last("vote") <= open.log.vote().map(|vote| vote.leader_id.term), "{point}: a vote is lost");
    let end = open.log.end();
    open.append(vec![entry(end)]).await.unwrap();
    open.close().await;
    let again = Open::try_on(SystemDisk, small(dir)).unwrap();
    assert_eq!(again.log.last(), Some(id(end)), "{point}");
}

#[test]
fn a_kill_between_any_two_calls_to_the_disk_loses_nothing_acknowledged() {
    let check = |dir: &Path, point: &str| block_on(check_what_is_left(dir, point));
    let points = crash_at_every_point("log::tests::crash::the_life_of_a_log", "log.", check);
    let expected = [
        "log.batch.encoded",
        "log.batch.synced",
        "log.batch.written",
        "log.cut.synced",
        "log.cut.zeroed",
        "log.reclaim.before",
        "log.reclaim.removed",
        "log.segment.allocated",
        "log.segment.headed",
        "log.segment.listed",
        "log.segment.made",
        "log.segment.renamed",
        "log.segment.synced",
    ];
    assert_eq!(points, expected);
}
