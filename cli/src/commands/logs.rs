//! `bossctl logs`: what a pod writes, also over the death of the server that relays it.

use boss_client::Error;
use boss_proto::v1;

use crate::{
    args,
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Logs, session: &Session) -> Result<Exit, Failure> {
    let mut request = v1::LogsRequest {
        namespace: session.namespace.clone(),
        name: args.pod.clone(),
        container: args.container.clone(),
        follow: args.follow,
        tail_lines: args.tail,
        previous: args.previous,
    };
    let mut printer = Printer { timestamps: args.timestamps, printed: None, line_open: false };
    loop {
        match read(&request, &mut printer, session).await {
            Ok(()) => return Ok(Exit::Ok),
            // The rest comes over another server. Asking for everything and leaving out what was printed loses and
            // repeats nothing, which a number of lines could not promise.
            Err(error) if args.follow && is_interruption(&error) && printer.printed.is_some() => {
                terminal::note(&format!("interrupted: {error}; trying again"));
                request.tail_lines = None;
            }
            Err(error) => {
                return Err(Failure::from_client(format!("cannot read the log of pods/{}", args.pod), &error));
            }
        }
    }
}

async fn read(request: &v1::LogsRequest, printer: &mut Printer, session: &Session) -> Result<(), Error> {
    let mut records = terminal::waiting("asking", session.client.logs(request.clone())).await?;
    while let Some(record) = records.message().await.map_err(|status| Error::from_status(&status))? {
        printer.print(&record);
    }
    Ok(())
}

fn is_interruption(error: &Error) -> bool {
    matches!(error, Error::Unavailable(_) | Error::Timeout(_) | Error::Overloaded(_))
}

struct Printer {
    timestamps: bool,
    /// Position of the last record.
    printed: Option<u64>,
    /// The last record was a part of a line that goes on.
    line_open: bool,
}

impl Printer {
    fn print(&mut self, record: &v1::LogRecord) {
        if self.printed.is_some_and(|printed| record.sequence <= printed) {
            return;
        }
        terminal::print_bytes(&self.bytes(record));
        self.printed = Some(record.sequence);
        self.line_open = record.partial;
    }

    fn bytes(&self, record: &v1::LogRecord) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(record.content.len() + 32);
        if self.timestamps && !self.line_open {
            let time = record.time.as_ref().map_or_else(String::new, |time| output::rfc3339(time.seconds));
            bytes.extend_from_slice(format!("{time} ").as_bytes());
        }
        bytes.extend_from_slice(&record.content);
        if !record.partial {
            bytes.push(b'\n');
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_line_are_put_together_and_the_time_stands_before_the_whole() {
        let mut printer = Printer { timestamps: true, printed: None, line_open: false };
        let record =
            |content: &'static str, partial| v1::LogRecord { content: content.into(), partial, ..Default::default() };
        assert_eq!(printer.bytes(&record("ab", true)), b" ab");
        printer.line_open = true;
        assert_eq!(printer.bytes(&record("cd", false)), b"cd\n");
    }
}
