//! Who is next, in words: calls are named by their subject and a number.

use proptest::prelude::*;

use super::*;

const SMALL: Bounds = Bounds {
    in_flight_max: 2,
    in_flight_per_subject_max: 2,
    deletes_reserved: 1,
    queued_max: 6,
    queued_per_subject_max: 4,
};

struct Scene {
    queue: Queue<String>,
    tickets: u64,
    seats: VecDeque<Seat>,
}

impl Scene {
    fn new(bounds: Bounds) -> Self {
        Self { queue: Queue::new(bounds), tickets: 0, seats: VecDeque::new() }
    }

    fn arrive(&mut self, level: Level, subject: &str, name: &str) -> Arrival<String> {
        self.tickets += 1;
        let arrival = self.queue.arrive(level, subject, self.tickets, name.to_owned());
        if let Arrival::Go(seat, _) = &arrival {
            self.seats.push_back(*seat);
        }
        arrival
    }

    /// Takes all shared places.
    fn fill(&mut self) {
        while self.queue.in_flight < self.queue.bounds.in_flight_max {
            let name = format!("filler-{}", self.tickets);
            assert!(matches!(self.arrive(Level::Users, &name, &name), Arrival::Go(..)));
        }
    }

    /// Ends the call that has had its turn for longest, and says who comes next.
    fn leave(&mut self) -> Option<String> {
        let seat = self.seats.pop_front().expect("somebody has a turn");
        let (_, seat, name) = self.queue.leave(seat)?;
        self.seats.push_back(seat);
        Some(name)
    }

    fn wait(&mut self, level: Level, subject: &str, name: &str) {
        assert_eq!(self.arrive(level, subject, name), Arrival::Waits { evicted: None }, "{name}");
    }

    fn order(&mut self, count: usize) -> Vec<String> {
        (0..count).filter_map(|_| self.leave()).collect()
    }
}

#[test]
fn while_there_are_places_nobody_waits() {
    let mut scene = Scene::new(SMALL);
    assert!(matches!(scene.arrive(Level::Users, "a", "a1"), Arrival::Go(..)));
    assert!(matches!(scene.arrive(Level::Users, "a", "a2"), Arrival::Go(..)));
    assert_eq!(scene.arrive(Level::Users, "a", "a3"), Arrival::Waits { evicted: None });
}

#[test]
fn a_crowd_of_one_subject_waits_behind_the_single_call_of_another() {
    let mut scene = Scene::new(SMALL);
    scene.fill();
    for name in ["a1", "a2", "a3", "a4"] {
        scene.wait(Level::Users, "a", name);
    }
    scene.wait(Level::Users, "b", "b1");
    assert_eq!(scene.order(5), ["a1", "b1", "a2", "a3", "a4"]);
}

#[test]
fn the_system_is_first_and_every_fourth_place_is_a_users() {
    let mut scene = Scene::new(Bounds { queued_max: 99, queued_per_subject_max: 99, ..SMALL });
    scene.fill();
    for name in ["u1", "u2"] {
        scene.wait(Level::Users, "u", name);
    }
    for name in ["n1", "n2", "n3", "n4", "n5"] {
        scene.wait(Level::Nodes, "n", name);
    }
    scene.wait(Level::System, "s", "s1");
    assert_eq!(scene.order(8), ["s1", "n1", "n2", "n3", "u1", "n4", "n5", "u2"]);
}

#[test]
fn deletes_have_a_place_when_everything_is_full() {
    let mut scene = Scene::new(SMALL);
    scene.fill();
    scene.wait(Level::Users, "a", "a1");
    assert!(matches!(scene.arrive(Level::Deletes, "a", "d1"), Arrival::Go(Seat::Reserved, _)));
    scene.wait(Level::Deletes, "a", "d2");
    let reserved = scene.seats.pop_back().expect("the delete has it");
    let (level, seat, name) = scene.queue.leave(reserved).expect("d2 waits");
    assert_eq!((level, seat, name.as_str()), (Level::Deletes, Seat::Reserved, "d2"));
}

#[test]
fn one_subject_never_has_all_places() {
    let mut scene = Scene::new(Bounds { in_flight_max: 4, in_flight_per_subject_max: 3, ..SMALL });
    for name in ["a1", "a2", "a3"] {
        assert!(matches!(scene.arrive(Level::Users, "a", name), Arrival::Go(..)));
    }
    scene.wait(Level::Users, "a", "a4");
    assert!(matches!(scene.arrive(Level::Users, "b", "b1"), Arrival::Go(..)), "a place is left for others");
    assert_eq!(scene.leave().as_deref(), Some("a4"), "when one of a's ends, the next of a's begins");
}

#[test]
fn a_subject_with_a_full_queue_is_refused_and_no_other() {
    let mut scene = Scene::new(SMALL);
    scene.fill();
    for name in ["a1", "a2", "a3", "a4"] {
        scene.wait(Level::Users, "a", name);
    }
    assert_eq!(scene.arrive(Level::Users, "a", "a5"), Arrival::Refused("a5".to_owned()));
    scene.wait(Level::Users, "b", "b1");
}

#[test]
fn when_all_is_full_the_longest_queue_gives_its_newest_to_a_newcomer() {
    let mut scene = Scene::new(SMALL);
    scene.fill();
    for name in ["a1", "a2", "a3", "a4"] {
        scene.wait(Level::Users, "a", name);
    }
    for name in ["b1", "b2"] {
        scene.wait(Level::Users, "b", name);
    }
    let evicted = Some("a4".to_owned());
    assert_eq!(scene.arrive(Level::Users, "c", "c1"), Arrival::Waits { evicted });
    assert_eq!(scene.arrive(Level::Users, "a", "a5"), Arrival::Refused("a5".to_owned()));
}

#[test]
fn who_goes_away_is_forgotten() {
    let mut scene = Scene::new(SMALL);
    scene.fill();
    scene.wait(Level::Users, "a", "a1");
    let ticket = scene.tickets;
    scene.wait(Level::Users, "a", "a2");
    assert!(scene.queue.cancel(Level::Users, "a", ticket));
    assert!(!scene.queue.cancel(Level::Users, "a", ticket));
    assert_eq!(scene.leave().as_deref(), Some("a2"));
    assert_eq!(scene.leave(), None);
    assert!(scene.queue.levels.iter().all(|flows| flows.by_subject.is_empty() && flows.turns.is_empty()));
}

#[derive(Debug, Clone)]
enum Step {
    Arrive(usize, u8),
    Leave,
    Cancel(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..4_usize, 0..5_u8).prop_map(|(level, subject)| Step::Arrive(level, subject)),
        2 => Just(Step::Leave),
        1 => (0..20_usize).prop_map(Step::Cancel),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn nothing_is_lost_nothing_is_done_twice_and_no_bound_is_exceeded(steps in steps()) {
        let mut scene = Scene::new(SMALL);
        let mut waiting: Vec<(Level, String, u64)> = Vec::new();
        for step in steps {
            match step {
                Step::Arrive(level, subject) => {
                    let (level, subject) = (Level::ALL[level], format!("s{subject}"));
                    let name = format!("{}", scene.tickets + 1);
                    match scene.arrive(level, &subject, &name) {
                        Arrival::Go(..) | Arrival::Refused(_) => {}
                        Arrival::Waits { evicted } => {
                            waiting.retain(|(_, _, ticket)| Some(ticket.to_string()) != evicted);
                            waiting.push((level, subject, scene.tickets));
                        }
                    }
                }
                Step::Leave if !scene.seats.is_empty() => {
                    if let Some(name) = scene.leave() {
                        let before = waiting.len();
                        waiting.retain(|(_, _, ticket)| ticket.to_string() != name);
                        prop_assert_eq!(waiting.len() + 1, before, "{} did not wait", name);
                    }
                }
                Step::Leave => {}
                Step::Cancel(at) if at < waiting.len() => {
                    let (level, subject, ticket) = waiting.remove(at);
                    prop_assert!(scene.queue.cancel(level, &subject, ticket));
                }
                Step::Cancel(_) => {}
            }
            let queue = &scene.queue;
            prop_assert!(queue.in_flight <= SMALL.in_flight_max && queue.reserved <= SMALL.deletes_reserved);
            prop_assert_eq!(queue.by_shard.iter().sum::<usize>(), queue.in_flight);
            prop_assert_eq!(Level::ALL.iter().map(|level| queue.waiting(*level)).sum::<usize>(), waiting.len());
            prop_assert!(Level::ALL.iter().all(|level| queue.waiting(*level) <= SMALL.queued_max));
        }
        // Whoever waits gets a turn when the others end.
        while !scene.seats.is_empty() {
            let next = scene.leave();
            waiting.retain(|(_, _, ticket)| Some(ticket.to_string()) != next);
        }
        prop_assert_eq!(waiting.len(), 0);
    }
}
