//! Histories that are linearizable by construction: clients of a simulated registry, from a seed. For tests of the
//! judges and for measuring them.

use crate::history::{Action, Answer, End, Operation, Version};

/// How a history looks.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// How many operations.
    pub operations: usize,
    /// Clients at a time.
    pub clients: usize,
    /// Objects.
    pub keys: usize,
    /// Of a thousand operations, so many end without an answer.
    pub unknown_per_mille: u64,
}

/// Random numbers that are the same everywhere (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The next number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.draw() % bound as u64).unwrap_or_default()
    }
}

#[derive(Default)]
struct Registry {
    revision: u64,
    objects: Vec<Option<Version>>,
}

impl Registry {
    fn apply(&mut self, key: usize, action: &Action) -> Answer {
        let now = self.objects[key];
        let current = now.map_or(0, |version| version.revision);
        let next = match (action, now) {
            (Action::Read, found) => return Answer::Read { found, at: self.revision },
            (Action::Create { .. }, Some(_)) => return Answer::Exists { current },
            (Action::Cas { .. } | Action::Write { .. } | Action::Delete, None) => return Answer::Absent,
            (Action::Cas { from, .. }, Some(_)) if *from != current => return Answer::Conflict { current },
            (Action::Create { value } | Action::Cas { value, .. } | Action::Write { value }, _) => Some(*value),
            (Action::Delete, Some(_)) => None,
        };
        self.revision += 1;
        let revision = self.revision;
        self.objects[key] = next.map(|value| Version { value, revision });
        Answer::Changed { revision }
    }
}

struct Client {
    process: u64,
    seen: Vec<u64>,
    /// The number of its operation and the answer, once it has taken effect.
    doing: Option<(usize, Option<Answer>)>,
}

/// A linearizable history of this shape.
#[must_use]
pub fn linearizable(seed: u64, shape: Shape) -> Vec<Operation> {
    let mut random = Random(seed);
    let mut registry = Registry { revision: 0, objects: vec![None; shape.keys] };
    let new = |process| Client { process, seen: vec![0; shape.keys], doing: None };
    let mut clients: Vec<Client> = (0..shape.clients as u64).map(new).collect();
    let mut next_process = shape.clients as u64;
    let mut done: Vec<(usize, Operation)> = Vec::new();
    let mut late: Vec<usize> = Vec::new();
    let mut now = 0;
    while done.len() < shape.operations || clients.iter().any(|client| client.doing.is_some()) {
        now += 1 + random.draw() % 100;
        if !late.is_empty() && random.below(8) == 0 {
            let (key, operation) = &done[late.swap_remove(random.below(late.len()))];
            let _ = registry.apply(*key, &operation.action);
        }
        let number = random.below(clients.len());
        let client = &mut clients[number];
        match client.doing.take() {
            None if done.len() < shape.operations => {
                let key = random.below(shape.keys);
                let action = choose(&mut random, client.seen[key], done.len() as u64 + 1);
                let key_name = format!("k{key}");
                let (process, end) = (client.process, End::Unknown);
                client.doing = Some((done.len(), None));
                done.push((key, Operation { process, key: key_name, action, began_ns: now, end }));
            }
            None => {}
            Some((at, None)) if random.draw() % 1_000 < shape.unknown_per_mille / 2 => {
                late.push(at);
                *client = new(next_process);
                next_process += 1;
            }
            Some((at, None)) => {
                let (key, operation) = &done[at];
                client.doing = Some((at, Some(registry.apply(*key, &operation.action))));
            }
            Some((_, Some(_))) if random.draw() % 1_000 < shape.unknown_per_mille / 2 => {
                *client = new(next_process);
                next_process += 1;
            }
            Some((at, Some(answer))) => {
                let (key, operation) = &mut done[at];
                client.seen[*key] = answer.known(client.seen[*key]);
                operation.end = End::Ok { answer, at_ns: now };
            }
        }
    }
    done.into_iter().map(|(_, operation)| operation).collect()
}

/// What a client does next to an object that it saw at this revision; 0 means that there was none.
pub fn choose(random: &mut Random, seen: u64, value: u64) -> Action {
    match random.below(10) {
        0..4 => Action::Read,
        _ if seen == 0 => Action::Create { value },
        4..8 => Action::Cas { from: seen, value },
        8 => Action::Write { value },
        _ => Action::Delete,
    }
}
