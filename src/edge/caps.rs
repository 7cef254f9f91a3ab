//! How many connections there may be: all together, and from one address.
//!
//! An IPv6 client usually owns a /64, so its addresses are counted by that prefix.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::metrics::Metrics;

const SHARDS: usize = 16;

/// Why a connection was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The gateway has as many as it may.
    Full,
    /// This address has as many as it may.
    AddressFull,
}

impl Refused {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::AddressFull => "address-full",
        }
    }
}

/// Counts of open connections; a cheap handle.
#[derive(Clone)]
pub(super) struct Caps(Arc<Inner>);

struct Inner {
    total: AtomicU32,
    shards: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    metrics: Arc<Metrics>,
}

/// A connection's place in the counts, given back when it is dropped.
pub(super) struct Slot {
    caps: Caps,
    address: Option<IpAddr>,
}

impl Caps {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner { total: AtomicU32::new(0), shards: Default::default(), metrics }))
    }

    /// Whether a connection could be taken now. Without `address` only the total is looked at.
    pub(super) fn check(&self, address: Option<IpAddr>, max: u32, max_per_address: u32) -> Result<(), Refused> {
        if max > 0 && self.0.total.load(Ordering::Relaxed) >= max {
            return Err(Refused::Full);
        }
        let Some(key) = address.map(key).filter(|_| max_per_address > 0) else { return Ok(()) };
        match self.shard(key).get(&key) {
            Some(&count) if count >= max_per_address => Err(Refused::AddressFull),
            _ => Ok(()),
        }
    }

    /// Takes a place in the total; the address is counted by [`Slot::claim`] once it is known.
    pub(super) fn enter(&self, max: u32) -> Result<Slot, Refused> {
        let before = self.0.total.fetch_add(1, Ordering::Relaxed);
        self.0.metrics.connections().inc();
        let slot = Slot { caps: self.clone(), address: None };
        if max > 0 && before >= max { Err(Refused::Full) } else { Ok(slot) }
    }

    fn shard(&self, key: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        let last = match key {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(address) => address.octets()[7],
        };
        self.0.shards[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Counts the connection under `address`.
    pub(super) fn claim(mut self, address: IpAddr, max_per_address: u32) -> Result<Self, Refused> {
        let key = key(address);
        let mut shard = self.caps.shard(key);
        let count = shard.entry(key).or_insert(0);
        if max_per_address > 0 && *count >= max_per_address {
            drop(shard);
            return Err(Refused::AddressFull);
        }
        *count += 1;
        drop(shard);
        self.address = Some(key);
        Ok(self)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.caps.0.total.fetch_sub(1, Ordering::Relaxed);
        self.caps.0.metrics.connections().dec();
        let Some(key) = self.address else { return };
        let mut shard = self.caps.shard(key);
        if let Some(count) = shard.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                shard.remove(&key);
            }
        }
    }
}

/// What an address is counted as.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Caps {
        Caps::new(Metrics::new(prometheus::Registry::new(), 1))
    }

    fn claim(caps: &Caps, address: &str) -> Result<Slot, Refused> {
        caps.enter(0).expect("no total").claim(address.parse().expect("an address"), 2)
    }

    #[test]
    fn an_address_gets_its_share_and_gets_it_back() {
        let caps = caps();
        let first = claim(&caps, "192.0.2.1").expect("first");
        let _second = claim(&caps, "::ffff:192.0.2.1").expect("the same address in IPv6 form");
        assert_eq!(claim(&caps, "192.0.2.1").err(), Some(Refused::AddressFull));
        assert_eq!(caps.check("192.0.2.1".parse().ok(), 0, 2), Err(Refused::AddressFull));
        claim(&caps, "192.0.2.2").expect("another address");
        drop(first);
        claim(&caps, "192.0.2.1").expect("the place is free again");
    }

    #[test]
    fn ipv6_is_counted_by_its_first_64_bits() {
        let caps = caps();
        let _first = claim(&caps, "2001:db8::1").expect("first");
        let _second = claim(&caps, "2001:db8::2").expect("second");
        assert_eq!(claim(&caps, "2001:db8::3").err(), Some(Refused::AddressFull));
        claim(&caps, "2001:db8:0:1::3").expect("another network");
    }

    #[test]
    fn the_total_counts_what_has_no_address_yet() {
        let caps = caps();
        let slot = caps.enter(1).expect("first");
        assert_eq!(caps.enter(1).err(), Some(Refused::Full));
        assert_eq!(caps.check(None, 1, 0), Err(Refused::Full));
        drop(slot);
        caps.enter(1).expect("the refused one left no trace");
    }
}
