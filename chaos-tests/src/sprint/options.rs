//! What a sprint is made of, and how it is said on a command line. Pure.

use std::time::Duration;

use super::QUIET;
use crate::{
    checkers::generate::Random,
    cluster::Bugged,
    nemesis::{Family, Plan, Step, schedule},
};

/// Kinds of faults in one sprint: more would hide each other.
const FAMILIES: usize = 4;
const DURATION: Duration = Duration::from_secs(14);

/// What a sprint is made of. The same options give the same faults and the same choices of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Where all choices come from.
    pub seed: u64,
    /// Servers, 1 to 7.
    pub servers: usize,
    /// Nodes; with none there are no pods.
    pub nodes: usize,
    /// Election timing: fast, standard or slow-disk.
    pub profile: &'static str,
    /// The faults that may come.
    pub families: Vec<Family>,
    /// Of the faults that come of it, these only, counted from 0; none for all.
    pub faults: Option<Vec<usize>>,
    /// What clients do.
    pub work: Vec<Work>,
    /// From the first call to the last, without the recovery.
    pub duration: Duration,
    /// A bug on purpose, to see what a bad sprint looks like.
    pub bug: Option<Bugged>,
}

/// A kind of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Of registers.
    Registers,
    /// Of a set.
    Set,
    /// Of pairs.
    Pairs,
    /// Of pods, where there are nodes.
    Pods,
    /// Somebody saves a snapshot, and restores it at the end.
    Backup,
    /// Of tokens that are revoked.
    Tokens,
    /// Of tenants whose right comes and goes.
    Rights,
    /// Of room under a quota.
    Quota,
}

impl Work {
    /// What a sprint has unless somebody says otherwise.
    pub const ALL: [Self; 5] = [Self::Registers, Self::Set, Self::Pairs, Self::Pods, Self::Backup];
    /// What comes on demand.
    const ON_DEMAND: [Self; 3] = [Self::Tokens, Self::Rights, Self::Quota];

    /// As it is written on a command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Set => "set",
            Self::Pairs => "pairs",
            Self::Pods => "pods",
            Self::Backup => "backup",
            Self::Tokens => "tokens",
            Self::Rights => "rights",
            Self::Quota => "quota",
        }
    }

    /// The work of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain(Self::ON_DEMAND).find(|work| work.name() == name)
    }
}

impl Options {
    /// Those of a seed alone: mostly three servers, and some of the faults.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x5EED);
        let servers = [3, 3, 3, 5, 1][random.below(5)];
        // What this machine cannot do is not drawn: other machines have other faults for such a seed.
        let mut families: Vec<Family> = Family::ALL.into_iter().filter(|family| family.why_not().is_none()).collect();
        while families.len() > FAMILIES {
            families.swap_remove(random.below(families.len()));
        }
        families.sort_unstable();
        Self {
            seed,
            servers,
            nodes: 2,
            profile: "standard",
            families,
            faults: None,
            work: Work::ALL.to_vec(),
            duration: DURATION,
            bug: None,
        }
    }

    /// The command that does the same again.
    #[must_use]
    pub fn command(&self) -> String {
        let names: Vec<&str> = self.families.iter().map(|family| family.name()).collect();
        let (servers, nodes, seconds) = (self.servers, self.nodes, self.duration.as_secs());
        let mut command = format!(
            "boss-chaos sprint --seed {} --servers {servers} --nodes {nodes} --profile {} --seconds {seconds} --faults {}",
            self.seed,
            self.profile,
            if names.is_empty() { "none".to_owned() } else { names.join(",") }
        );
        if let Some(faults) = &self.faults {
            let numbers: Vec<String> = faults.iter().map(ToString::to_string).collect();
            command +=
                &format!(" --only-faults {}", if numbers.is_empty() { "none".to_owned() } else { numbers.join(",") });
        }
        if self.work != Work::ALL {
            let names: Vec<&str> = self.work.iter().map(|work| work.name()).collect();
            command += &format!(" --work {}", names.join(","));
        }
        if let Some(bug) = self.bug {
            command += &format!(" --bug {}", bug.name);
        }
        command
    }

    /// The faults that come of it.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        let all = schedule::plan(self.seed, &self.plan());
        let numbered = all.into_iter().enumerate();
        numbered.filter(|(number, _)| self.is_kept(*number)).map(|(_, step)| step).collect()
    }

    fn is_kept(&self, number: usize) -> bool {
        self.faults.as_ref().is_none_or(|kept| kept.contains(&number))
    }

    pub(super) fn plan(&self) -> Plan {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Plan {
            servers: self.servers as u64,
            nodes: self.nodes,
            families: self.families.clone(),
            from_ms: millis(QUIET),
            until_ms: millis(self.duration.saturating_sub(QUIET)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_sprint_has_some_of_its_faults_at_their_times_and_says_so() {
        let whole = Options::of_seed(7);
        let steps = whole.steps();
        assert!(steps.len() >= 2, "{steps:?}");
        let part = Options { faults: Some(vec![1]), work: vec![Work::Set, Work::Pairs], ..whole.clone() };
        assert_eq!(part.steps(), steps[1..2]);
        assert!(part.command().ends_with(" --only-faults 1 --work set,pairs"), "{}", part.command());
        assert!(!whole.command().contains("--only-faults") && !whole.command().contains("--work"));
        assert!(Work::ALL.iter().all(|work| Work::named(work.name()) == Some(*work)));
    }
}
