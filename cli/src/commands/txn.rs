//! `bossctl txn`: compares, then does all of one list of operations or all of the other, in one revision.

mod file;

use std::path::Path;

use boss_base::files;
use boss_proto::{
    limits::MANIFEST_BYTES_MAX,
    v1::{self, txn_result::Result as Told},
};

use crate::{
    args,
    failure::{Exit, Failure, chain},
    session::Session,
    terminal,
};

pub(super) async fn run(args: &args::Txn, session: &Session) -> Result<Exit, Failure> {
    let what = || format!("cannot use {}", args.file.display());
    let text = read(&args.file).map_err(|error| Failure::new(Exit::BadInput, what(), chain(&error)))?;
    let txn = file::parse(&text, &session.namespace).map_err(|problem| Failure::bad_input(what(), problem))?;
    let txn = v1::TxnRequest { dry_run: args.dry_run.is_dry(), ..txn };
    let done = terminal::waiting("writing", Box::pin(session.client.txn(txn.clone()))).await;
    let done = done.map_err(|error| Failure::from_client("cannot do the transaction", &error))?;
    terminal::print(&lines(&txn, &done, args.dry_run.suffix()));
    Ok(Exit::Ok)
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = if path == Path::new("-") {
        super::manifests::read_input()
    } else {
        files::read_bounded(path, MANIFEST_BYTES_MAX)
    };
    String::from_utf8(bytes?).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}

/// Which list was done, and what became of each of its operations.
fn lines(txn: &v1::TxnRequest, done: &v1::TxnResponse, suffix: &str) -> String {
    let (list, operations) = if done.succeeded { ("then", &txn.success) } else { ("else", &txn.failure) };
    let mut text = format!("{list} done at revision {}{suffix}\n", done.revision);
    for (operation, result) in operations.iter().zip(&done.results) {
        let outcome = match &result.result {
            Some(Told::Written(_)) => "written",
            Some(Told::Deleted(deleted)) if deleted.gone => "deleted",
            Some(Told::Deleted(_)) => "deletion asked for",
            Some(Told::Got(got)) if got.object.is_some() => "is there",
            Some(Told::Got(_)) => "is not there",
            None => "unknown",
        };
        text.push_str(&format!("{} {outcome}{suffix}\n", file::name(operation)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_that_was_done_is_told_operation_by_operation() {
        let text = "then: [{delete: {kind: Pod, name: web}}]\nelse: [{get: {kind: Pod, name: web}}]\n";
        let txn = file::parse(text, "default").unwrap();
        let told = |succeeded, result| {
            let results = vec![v1::TxnResult { result: Some(result) }];
            lines(&txn, &v1::TxnResponse { succeeded, revision: 7, results }, " (dry run)")
        };
        let deleted = Told::Deleted(v1::DeleteResponse { gone: true, ..Default::default() });
        assert_eq!(told(true, deleted), "then done at revision 7 (dry run)\npods/web deleted (dry run)\n");
        let absent = Told::Got(v1::GetResponse::default());
        assert_eq!(told(false, absent), "else done at revision 7 (dry run)\npods/web is not there (dry run)\n");
    }
}
