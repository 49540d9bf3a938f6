//! `bossctl certs`: who has which certificate and for how long, taking some back, and another authority in the place of
//! the present one.

mod rotation;

use boss_base::clock::{Clock, SystemClock};
use boss_proto::v1;

use crate::{
    args::{self, Answer, Global},
    failure::{Exit, Failure},
    output,
    session::Session,
    terminal,
};

pub(super) async fn run(args: args::Certs, global: &Global) -> Result<Exit, Failure> {
    let session = Session::open(global)?;
    match args {
        args::Certs::Status { output } => status(output, &session).await,
        args::Certs::Revoke(args) => revoke(args, &session).await,
        args::Certs::RotateCa(args::RotateAuthority::Begin(folder)) => rotation::begin(&folder.dir, &session).await,
        args::Certs::RotateCa(args::RotateAuthority::Switch(folder)) => rotation::switch(&folder.dir, &session).await,
        args::Certs::RotateCa(args::RotateAuthority::Finish(folder)) => rotation::finish(&folder.dir, &session).await,
    }
}

async fn status(answer: Answer, session: &Session) -> Result<Exit, Failure> {
    let status = terminal::waiting("asking", session.client.certificates()).await;
    let status = status.map_err(|error| Failure::from_client("cannot ask for the certificates", &error))?;
    terminal::print(&match answer {
        Answer::Json => format!("{:#}\n", serde_json::json!(status)),
        Answer::Table => table(&status, SystemClock.unix_seconds()),
    });
    Ok(Exit::Ok)
}

fn table(status: &v1::CertificatesStatusResponse, now_s: u64) -> String {
    let certificates: Vec<_> = status.certificates.iter().map(|held| certificate_row(held, now_s)).collect();
    let authorities: Vec<_> = status.authorities.iter().map(|authority| authority_row(authority, now_s)).collect();
    let alarms: String = status.alarms.iter().map(|alarm| format!("alarm: {}\n", output::clean(alarm))).collect();
    format!(
        "{}\n{}{}{alarms}",
        output::plain(&["HOLDER", "SERIAL", "UNTIL", "LEFT", "CA", "NOTE"], &certificates),
        output::plain(&["CA", "NAME", "UNTIL", "LEFT", "SIGNS", "KEY-ON"], &authorities),
        if alarms.is_empty() { "" } else { "\n" },
    )
}

fn certificate_row(held: &v1::CertificateStatus, now_s: u64) -> Vec<String> {
    let note = if held.revoked { "revoked".to_owned() } else { output::clean(&held.problem) };
    vec![
        format!("{}/{}", held.holder, output::clean(&held.name)),
        held.serial.clone(),
        until(held.not_after.as_ref().map(|time| time.seconds)),
        left(held.not_after.as_ref().map(|time| time.seconds), now_s),
        short(&held.authority),
        note,
    ]
}

fn authority_row(authority: &v1::AuthorityStatus, now_s: u64) -> Vec<String> {
    let signers = authority.signers.iter().map(|id| format!("server {id}")).collect::<Vec<_>>().join(", ");
    vec![
        short(&authority.id),
        output::clean(&authority.name),
        until(authority.not_after.as_ref().map(|time| time.seconds)),
        left(authority.not_after.as_ref().map(|time| time.seconds), now_s),
        if authority.issuing { "yes" } else { "no" }.to_owned(),
        signers,
    ]
}

fn until(seconds: Option<i64>) -> String {
    seconds.filter(|seconds| *seconds > 0).map(output::rfc3339).unwrap_or_default()
}

fn left(seconds: Option<i64>, now_s: u64) -> String {
    let Some(end) = seconds.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0) else {
        return String::new();
    };
    let left = end.saturating_sub(now_s);
    match left {
        0 => "ended".to_owned(),
        1..=7_199 => format!("{left}s"),
        7_200..=172_799 => format!("{}h", left / 3_600),
        _ => format!("{}d", left / 86_400),
    }
}

/// As much of an authority's id as tells it from others.
fn short(id: &str) -> String {
    id.chars().take(12).collect()
}

async fn revoke(args: args::RevokeCertificates, session: &Session) -> Result<Exit, Failure> {
    let what = "cannot revoke";
    let (serial, node_name) = (args.serial.unwrap_or_default().to_ascii_lowercase(), args.node.unwrap_or_default());
    let request = v1::RevokeCertificatesRequest { serial, node_name, reason: args.reason };
    let revoked = terminal::waiting("revoking", session.client.revoke_certificates(request)).await;
    let revoked = revoked.map_err(|error| Failure::from_client(what, &error))?;
    let lines = revoked.serials.iter().map(|serial| format!("certificate {} revoked\n", output::clean(serial)));
    let text: String = lines.collect();
    terminal::print(if text.is_empty() { "it has no certificate that is good\n" } else { &text });
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_who_has_what_for_how_long_and_what_is_wrong() {
        let held = v1::CertificateStatus {
            holder: "node".to_owned(),
            name: "n1".to_owned(),
            serial: "0a".to_owned(),
            not_after: serde_json::from_value(output::rfc3339(1_000_000 + 3 * 86_400).into()).expect("it is a time"),
            authority: "abcdefabcdefabcdef".to_owned(),
            ..v1::CertificateStatus::default()
        };
        let unknown = v1::CertificateStatus {
            holder: "server".to_owned(),
            name: "2".to_owned(),
            problem: "no answer".to_owned(),
            ..v1::CertificateStatus::default()
        };
        let text = table(
            &v1::CertificatesStatusResponse {
                certificates: vec![held, unknown],
                authorities: vec![v1::AuthorityStatus { id: "abcdef".into(), signers: vec![1], ..Default::default() }],
                alarms: vec!["something".to_owned()],
            },
            1_000_000,
        );
        for wanted in ["node/n1", "0a", "3d", "abcdefabcdef ", "server/2", "no answer", "server 1", "alarm: something"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        assert_eq!(left(Some(1_000_060), 1_000_000), "60s");
        assert_eq!(left(Some(999_999), 1_000_000), "ended");
    }
}
