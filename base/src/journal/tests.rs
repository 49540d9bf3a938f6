//! Journals on a real file system, and what is found when somebody changes them.

use tempfile::TempDir;

use super::*;

const SMALL: Bounds = Bounds { file_bytes: 600, files_max: 100 };

fn filled(lines: usize, bounds: Bounds) -> (TempDir, Head) {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(directory.path(), "c", bounds).unwrap();
    for number in 0..lines {
        journal.append([format!("{{\"n\":{number}}}").as_str()].into_iter()).unwrap();
    }
    let head = journal.head().clone();
    (directory, head)
}

fn change(directory: &TempDir, file: usize, edit: impl FnOnce(Vec<String>) -> Vec<String>) {
    let path = &paths(directory.path()).unwrap()[file].1;
    let lines = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    let text: String = edit(lines).iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).unwrap();
}

#[test]
fn a_journal_goes_on_over_files_and_restarts_and_is_whole() {
    let (directory, before) = filled(10, SMALL);
    let mut journal = Journal::open(directory.path(), "other", SMALL).unwrap();
    assert_eq!((journal.head(), journal.chain()), (&before, "c"));
    journal.append(["{}", "{\"a\": 1}"].into_iter()).unwrap();
    assert!(paths(directory.path()).unwrap().len() > 1);
    let verified = verify(directory.path(), &[before, journal.head().clone()]).unwrap();
    assert_eq!(verified, Verified { first: 1, head: journal.head().clone(), problems: Vec::new() });
    assert_eq!(verified.head.sequence, 12);
}

#[test]
fn old_files_go_and_what_is_left_is_still_whole() {
    let (directory, head) = filled(40, Bounds { files_max: 3, ..SMALL });
    assert_eq!(paths(directory.path()).unwrap().len(), 3);
    let verified = verify(directory.path(), std::slice::from_ref(&head)).unwrap();
    assert!(verified.first > 1 && verified.problems.is_empty(), "{verified:?}");
}

#[test]
fn an_edited_line_is_found() {
    let (directory, head) = filled(10, SMALL);
    change(&directory, 0, |mut lines| {
        lines[1] = lines[1].replace("\"n\":1", "\"n\":7");
        lines
    });
    let verified = verify(directory.path(), &[head]).unwrap();
    assert!(matches!(verified.problems[..], [Problem::Edited { sequence: 3, .. }]), "{verified:?}");
}

#[test]
fn a_missing_line_and_a_missing_file_are_found() {
    let (directory, _) = filled(10, SMALL);
    change(&directory, 0, |mut lines| {
        lines.remove(1);
        lines
    });
    let verified = verify(directory.path(), &[]).unwrap();
    assert!(matches!(verified.problems[0], Problem::Gap { expected: 2, found: Some(3), .. }), "{verified:?}");
    let (directory, _) = filled(20, SMALL);
    fs::remove_file(&paths(directory.path()).unwrap()[1].1).unwrap();
    let verified = verify(directory.path(), &[]).unwrap();
    assert!(matches!(verified.problems[0], Problem::Gap { .. }), "{verified:?}");
}

#[test]
fn a_cut_end_is_found_by_who_has_seen_it() {
    let (directory, head) = filled(10, Bounds { file_bytes: 1 << 20, files_max: 3 });
    change(&directory, 0, |mut lines| {
        lines.truncate(8);
        lines
    });
    assert_eq!(verify(directory.path(), &[]).unwrap().problems, []);
    let verified = verify(directory.path(), &[head]).unwrap();
    assert_eq!(verified.problems, [Problem::CutOff { last: 8, seen: 10 }]);
}

#[test]
fn a_journal_that_was_written_anew_is_found_by_who_has_seen_it() {
    let (_gone, seen) = filled(10, SMALL);
    let (directory, _) = filled(3, SMALL);
    let mut journal = Journal::open(directory.path(), "c", SMALL).unwrap();
    for _ in 0..9 {
        journal.append(["{\"forged\":true}"].into_iter()).unwrap();
    }
    assert_eq!(verify(directory.path(), &[]).unwrap().problems, []);
    assert_eq!(verify(directory.path(), &[seen]).unwrap().problems, [Problem::Replaced { sequence: 10 }]);
}

#[test]
fn a_line_that_was_not_finished_is_cut_off_when_the_journal_opens() {
    let (directory, head) = filled(3, SMALL);
    let path = paths(directory.path()).unwrap().pop().unwrap().1;
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(b"{\"seq\":4,\"pr").unwrap();
    assert_eq!(verify(directory.path(), &[]).unwrap().head, head);
    let mut journal = Journal::open(directory.path(), "c", SMALL).unwrap();
    journal.append(["{}"].into_iter()).unwrap();
    let verified = verify(directory.path(), &[head]).unwrap();
    assert_eq!((verified.head.sequence, verified.problems), (4, Vec::new()));
}

#[test]
fn nothing_of_a_failed_append_stays() {
    let (directory, head) = filled(3, SMALL);
    let mut journal = Journal::open(directory.path(), "c", SMALL).unwrap();
    let path = paths(directory.path()).unwrap().pop().unwrap().1;
    // A file that was opened for reading only fails as a full disk does: by the write.
    journal.file.as_mut().unwrap().file = File::open(path).unwrap();
    assert!(journal.append(["{}"].into_iter()).is_err());
    assert_eq!(journal.head(), &head);
    assert_eq!(verify(directory.path(), &[head]).unwrap().problems, []);
}

#[test]
fn a_reader_beside_the_writer_gets_every_line_once_over_files() {
    let (directory, _) = filled(10, SMALL);
    let mut reader = Reader::after(directory.path().to_owned(), 0);
    let mut read = Vec::new();
    // Few bytes at a time, so that it stops in the middle of files.
    loop {
        let lines = reader.read(100).unwrap();
        if lines.is_empty() {
            break;
        }
        read.extend(lines);
    }
    let mut journal = Journal::open(directory.path(), "c", SMALL).unwrap();
    for round in 0..20 {
        journal.append([format!("{{\"round\":{round}}}").as_str()].into_iter()).unwrap();
        read.extend(reader.read(1 << 20).unwrap());
    }
    let text: String =
        paths(directory.path()).unwrap().iter().map(|(_, path)| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(read, text.lines().collect::<Vec<_>>());
    let mut later = Reader::after(directory.path().to_owned(), 28);
    assert_eq!(later.read(1 << 20).unwrap(), read[28..]);
    let mut verifier = Verifier::new(&[journal.head().clone()]);
    read[7..].iter().for_each(|line| verifier.line(directory.path(), line.as_bytes()));
    let verified = verifier.finish();
    assert_eq!((verified.first, verified.head, verified.problems), (8, journal.head().clone(), Vec::new()));
}

#[test]
fn a_reader_shows_no_line_before_it_is_whole_and_goes_on_when_old_files_went() {
    let (directory, _) = filled(1, SMALL);
    let mut reader = Reader::after(directory.path().to_owned(), 0);
    assert_eq!(reader.read(1 << 20).unwrap().len(), 1);
    let path = &paths(directory.path()).unwrap()[0].1;
    let half = File::options().append(true).open(path).unwrap();
    (&half).write_all(b"{\"half\":").unwrap();
    assert_eq!(reader.read(1 << 20).unwrap(), Vec::<String>::new());
    (&half).write_all(b"1}\n").unwrap();
    assert_eq!(reader.read(1 << 20).unwrap(), ["{\"half\":1}"]);
    let (directory, head) = filled(40, Bounds { files_max: 3, ..SMALL });
    let mut late = Reader::after(directory.path().to_owned(), 0);
    let lines = late.read(1 << 20).unwrap();
    let first = paths(directory.path()).unwrap()[0].0;
    assert!(first > 1);
    assert_eq!(lines.len() as u64, head.sequence - first + 1, "from the oldest that is left");
}
