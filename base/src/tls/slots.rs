//! How many connections a port has open, in all and from each address. Knows no connection.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Places for connections. Clones share them.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    per_source_max: usize,
    open: Mutex<Open>,
    refused_in_all: AtomicU64,
    refused_of_source: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// Which bound refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// Of the port.
    InAll,
    /// Of the address that it came from.
    OfSource,
}

/// What a port has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Open now, with those in their handshake.
    pub open: usize,
    /// Closed at once because the port had all it may have.
    pub refused_in_all: u64,
    /// Closed at once because their address had all it may have.
    pub refused_of_source: u64,
}

/// The place of one connection.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    source: IpAddr,
}

impl Slots {
    pub(super) fn new(max: usize, per_source_max: usize) -> Self {
        Self(Arc::new(Shared {
            max,
            per_source_max,
            open: Mutex::default(),
            refused_in_all: AtomicU64::new(0),
            refused_of_source: AtomicU64::new(0),
        }))
    }

    pub(super) fn take(&self, source: IpAddr) -> Result<Slot, Bound> {
        // An IPv4 client of a port for both is one source, however it is written.
        let source = source.to_canonical();
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.count >= self.0.max {
            self.0.refused_in_all.fetch_add(1, Ordering::Relaxed);
            return Err(Bound::InAll);
        }
        let of_source = open.by_source.entry(source).or_default();
        if *of_source >= self.0.per_source_max {
            self.0.refused_of_source.fetch_add(1, Ordering::Relaxed);
            return Err(Bound::OfSource);
        }
        *of_source += 1;
        open.count += 1;
        Ok(Slot { slots: self.clone(), source })
    }

    /// What the port has seen so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            open: self.0.open.lock().unwrap_or_else(PoisonError::into_inner).count,
            refused_in_all: self.0.refused_in_all.load(Ordering::Relaxed),
            refused_of_source: self.0.refused_of_source.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.slots.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.count -= 1;
        if let Some(of_source) = open.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_connection_above_a_bound_is_refused_by_that_bound_until_another_ends() {
        let (a, b): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let slots = Slots::new(3, 2);
        let of_a = [slots.take(a).unwrap(), slots.take(a).unwrap()];
        assert_eq!(slots.take(a).unwrap_err(), Bound::OfSource);
        let _of_b = slots.take(b).unwrap();
        assert_eq!(slots.take(b).unwrap_err(), Bound::InAll);
        drop(of_a);
        assert!(slots.take(a).is_ok());
        assert_eq!(slots.counts(), Counts { open: 1, refused_in_all: 1, refused_of_source: 1 });
    }

    #[test]
    fn an_address_counts_as_one_in_both_forms() {
        let v4: IpAddr = [10, 0, 0, 1].into();
        let mapped: IpAddr = std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into();
        let slots = Slots::new(9, 1);
        let _first = slots.take(v4).unwrap();
        assert_eq!(slots.take(mapped).unwrap_err(), Bound::OfSource);
    }
}
