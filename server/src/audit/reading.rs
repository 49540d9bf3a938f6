//! Shows the records of this server's files to whoever may read them, and those that come. Knows no right.

use std::{collections::VecDeque, fmt, io, path::PathBuf, sync::Arc, time::Duration};

use boss_base::{journal::Reader, tasks::Tasks};
use boss_proto::{audit::fits, v1::AuditFilter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Readers of one server at once: each holds a piece of the files.
pub const READERS_MAX: usize = 16;
/// Records that somebody can have from the end of the files.
pub const LAST_MAX: usize = 10_000;
/// Of the files, read at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Between two looks for what has come.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Which records.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// After this number.
    pub after: u64,
    /// Of those only the last so many; 0 is all of them.
    pub last: usize,
    /// And what comes.
    pub follow: bool,
    /// What they must say.
    pub filter: AuditFilter,
}

/// Where the files are, and how many read them.
pub(super) struct Desk {
    directory: PathBuf,
    places: Arc<Semaphore>,
    tasks: Tasks,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(directory: PathBuf, tasks: Tasks) -> Self {
        Self { directory, places: Arc::new(Semaphore::new(READERS_MAX)), tasks }
    }

    /// `None` when too many read already.
    pub(super) fn open(&self, query: Query) -> Option<Records> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let reader = Some(Reader::after(self.directory.clone(), query.after));
        Some(Records { reader, query, tasks: self.tasks.clone(), is_at_end: false, _place: place })
    }
}

/// One reader's way through the files.
pub struct Records {
    /// Absent while a piece is read.
    reader: Option<Reader>,
    query: Query,
    tasks: Tasks,
    /// What there was when it began has been told.
    is_at_end: bool,
    _place: OwnedSemaphorePermit,
}

impl Records {
    /// The next records; none when nothing has come yet, `None` when there will be no more.
    pub async fn next(&mut self) -> io::Result<Option<Vec<String>>> {
        if self.is_at_end {
            if !self.query.follow {
                return Ok(None);
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        } else if self.query.last > 0 {
            return self.last_ones().await.map(Some);
        }
        let Some(lines) = self.piece().await? else {
            self.is_at_end = true;
            return Ok(Some(Vec::new()));
        };
        Ok(Some(lines))
    }

    async fn last_ones(&mut self) -> io::Result<Vec<String>> {
        let count = self.query.last.min(LAST_MAX);
        let mut last = VecDeque::with_capacity(count);
        while let Some(lines) = self.piece().await? {
            for line in lines {
                if last.len() == count {
                    last.pop_front();
                }
                last.push_back(line);
            }
        }
        self.is_at_end = true;
        Ok(last.into())
    }

    /// Those that fit of a piece of the files; `None` at their end.
    async fn piece(&mut self) -> io::Result<Option<Vec<String>>> {
        let Some(mut reader) = self.reader.take() else { return Err(io::Error::other("a piece was lost")) };
        let filter = self.query.filter.clone();
        let read = move || {
            let lines = reader.read(PIECE_BYTES);
            let fitting = lines.map(|lines| {
                let is_end = lines.is_empty();
                let fitting: Vec<_> = lines.into_iter().filter(|line| line_fits(&filter, line)).collect();
                (!is_end).then_some(fitting)
            });
            (reader, fitting)
        };
        let (reader, lines) = self.tasks.run_blocking("read-audit", read).await.map_err(io::Error::other)?;
        self.reader = Some(reader);
        lines
    }
}

/// A line that is no record fits only when nothing is asked for: verification must see it.
fn line_fits(filter: &AuditFilter, line: &str) -> bool {
    *filter == AuditFilter::default() || serde_json::from_str(line).is_ok_and(|record| fits(filter, &record))
}
