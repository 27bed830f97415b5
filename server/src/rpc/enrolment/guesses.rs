//! How many wrong join tokens are borne: a bucket for each address and one for all. A right token costs nothing.
//!
//! A token has 256 random bits, so nobody will guess one; this keeps those who try from keeping the store busy. Only as many
//! tokens are looked at at a time as could still be wrong: whoever comes with more waits for those, and is not refused.

mod bucket;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use bucket::{Allowance, Bucket, Entry};

const ONE_ADDRESS: Allowance = Allowance { burst: 10, refill: Duration::from_secs(10) };
const ALL_ADDRESSES: Allowance = Allowance { burst: 200, refill: Duration::from_millis(200) };
/// Addresses that are remembered; a full bucket is as good as none.
const MOST_ADDRESSES: usize = 10_000;

#[derive(Debug)]
pub(super) struct Guesses {
    all: Arc<Gate>,
    by_address: Mutex<HashMap<IpAddr, Arc<Gate>>>,
}

/// A token that is looked at. It counts as wrong unless somebody says that it was not.
#[derive(Debug)]
#[must_use]
pub(super) struct Try {
    held: Vec<Held>,
}

/// A bucket with those who wait for it.
#[derive(Debug)]
struct Gate {
    bucket: Mutex<Bucket>,
    ended: Notify,
}

/// A place in a gate.
#[derive(Debug)]
struct Held {
    gate: Arc<Gate>,
    wrong: bool,
}

impl Default for Guesses {
    fn default() -> Self {
        Self { all: Gate::new(ALL_ADDRESSES), by_address: Mutex::default() }
    }
}

impl Guesses {
    /// Begins a try, once as few others are under way as may be; or says how long to wait after so many wrong ones.
    pub(super) async fn begin(&self, from: Option<IpAddr>) -> Result<Try, Duration> {
        let mut held = Vec::new();
        if let Some(address) = from {
            held.push(self.of_address(address).enter().await?);
        }
        match Arc::clone(&self.all).enter().await {
            Ok(all) => held.push(all),
            Err(wait) => {
                // Nobody has looked at it.
                Try { held }.was_not_wrong();
                return Err(wait);
            }
        }
        Ok(Try { held })
    }

    fn of_address(&self, address: IpAddr) -> Arc<Gate> {
        let mut gates = locked(&self.by_address);
        forget_the_quiet(&mut gates, Instant::now());
        Arc::clone(gates.entry(network(address)).or_insert_with(|| Gate::new(ONE_ADDRESS)))
    }
}

impl Try {
    pub(super) fn was_not_wrong(mut self) {
        for held in &mut self.held {
            held.wrong = false;
        }
    }
}

impl Gate {
    fn new(allowance: Allowance) -> Arc<Self> {
        let bucket = Mutex::new(Bucket::full(allowance, Instant::now()));
        Arc::new(Self { bucket, ended: Notify::new() })
    }

    async fn enter(self: Arc<Self>) -> Result<Held, Duration> {
        loop {
            let entry = locked(&self.bucket).enter(Instant::now());
            match entry {
                Entry::Free => return Ok(Held { gate: self, wrong: true }),
                Entry::Taken => self.ended.notified().await,
                Entry::Spent(wait) => {
                    // Whoever stands behind is told the same.
                    self.ended.notify_one();
                    return Err(wait);
                }
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        locked(&self.gate.bucket).leave(self.wrong, Instant::now());
        self.gate.ended.notify_one();
    }
}

fn forget_the_quiet(gates: &mut HashMap<IpAddr, Arc<Gate>>, now: Instant) {
    if gates.len() < MOST_ADDRESSES {
        return;
    }
    gates.retain(|_, gate| !locked(&gate.bucket).is_quiet(now));
    // So many at once are one attacker's, whom the bucket of all addresses holds.
    if gates.len() >= MOST_ADDRESSES {
        gates.clear();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
    use futures::FutureExt as _;
    use futures::future::join_all;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many wrong ones get through, one after the other.
    async fn wrong_ones(guesses: &Guesses, from: &str) -> u32 {
        let mut count = 0;
        while count < 1_000 && guesses.begin(Some(address(from))).await.is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn an_address_gets_its_burst_and_an_ipv6_network_is_one_address() {
        let guesses = Guesses::default();
        assert_eq!(wrong_ones(&guesses, "192.0.2.1").await, 10);
        let wait = guesses.begin(Some(address("192.0.2.1"))).await.unwrap_err();
        assert!(wait <= Duration::from_secs(10) && wait > Duration::from_secs(5), "{wait:?}");
        assert_eq!(wrong_ones(&guesses, "192.0.2.2").await, 10, "others are not touched");
        assert_eq!(wrong_ones(&guesses, "2001:db8::1").await, 10);
        assert_eq!(wrong_ones(&guesses, "2001:db8::ffff").await, 0);
        assert_eq!(wrong_ones(&guesses, "2001:db8:0:1::1").await, 10);
    }

    #[tokio::test]
    async fn right_ones_wait_for_one_another_and_cost_nothing() {
        let guesses = Arc::new(Guesses::default());
        let fleet = (0..500).map(|_| {
            let guesses = Arc::clone(&guesses);
            tokio::spawn(async move {
                let right = guesses.begin(Some(address("192.0.2.1"))).await.unwrap();
                tokio::task::yield_now().await;
                right.was_not_wrong();
            })
        });
        assert!(join_all(fleet).await.iter().all(Result::is_ok));
        assert_eq!(wrong_ones(&guesses, "192.0.2.1").await, 10);
    }

    #[tokio::test]
    async fn wrong_ones_at_once_are_no_more_than_one_after_the_other() {
        let guesses = Arc::new(Guesses::default());
        let attack = (0..300).map(|_| {
            let guesses = Arc::clone(&guesses);
            tokio::spawn(async move {
                let wrong = guesses.begin(Some(address("192.0.2.1"))).await;
                tokio::task::yield_now().await;
                wrong.is_ok()
            })
        });
        let through = join_all(attack).await.into_iter().filter(|through| *through.as_ref().unwrap()).count();
        assert_eq!(through, 10);
    }

    #[tokio::test]
    async fn who_goes_away_while_waiting_leaves_the_place_to_others() {
        let guesses = Guesses::default();
        let from = Some(address("192.0.2.1"));
        let under_way: Vec<_> = join_all((0..10).map(|_| guesses.begin(from))).await;
        let mut gone = Box::pin(guesses.begin(from));
        let mut stays = Box::pin(guesses.begin(from));
        assert!(gone.as_mut().now_or_never().is_none() && stays.as_mut().now_or_never().is_none());
        let mut under_way = under_way.into_iter().map(Result::unwrap);
        under_way.next().unwrap().was_not_wrong();
        drop(gone);
        stays.now_or_never().expect("a place is free").unwrap().was_not_wrong();
        under_way.for_each(Try::was_not_wrong);
    }

    #[tokio::test]
    async fn many_addresses_share_one_allowance_and_bounded_memory() {
        let (guesses, begun) = (Guesses::default(), Instant::now());
        let mut through = 0;
        for i in 0..30_000_u32 {
            let from = Some(IpAddr::V4((0xc000_0000 + i).into()));
            through += u128::from(guesses.begin(from).await.is_ok());
        }
        let back = begun.elapsed().as_millis() / ALL_ADDRESSES.refill.as_millis();
        assert!((200..=200 + back + 1).contains(&through), "{through}, of which {back} came back meanwhile");
        assert!(locked(&guesses.by_address).len() <= MOST_ADDRESSES);
    }
}
