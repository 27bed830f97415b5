//! How many wrong join tokens are borne: a bucket for each address and one for all. A right token costs nothing.
//!
//! A token has 256 random bits, so nobody will guess one; this keeps those who try from keeping the store busy.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

const ONE_ADDRESS: Allowance = Allowance { burst: 10, refill: Duration::from_secs(10) };
const ALL_ADDRESSES: Allowance = Allowance { burst: 200, refill: Duration::from_millis(200) };
/// Addresses that are remembered; a full bucket is as good as none.
const MOST_ADDRESSES: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Allowance {
    burst: u32,
    /// For one more.
    refill: Duration,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Guesses {
    all: Option<Bucket>,
    by_address: HashMap<IpAddr, Bucket>,
}

impl Guesses {
    /// Takes one try, or says how long to wait for the next.
    pub(super) fn take(&mut self, from: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        self.forget_the_quiet(now);
        let all = self.all.get_or_insert(ALL_ADDRESSES.full(now));
        let one =
            from.map(|address| self.by_address.entry(network(address)).or_insert(ONE_ADDRESS.full(now)));
        ALL_ADDRESSES.refill(all, now);
        if let Some(one) = one {
            ONE_ADDRESS.take(one, now)?;
        }
        ALL_ADDRESSES.take(all, now)
    }

    /// Gives a try back.
    pub(super) fn was_right(&mut self, from: Option<IpAddr>) {
        if let Some(all) = &mut self.all {
            all.left = (all.left + 1).min(ALL_ADDRESSES.burst);
        }
        if let Some(one) = from.and_then(|address| self.by_address.get_mut(&network(address))) {
            one.left = (one.left + 1).min(ONE_ADDRESS.burst);
        }
    }

    fn forget_the_quiet(&mut self, now: Instant) {
        if self.by_address.len() < MOST_ADDRESSES {
            return;
        }
        self.by_address.retain(|_, bucket| {
            ONE_ADDRESS.refill(bucket, now);
            bucket.left < ONE_ADDRESS.burst
        });
        // So many at once are one attacker's, whom the bucket of all addresses holds.
        if self.by_address.len() >= MOST_ADDRESSES {
            self.by_address.clear();
        }
    }
}

impl Allowance {
    fn full(self, now: Instant) -> Bucket {
        Bucket { left: self.burst, since: now }
    }

    fn refill(self, bucket: &mut Bucket, now: Instant) {
        let refills = now.duration_since(bucket.since).as_nanos() / self.refill.as_nanos();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        if refills >= self.burst - bucket.left {
            *bucket = self.full(now);
        } else {
            bucket.left += refills;
            bucket.since += self.refill * refills;
        }
    }

    fn take(self, bucket: &mut Bucket, now: Instant) -> Result<(), Duration> {
        self.refill(bucket, now);
        if bucket.left == 0 {
            return Err(self.refill.saturating_sub(now.duration_since(bucket.since)));
        }
        bucket.left -= 1;
        Ok(())
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many tries get through at one moment.
    fn tries(guesses: &mut Guesses, from: &str, now: Instant) -> u32 {
        let from = Some(from.parse().unwrap());
        (0..1000).take_while(|_| guesses.take(from, now).is_ok()).count().try_into().unwrap()
    }

    #[test]
    fn an_address_gets_its_burst_and_then_one_at_a_time() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let attacker = "192.0.2.1";
        assert_eq!(tries(&mut guesses, attacker, now), 10);
        assert_eq!(guesses.take(Some(attacker.parse().unwrap()), now), Err(Duration::from_secs(10)));
        assert_eq!(tries(&mut guesses, "192.0.2.2", now), 10, "others are not touched");
        assert_eq!(tries(&mut guesses, attacker, now + Duration::from_secs(25)), 2);
        assert_eq!(tries(&mut guesses, attacker, now + Duration::from_secs(10_000)), 10);
    }

    #[test]
    fn a_right_token_costs_nothing() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let fleet = "192.0.2.1".parse().ok();
        for _ in 0..500 {
            guesses.take(fleet, now).unwrap();
            guesses.was_right(fleet);
        }
        assert_eq!(tries(&mut guesses, "192.0.2.1", now), 10);
    }

    #[test]
    fn many_addresses_share_one_allowance_and_bounded_memory() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        let through = (0..30_000_u32)
            .filter(|i| guesses.take(Some(IpAddr::V4((0xc000_0000 + i).into())), now).is_ok())
            .count();
        assert_eq!(through, 200);
        assert!(guesses.by_address.len() <= MOST_ADDRESSES);
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let (mut guesses, now) = (Guesses::default(), Instant::now());
        assert_eq!(tries(&mut guesses, "2001:db8::1", now), 10);
        assert_eq!(tries(&mut guesses, "2001:db8::ffff", now), 0);
        assert_eq!(tries(&mut guesses, "2001:db8:0:1::1", now), 10);
    }
}
