//! Effects that are remembered are found however old they are, and no other ones.

use boss_proto::kind::Kind;
use proptest::prelude::*;

use super::*;

fn key(number: u64) -> RequestKey {
    RequestKey::new(&Caller::default(), &RequestId { seen_revision: 0, nonce: number.to_le_bytes().to_vec().into() })
}

fn effect(revision: u64) -> Arc<Effect> {
    let (key, uid) = (Key::new(Kind::ConfigMap, "default", revision.to_string()), Uid::new("u"));
    Arc::new(Effect { key, uid, revision: Revision(revision), kind: EffectKind::Written, time_ms: revision })
}

fn limits(requests_max: usize) -> Limits {
    Limits { requests_max, request_age_max_ms: u64::MAX / 2, ..Limits::default() }
}

fn done(revision: u64) -> Memory {
    Memory::Done(effect(revision))
}

proptest! {
    #[test]
    fn what_is_remembered_is_found_and_nothing_else(count in 0_u64..12_000, max in 0_usize..9_000, step in 1_u64..4) {
        let limits = limits(max);
        let mut requests = Requests::default();
        let mut kept = Vec::new();
        for number in 0..count {
            let revision = 1 + number * step;
            requests.remember(key(number), effect(revision));
            while requests.evict(revision, &limits).is_some() {}
            if number % 997 == 0 {
                kept.push((number, requests.clone()));
            }
        }
        let oldest = count.saturating_sub(max as u64);
        prop_assert_eq!(requests.len() as u64, count - oldest);
        for number in (0..count + 2).step_by(7) {
            let revision = 1 + number * step;
            let expected = if (oldest..count).contains(&number) { done(revision) } else { Memory::New };
            // Seen just before it, and long before.
            prop_assert_eq!(&requests.recall(key(number), Revision(revision - 1).max(requests.floor())), &expected);
            let long_before = requests.recall(key(number), Revision::ZERO);
            let unknown = if oldest > 0 { Memory::Expired } else { Memory::New };
            prop_assert_eq!(long_before, if expected == Memory::New { unknown } else { expected });
        }
        // A clone never changes.
        for (number, clone) in kept {
            prop_assert_eq!(clone.recall(key(number + 1), Revision(1 + number * step)), Memory::New);
            if max > 0 {
                prop_assert_eq!(clone.recall(key(number), Revision(number * step)), done(1 + number * step));
            }
        }
    }
}

#[test]
fn an_id_below_the_floor_is_expired_and_one_at_it_is_new() {
    let mut requests = Requests::default();
    (1..=3).for_each(|revision| requests.remember(key(revision), effect(revision)));
    assert!(requests.evict(3, &limits(2)).is_some());
    assert_eq!(requests.floor(), Revision(1));
    assert_eq!(requests.recall(key(1), Revision(0)), Memory::Expired);
    assert_eq!(requests.recall(key(9), Revision(0)), Memory::Expired);
    assert_eq!(requests.recall(key(9), Revision(1)), Memory::New);
    assert_eq!(requests.recall(key(2), Revision(0)), done(2));
    assert!(requests.evict(3, &limits(2)).is_none());
}
