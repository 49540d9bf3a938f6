//! How much load, and whether that makes sense. Pure.

use std::time::Duration;

use boss_proto::limits::{OBJECT_BYTES_MAX, STREAMS_PER_CONNECTION_MAX};

/// More clients than this measure the scheduler of the client's machine.
const CLIENTS_MAX: usize = 20_000;
/// Each is a TLS handshake and a socket on the client's machine.
const CONNECTIONS_MAX: usize = 1_024;
/// Names of keys have eight digits; more objects than this fit no registry that Boss is made for.
const KEYS_MAX: u64 = 2_000_000;
/// What an object needs beside its value.
const ENVELOPE_BYTES: usize = 1_024;
/// Shorter runs measure their own start.
const DURATION_MIN: Duration = Duration::from_millis(100);

/// When a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After this time.
    After(Duration),
    /// After so many operations of all clients together.
    Total(u64),
}

/// The load of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Callers that each wait for one answer before they ask again.
    pub clients: usize,
    /// That they share.
    pub connections: usize,
    /// Of one written value.
    pub value_bytes: usize,
    /// Different keys.
    pub keys: u64,
    /// When it ends.
    pub stop: Stop,
    /// Operations per second of all clients together; as many as possible when `None`.
    pub rate: Option<f64>,
}

/// A plan that cannot be carried out, with the option to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{option} {problem}")]
pub struct BadPlan {
    /// The command line's option.
    pub option: &'static str,
    /// What is wrong with it, and what is possible.
    pub problem: String,
}

impl Plan {
    /// Refuses what cannot work or measures something else than the caller thinks.
    pub fn check(&self) -> Result<(), BadPlan> {
        let between = |option, value: u64, min: u64, max: u64| {
            let problem = format!("is {value}; {min} to {max} is possible");
            if (min..=max).contains(&value) { Ok(()) } else { Err(BadPlan { option, problem }) }
        };
        between("clients", self.clients as u64, 1, CLIENTS_MAX as u64)?;
        between("connections", self.connections as u64, 1, self.clients.min(CONNECTIONS_MAX) as u64)?;
        between("keys", self.keys, 1, KEYS_MAX)?;
        between("value-size", self.value_bytes as u64, 0, (OBJECT_BYTES_MAX - ENVELOPE_BYTES) as u64)?;
        let streams = self.clients.div_ceil(self.connections);
        if streams > STREAMS_PER_CONNECTION_MAX as usize {
            let needed = self.clients.div_ceil(STREAMS_PER_CONNECTION_MAX as usize);
            let problem = format!("leaves {streams} clients to each; use at least {needed}");
            return Err(BadPlan { option: "connections", problem });
        }
        self.check_stop()
    }

    fn check_stop(&self) -> Result<(), BadPlan> {
        match self.stop {
            Stop::After(duration) if duration < DURATION_MIN => {
                let problem = format!("is {duration:?}; at least {DURATION_MIN:?} is needed");
                return Err(BadPlan { option: "duration", problem });
            }
            Stop::Total(0) => {
                return Err(BadPlan { option: "total", problem: "is 0; nothing would be measured".to_owned() });
            }
            _ => {}
        }
        match self.rate {
            Some(rate) if !rate.is_finite() || rate <= 0.0 => {
                Err(BadPlan { option: "rate", problem: format!("is {rate}; use a number above 0") })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            clients: 64,
            connections: 8,
            value_bytes: 256,
            keys: 1_000,
            stop: Stop::After(Duration::from_secs(1)),
            rate: None,
        }
    }

    #[test]
    fn sensible_plans_pass() {
        plan().check().unwrap();
        Plan { clients: 1, connections: 1, stop: Stop::Total(1), rate: Some(0.5), ..plan() }.check().unwrap();
        Plan { clients: CLIENTS_MAX, connections: CONNECTIONS_MAX, keys: KEYS_MAX, ..plan() }.check().unwrap();
    }

    #[test]
    fn each_silly_value_is_refused_by_the_name_of_its_option() {
        let refused = |plan: Plan| plan.check().unwrap_err().option;
        assert_eq!(refused(Plan { clients: 0, ..plan() }), "clients");
        assert_eq!(refused(Plan { clients: CLIENTS_MAX + 1, ..plan() }), "clients");
        assert_eq!(refused(Plan { connections: 0, ..plan() }), "connections");
        assert_eq!(refused(Plan { connections: 65, ..plan() }), "connections");
        assert_eq!(refused(Plan { clients: 1_025, connections: 1, ..plan() }), "connections");
        assert_eq!(refused(Plan { keys: 0, ..plan() }), "keys");
        assert_eq!(refused(Plan { keys: KEYS_MAX + 1, ..plan() }), "keys");
        assert_eq!(refused(Plan { value_bytes: OBJECT_BYTES_MAX, ..plan() }), "value-size");
        assert_eq!(refused(Plan { stop: Stop::Total(0), ..plan() }), "total");
        assert_eq!(refused(Plan { stop: Stop::After(Duration::ZERO), ..plan() }), "duration");
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(refused(Plan { rate: Some(rate), ..plan() }), "rate");
        }
    }
}
