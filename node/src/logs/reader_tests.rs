//! Writer and reader together, over real files.

use boss_proto::limits::LOG_LINE_BYTES_MAX;

use super::*;
use crate::{
    logs::{record::Stream, writer::LogWriter},
    sandbox::files::LogBounds,
};

fn all(reader: &mut LogReader) -> Vec<Record> {
    std::iter::from_fn(|| Some(reader.read().unwrap()).filter(|records| !records.is_empty())).flatten().collect()
}

fn text(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.content).into_owned()).collect()
}

fn small() -> LogBounds {
    LogBounds { segment_bytes_max: 1_000, segments_max: 3 }
}

#[test]
fn lines_come_back_whole_in_order_and_by_stream() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 2, LogBounds::default()).unwrap();
    writer.append(Stream::Stdout, b"one\ntw", 10);
    writer.append(Stream::Stderr, b"error\n", 11);
    writer.append(Stream::Stdout, b"o\n\nend without newline", 12);
    writer.finish(13);
    let records = all(&mut LogReader::from_start(dir.path()));
    assert_eq!(text(&records), ["one", "error", "two", "", "end without newline"]);
    assert_eq!(records[1].header.stream, Stream::Stderr);
    assert!(records.windows(2).all(|pair| pair[0].header.sequence + 1 == pair[1].header.sequence));
    assert_eq!(records[0].header.sequence, 2 << 40);
}

#[test]
fn a_long_line_is_split_and_marked() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 1, LogBounds::default()).unwrap();
    let line = vec![b'x'; LOG_LINE_BYTES_MAX * 2 + 1];
    writer.append(Stream::Stdout, &line, 0);
    writer.append(Stream::Stdout, b"\n", 0);
    let records = all(&mut LogReader::from_start(dir.path()));
    let shape: Vec<(usize, bool)> =
        records.iter().map(|record| (record.content.len(), record.header.partial)).collect();
    assert_eq!(shape, [(LOG_LINE_BYTES_MAX, true), (LOG_LINE_BYTES_MAX, true), (1, false)]);
}

#[test]
fn the_ring_keeps_the_newest_and_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 1, small()).unwrap();
    for number in 0..1_000 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), 0);
    }
    let bytes: u64 = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= 3 * 1_100, "{bytes}");
    let lines = text(&all(&mut LogReader::from_start(dir.path())));
    assert_eq!(lines.last().unwrap(), "line 999");
    let first: usize = lines[0].strip_prefix("line ").unwrap().parse().unwrap();
    assert_eq!(lines.len(), 1_000 - first);
}

#[test]
fn a_reader_follows_over_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 1, small()).unwrap();
    let mut reader = LogReader::from_start(dir.path());
    let mut seen = Vec::new();
    for number in 0..300 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), 0);
        seen.extend(text(&all(&mut reader)));
    }
    let wanted: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn a_tail_starts_at_the_last_lines_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 1, small()).unwrap();
    for number in 0..100 {
        writer.append(Stream::Stdout, format!("line {number}\n").as_bytes(), 0);
    }
    for wanted in [0, 1, 7, 60] {
        let (mut reader, found) = LogReader::from_tail(dir.path(), wanted).unwrap();
        assert_eq!(found, wanted);
        let lines = text(&all(&mut reader));
        assert_eq!(lines.len(), wanted);
        assert!(lines.last().is_none_or(|last| last == "line 99"));
    }
    let everything = all(&mut LogReader::from_tail(dir.path(), 10_000).unwrap().0).len();
    assert_eq!(everything, all(&mut LogReader::from_start(dir.path())).len());
}

#[test]
fn a_torn_record_at_the_end_is_not_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = LogWriter::create(dir.path().to_owned(), 1, LogBounds::default()).unwrap();
    writer.append(Stream::Stdout, b"whole\ntorn\n", 0);
    let path = segment_path(dir.path(), 1);
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 2).unwrap();
    assert_eq!(text(&all(&mut LogReader::from_start(dir.path()))), ["whole"]);
}

#[test]
fn no_log_reads_as_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert!(LogReader::from_start(&dir.path().join("none")).read().unwrap().is_empty());
    assert!(LogReader::from_tail(dir.path(), 5).unwrap().0.read().unwrap().is_empty());
}
