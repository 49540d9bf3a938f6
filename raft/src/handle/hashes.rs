//! Compares the members' states by their hashes at one entry. A majority of the voters decides; the judgement is pure,
//! the asking around it thin. Replaces nothing: that is `aside`.

use std::time::Duration;

use boss_proto::ids::ServerId;
use futures_util::future::join_all;

use super::{Handle, ProposeError};
use crate::{
    codec::log_id_from_proto,
    metric_definitions::{HASH_CHECKS, STATES_DIFFER},
    state::Digest,
    storage::Mark,
    types::{LogId, Member},
};

/// How often the leader looks whether there is a new mark to compare.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// After a comparison that not every member answered, the same one is made again after so long, unless there is a newer
/// mark.
const REPEAT_INTERVAL: Duration = Duration::from_secs(20);
/// How long a member may take to reach the entry and answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A majority of the voters has one state, and nobody who answered has another.
    Agreed,
    /// A majority has one state, somebody has another.
    Odd,
    /// States differ, and none of them has a majority: nobody can tell which one is right.
    NoMajority,
    /// Too few answered, and they do not differ.
    Unknown,
}

impl Verdict {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Odd => "odd",
            Self::NoMajority => "no-majority",
            Self::Unknown => "unknown",
        }
    }
}

/// What one member said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashAnswer {
    /// The member.
    pub id: ServerId,
    /// Whether it votes.
    pub voter: bool,
    /// Its hash at the entry, or why there is none.
    pub hash: Result<Digest, String>,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCheck {
    /// The entry.
    pub index: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// What a majority of the voters has.
    pub agreed: Option<Digest>,
    /// One for each member.
    pub answers: Vec<HashAnswer>,
}

impl HashCheck {
    /// Members whose state is another than the majority's.
    pub fn odd(&self) -> impl Iterator<Item = ServerId> + '_ {
        let differs = |answer: &&HashAnswer| answer.hash.as_ref().is_ok_and(|hash| Some(*hash) != self.agreed);
        self.answers.iter().filter(move |answer| self.agreed.is_some() && differs(answer)).map(|answer| answer.id)
    }

    /// Members that have the majority's state.
    pub fn agreeing(&self) -> impl Iterator<Item = ServerId> + '_ {
        let agrees = |answer: &&HashAnswer| answer.hash.as_ref().ok() == self.agreed.as_ref();
        self.answers.iter().filter(move |answer| self.agreed.is_some() && agrees(answer)).map(|answer| answer.id)
    }

    /// What somebody should know of it; nothing when all is well.
    fn alarm(&self) -> Option<String> {
        match self.verdict {
            Verdict::Agreed | Verdict::Unknown => None,
            Verdict::Odd => {
                let odd: Vec<String> = self.odd().map(|id| id.to_string()).collect();
                let (names, index) = (odd.join(", "), self.index);
                Some(format!("the state of server {names} differs from the majority's at entry {index}"))
            }
            Verdict::NoMajority => Some(format!(
                "the servers' states differ at entry {} and none of them has a majority: {}. Nobody can tell which one \
                 is right: keep logs and snapshots, and decide which server's snapshot to go on from",
                self.index,
                self.groups()
            )),
        }
    }

    fn groups(&self) -> String {
        let said: Vec<String> = self
            .answers
            .iter()
            .map(|answer| match &answer.hash {
                Ok(hash) => format!("server {} has {}", answer.id, &hash.to_string()[..HASH_DIGITS]),
                Err(_) => format!("server {} did not answer", answer.id),
            })
            .collect();
        said.join(", ")
    }
}

/// Enough to tell hashes apart.
const HASH_DIGITS: usize = 12;

fn judge(index: u64, answers: Vec<HashAnswer>) -> HashCheck {
    let voters = answers.iter().filter(|answer| answer.voter);
    let majority = voters.clone().count() / 2 + 1;
    let hashes: Vec<Digest> = voters.filter_map(|answer| answer.hash.as_ref().ok().copied()).collect();
    let agreed = hashes.iter().copied().find(|hash| hashes.iter().filter(|other| *other == hash).count() >= majority);
    let mut all = answers.iter().filter_map(|answer| answer.hash.as_ref().ok());
    let differ = all.next().is_some_and(|first| all.any(|other| other != first));
    let verdict = match (agreed, differ) {
        (Some(_), true) => Verdict::Odd,
        (Some(_), false) => Verdict::Agreed,
        (None, true) => Verdict::NoMajority,
        (None, false) => Verdict::Unknown,
    };
    HashCheck { index, verdict, agreed, answers }
}

/// Which comparison the leader has made last.
#[derive(Default)]
struct Compared {
    mark: Option<LogId>,
    complete: bool,
    at: Duration,
}

impl Compared {
    fn is_enough(&self, newest: LogId, now: Duration) -> bool {
        self.mark == Some(newest) && (self.complete || now.saturating_sub(self.at) < REPEAT_INTERVAL)
    }
}

impl Handle {
    /// Compares the states now, at an entry made for that. Leader only. An odd server is told so, as by the comparisons
    /// that the leader makes by itself.
    pub async fn check_hashes(&self) -> Result<HashCheck, ProposeError> {
        self.propose(Vec::new()).await?;
        let mark = self.0.published.marks().pop().ok_or(ProposeError::Timeout)?;
        Ok(self.compare_and_act(mark).await)
    }

    /// Why the members' states are known to differ; told by the leader, which compares them.
    #[must_use]
    pub fn alarm(&self) -> Option<String> {
        self.0.alarm.borrow().clone()
    }

    /// Compares as leader, whenever the next mark is reached.
    pub(super) async fn keep_comparing(self) {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut compared = Compared::default();
        loop {
            looks.tick().await;
            if !self.0.leadership.borrow().ready || self.why_aside().is_some() {
                // The next leader compares anew, and so does this one if it leads again.
                compared = Compared::default();
                self.leave_alarm_to_others();
                continue;
            }
            let now = self.0.clock.monotonic();
            let Some(mark) = self.0.published.marks().pop().filter(|mark| !compared.is_enough(mark.log_id, now)) else {
                continue;
            };
            let check = self.compare_and_act(mark).await;
            let complete = check.answers.iter().all(|answer| answer.hash.is_ok());
            compared = Compared { mark: Some(mark.log_id), complete, at: now };
        }
    }

    async fn compare_and_act(&self, mark: Mark) -> HashCheck {
        let check = self.compare(mark).await;
        metrics::counter!(HASH_CHECKS, "verdict" => check.verdict.as_str()).increment(1);
        match check.alarm() {
            // Too few answers say nothing, also not that all is well again.
            None if check.verdict == Verdict::Unknown => {}
            alarm => self.raise(alarm),
        }
        for odd in check.odd() {
            self.tell(odd, mark, &check).await;
        }
        check
    }

    fn raise(&self, alarm: Option<String>) {
        metrics::gauge!(STATES_DIFFER).set(if alarm.is_some() { 1.0 } else { 0.0 });
        self.0.alarm.send_if_modified(|before| {
            let news = *before != alarm;
            match (&alarm, news) {
                (Some(alarm), true) => tracing::error!(alarm, "the servers' states differ"),
                (None, true) => tracing::info!("the servers' states agree again"),
                _ => {}
            }
            *before = alarm;
            news
        });
    }

    fn leave_alarm_to_others(&self) {
        if self.0.alarm.send_replace(None).is_some() && self.why_aside().is_none() {
            metrics::gauge!(STATES_DIFFER).set(0.0);
        }
    }

    async fn tell(&self, odd: ServerId, mark: Mark, check: &HashCheck) {
        if odd == self.0.server_id {
            return self.begin_aside(mark.log_id, check.agreeing().collect());
        }
        let Some(agreed) = check.agreed else { return };
        let Some(member) = self.members().into_iter().find(|member| member.id == odd) else { return };
        let donors: Vec<ServerId> = check.agreeing().collect();
        let told = self.0.peers.step_aside(&member, Mark { hash: agreed, ..mark }, &donors, ANSWER_TIMEOUT).await;
        if let Err(status) = told {
            tracing::error!(server = %odd, %status, "a server with another state could not be told so");
        }
    }

    pub(super) async fn compare(&self, mark: Mark) -> HashCheck {
        let status = self.status();
        let asked = status.members.iter().map(async |member| HashAnswer {
            id: member.id,
            voter: status.voters.contains(&member.id),
            hash: self.hash_of(member, mark).await,
        });
        judge(mark.log_id.index, join_all(asked).await)
    }

    async fn hash_of(&self, member: &Member, mark: Mark) -> Result<Digest, String> {
        if member.id == self.0.server_id {
            return Ok(mark.hash);
        }
        let answer = self.0.peers.state_hashes(member, mark.log_id.index, ANSWER_TIMEOUT).await;
        let marks = answer.map_err(|status| status.message().to_owned())?.marks;
        let is_it = |id: boss_proto::raft::v1::LogId| log_id_from_proto(id) == mark.log_id;
        let found = marks.iter().find(|other| other.log_id.is_some_and(is_it));
        let hash = found.and_then(|found| Digest::from_bytes(&found.hash));
        hash.ok_or_else(|| "it has noted no hash at this entry".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per server: its hash, capital for a voter; `-` for a voter that does not answer.
    fn check_verdict(answers: &str, verdict: Verdict, odd: &[u64]) {
        let answer = |(id, letter): (u64, char)| HashAnswer {
            id: ServerId(id),
            voter: letter.is_ascii_uppercase() || letter == '-',
            hash: match letter.to_ascii_lowercase() {
                '-' => Err("no answer".to_owned()),
                letter => Ok(Digest::of(&[letter.to_string().as_bytes()])),
            },
        };
        let check = judge(7, (1..).zip(answers.chars()).map(answer).collect());
        assert_eq!(check.verdict, verdict, "{answers}");
        assert_eq!(check.odd().map(|id| id.0).collect::<Vec<_>>(), odd, "{answers}");
        assert!(check.agreeing().all(|id| !odd.contains(&id.0)), "{answers}");
        assert_eq!(check.alarm().is_some(), matches!(verdict, Verdict::Odd | Verdict::NoMajority), "{answers}");
    }

    #[test]
    fn a_majority_of_the_voters_decides() {
        check_verdict("A", Verdict::Agreed, &[]);
        check_verdict("AAA", Verdict::Agreed, &[]);
        check_verdict("AAB", Verdict::Odd, &[3]);
        check_verdict("BAA", Verdict::Odd, &[1]);
        check_verdict("AA-", Verdict::Agreed, &[]);
        check_verdict("AAABC", Verdict::Odd, &[4, 5]);
    }

    #[test]
    fn without_a_majority_nobody_is_odd() {
        check_verdict("AB-", Verdict::NoMajority, &[]);
        check_verdict("ABC", Verdict::NoMajority, &[]);
        check_verdict("AABB", Verdict::NoMajority, &[]);
        check_verdict("AB---", Verdict::NoMajority, &[]);
    }

    #[test]
    fn too_few_answers_say_nothing() {
        check_verdict("A--", Verdict::Unknown, &[]);
        check_verdict("AA---", Verdict::Unknown, &[]);
    }

    #[test]
    fn a_learner_may_be_odd_and_decides_nothing() {
        check_verdict("AAb", Verdict::Odd, &[3]);
        check_verdict("ABbb", Verdict::NoMajority, &[]);
        check_verdict("-Aaaa", Verdict::Unknown, &[]);
    }

    #[test]
    fn a_comparison_that_somebody_missed_is_made_again_later() {
        let (one, two) = (LogId::new_term_index(1, 1_024), LogId::new_term_index(1, 2_048));
        let at = Duration::from_secs(100);
        let complete = Compared { mark: Some(one), complete: true, at };
        let missed = Compared { complete: false, ..complete };
        assert!(complete.is_enough(one, at * 10) && !complete.is_enough(two, at));
        assert!(missed.is_enough(one, at) && !missed.is_enough(one, at + REPEAT_INTERVAL));
    }
}
