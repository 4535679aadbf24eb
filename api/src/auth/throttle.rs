//! How often somebody may try to sign in: less and less often while they fail. Plain data.
//!
//! Three counts, and each try needs room in all of them:
//!
//! | of | free | then |
//! |---|---|---|
//! | an address | 20 tries, one more each 6 s | it waits for the next |
//! | a user from an address | 5 failures | 1 s, 2 s, 4 s … 300 s, and the count is forgotten after an hour |
//! | a user, from addresses they never signed in from | 30 failures | 1 s … 30 s |
//!
//! So one address cannot try many users, nor many addresses one user; and whoever signs in from where they
//! did before is not kept out by what others do. A try counts as a failure from its begin, so that many
//! at once are no way around. Of IPv6 the first 64 bits are the address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use bellwire_model::Timestamp;

/// The most entries of each count. Beyond, the one that was quiet for longest is forgotten.
const ENTRIES_MAX: usize = 8_192;
/// Tries of an address before it waits.
const ADDRESS_BURST: u32 = 20;
/// Until an address may try once more.
const ADDRESS_EVERY: Duration = Duration::from_secs(6);
/// Failures of a user from one address before they wait.
const PAIR_FREE: u32 = 5;
/// The longest they wait.
const PAIR_WAIT_MAX: Duration = Duration::from_secs(300);
/// Failures of a user from addresses that are not known before those wait.
const USER_FREE: u32 = 30;
/// The longest they wait.
const USER_WAIT_MAX: Duration = Duration::from_secs(30);
/// After so long without a failure they are forgotten.
const FORGET: Duration = Duration::from_secs(3_600);

/// Failures, and when the last was.
#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    /// How long from `now` until the next try.
    fn wait(self, now: Timestamp, free: u32, max: Duration) -> Duration {
        if self.count < free {
            return Duration::ZERO;
        }
        let doublings = (self.count - free).min(20);
        let wait = Duration::from_secs(1 << doublings).min(max);
        wait.saturating_sub(now.since(self.last))
    }
}

/// Bounded: the entry that was quiet for longest makes room.
#[derive(Debug)]
struct Table<K>(HashMap<K, Failures>);

impl<K: Hash + Eq + Clone> Table<K> {
    fn get(&self, key: &K, now: Timestamp) -> Failures {
        let found = self.0.get(key).copied().filter(|it| now.since(it.last) < FORGET);
        found.unwrap_or(Failures { count: 0, last: now })
    }

    fn put(&mut self, key: K, failures: Failures) {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(&key) {
            let quiet = self.0.iter().min_by_key(|(_, it)| it.last).map(|(key, _)| key.clone());
            quiet.map(|quiet| self.0.remove(&quiet));
        }
        self.0.insert(key, failures);
    }

    fn add(&mut self, key: K, now: Timestamp) {
        let count = self.get(&key, now).count.saturating_add(1);
        self.put(key, Failures { count, last: now });
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// How often who has tried.
#[derive(Debug, Default)]
pub struct Throttle {
    /// Tries that are used up, and since when they come back.
    addresses: Table<IpAddr>,
    pairs: Table<(String, IpAddr)>,
    users: Table<String>,
    /// From where users have signed in.
    known: Table<(String, IpAddr)>,
}

impl Throttle {
    /// Somebody tries to sign in as `user`. If they may, it counts as a failure until
    /// [`Throttle::succeeded`].
    ///
    /// # Errors
    /// How long they have to wait.
    pub fn attempt(&mut self, user: &str, from: IpAddr, now: Timestamp) -> Result<(), Duration> {
        let from = network(from);
        let pair = (user.to_owned(), from);
        let bucket = self.refilled(from, now);
        let full = (bucket.count >= ADDRESS_BURST)
            .then(|| ADDRESS_EVERY.saturating_sub(now.since(bucket.last)));
        let is_known = self.known.0.contains_key(&pair);
        let of_user = self.users.get(&pair.0, now);
        let waits = [
            full.unwrap_or_default(),
            self.pairs.get(&pair, now).wait(now, PAIR_FREE, PAIR_WAIT_MAX),
            if is_known { Duration::ZERO } else { of_user.wait(now, USER_FREE, USER_WAIT_MAX) },
        ];
        let wait = waits.into_iter().max().unwrap_or_default();
        if wait > Duration::ZERO {
            return Err(wait);
        }
        let last = if bucket.count == 0 { now } else { bucket.last };
        self.addresses.put(from, Failures { count: bucket.count + 1, last });
        if !is_known {
            self.users.add(pair.0.clone(), now);
        }
        self.pairs.add(pair, now);
        Ok(())
    }

    /// They have signed in: it was no failure, and they are known there.
    pub fn succeeded(&mut self, user: &str, from: IpAddr, now: Timestamp) {
        let from = network(from);
        let pair = (user.to_owned(), from);
        self.pairs.0.remove(&pair);
        if let Some(users) = self.users.0.get_mut(user) {
            users.count = users.count.saturating_sub(1);
        }
        if let Some(bucket) = self.addresses.0.get_mut(&from) {
            bucket.count = bucket.count.saturating_sub(1);
        }
        self.known.put(pair, Failures { count: 0, last: now });
    }

    /// The tries of an address that have not come back by now.
    fn refilled(&self, from: IpAddr, now: Timestamp) -> Failures {
        let Some(bucket) = self.addresses.0.get(&from) else {
            return Failures { count: 0, last: now };
        };
        let back = now.since(bucket.last).as_secs() / ADDRESS_EVERY.as_secs();
        let back = u32::try_from(back).unwrap_or(u32::MAX).min(bucket.count);
        let later = i64::from(back) * i64::try_from(ADDRESS_EVERY.as_micros()).unwrap_or(i64::MAX);
        let last = Timestamp::from_micros(bucket.last.as_micros().saturating_add(later));
        Failures { count: bucket.count - back, last }
    }
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn a_wrong_password_again_and_again_takes_longer_and_longer() {
        let mut throttle = Throttle::default();
        let mut now = at(0);
        for _ in 0..PAIR_FREE {
            assert_eq!(throttle.attempt("anna", ip(1), now), Ok(()));
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let wait = Duration::from_secs(wait);
            assert_eq!(throttle.attempt("anna", ip(1), now), Err(wait));
            now = Timestamp::from_micros(now.as_micros() + wait.as_micros() as i64);
            assert_eq!(throttle.attempt("anna", ip(1), now), Ok(()), "after {wait:?}");
        }
        assert_eq!(throttle.attempt("bert", ip(1), now), Ok(()), "another user");
        assert_eq!(throttle.attempt("anna", ip(2), now), Ok(()), "another address");
        now = Timestamp::from_micros(now.as_micros() + FORGET.as_micros() as i64);
        assert_eq!(throttle.attempt("anna", ip(1), now), Ok(()), "it is forgotten");
        assert_eq!(throttle.attempt("anna", ip(1), now), Ok(()), "with all before it");
    }

    #[test]
    fn one_address_cannot_try_many_users() {
        let mut throttle = Throttle::default();
        let tried = (0..100).filter(|n| throttle.attempt(&n.to_string(), ip(1), at(0)).is_ok());
        assert_eq!(tried.count(), ADDRESS_BURST as usize);
        assert_eq!(throttle.attempt("x", ip(1), at(0)), Err(ADDRESS_EVERY));
        let later = (0..100).filter(|n| throttle.attempt(&n.to_string(), ip(1), at(60)).is_ok());
        assert_eq!(later.count(), 10);
        assert_eq!(throttle.attempt("x", ip(2), at(0)), Ok(()), "others may");
    }

    #[test]
    fn many_addresses_cannot_try_one_user_and_do_not_keep_them_out() {
        let mut throttle = Throttle::default();
        throttle.attempt("anna", ip(7), at(0)).unwrap();
        throttle.succeeded("anna", ip(7), at(0));
        let tried =
            (100..1_000).filter(|n| throttle.attempt("anna", ip(*n), at(1)).is_ok()).count();
        assert_eq!(tried, USER_FREE as usize);
        assert_eq!(throttle.attempt("anna", ip(7), at(1)), Ok(()), "from where she was before");
        assert!(throttle.attempt("anna", ip(8), at(1)).is_err(), "from elsewhere it takes a while");
        assert_eq!(throttle.attempt("anna", ip(8), at(32)), Ok(()), "but not for ever");
    }

    #[test]
    fn who_signs_in_has_not_failed() {
        let mut throttle = Throttle::default();
        for n in 0..1_000 {
            assert_eq!(throttle.attempt("anna", ip(1), at(0)), Ok(()), "{n}");
            throttle.succeeded("anna", ip(1), at(0));
        }
    }

    #[test]
    fn memory_is_bounded_whatever_is_tried() {
        let mut throttle = Throttle::default();
        for n in 0..20_000_u32 {
            let _ = throttle.attempt(&n.to_string(), ip(n), at(i64::from(n)));
        }
        let counts = [throttle.addresses.0.len(), throttle.pairs.0.len(), throttle.users.0.len()];
        assert_eq!(counts, [ENTRIES_MAX; 3]);
    }

    #[test]
    fn of_ipv6_the_network_counts() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::"), of("2001:db8:1:3::"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
