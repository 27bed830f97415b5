//! One digest over the hashes of all objects, of which a change costs what it touches and not the whole schema: the objects
//! are dealt out to a fixed number of shares, each has a digest of its own, and the whole's is over those.

use std::collections::BTreeMap;

use stopover_model::digest::{Digest, Digester};

use super::Looked;

/// Part of what the digest is: another number gives other digests.
const SHARES: usize = 256;

/// The hashes of all objects, in their full length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shares(Vec<Share>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    hashes: BTreeMap<String, String>,
    digest: Digest,
}

impl Shares {
    pub(super) fn of(hashes: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut dealt = vec![BTreeMap::new(); SHARES];
        for (object, hash) in hashes {
            dealt[number(&object)].insert(object, hash);
        }
        let share = |hashes: BTreeMap<String, String>| Share { digest: of_share(hashes.iter()), hashes };
        Self(dealt.into_iter().map(share).collect())
    }

    pub(super) fn get(&self, object: &str) -> Option<&String> {
        self.0[number(object)].hashes.get(object)
    }

    /// Over all of them. `major` is the server's version: another one may write the same definition in other words.
    pub(super) fn digest(&self, major: i32) -> Digest {
        over(major, self.0.iter().map(|share| share.digest))
    }

    /// What that becomes with these objects as they are now.
    pub(super) fn digest_with(&self, major: i32, looked: &Looked) -> Digest {
        let mut news: BTreeMap<usize, BTreeMap<&String, &String>> = BTreeMap::new();
        for (object, seen) in looked {
            news.entry(number(object)).or_default().insert(object, &seen.hash);
        }
        let digest = |(index, share): (usize, &Share)| match news.remove(&index) {
            None => share.digest,
            Some(news) => {
                let mut all: BTreeMap<&String, &String> = share.hashes.iter().collect();
                all.extend(news);
                of_share(all.into_iter())
            }
        };
        over(major, self.0.iter().enumerate().map(digest))
    }

    /// Takes them on.
    pub(super) fn take_on(&mut self, news: impl IntoIterator<Item = (String, String)>) {
        let mut touched = [false; SHARES];
        for (object, hash) in news {
            let index = number(&object);
            self.0[index].hashes.insert(object, hash);
            touched[index] = true;
        }
        for (share, _) in self.0.iter_mut().zip(touched).filter(|(_, touched)| *touched) {
            share.digest = of_share(share.hashes.iter());
        }
    }
}

/// The share of an object, by the FNV-1a hash of its name: the same on every machine and in every version.
fn number(object: &str) -> usize {
    let hash =
        object.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % SHARES
}

/// In the order of the names' bytes.
fn of_share<'a>(hashes: impl Iterator<Item = (&'a String, &'a String)>) -> Digest {
    let mut digester = Digester::new("stopover share v1");
    for (object, hash) in hashes {
        digester.part(object, hash.as_bytes());
    }
    digester.finish()
}

fn over(major: i32, digests: impl Iterator<Item = Digest>) -> Digest {
    let mut digester = Digester::new("stopover schema v2");
    digester.part("server", major.to_string().as_bytes());
    for digest in digests {
        digester.part("share", digest.as_bytes());
    }
    digester.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Seen;

    fn hashes(count: usize) -> Vec<(String, String)> {
        (0..count).map(|n| (format!("table t{n}"), format!("{n:064}"))).collect()
    }

    #[test]
    fn a_change_gives_the_digest_that_a_whole_look_gives() {
        let mut shares = Shares::of(hashes(1_000));
        let seen = |hash: &str| Seen { hash: hash.to_owned(), definition: None };
        let looked =
            Looked::from([("table t7".to_owned(), seen("changed")), ("table new".to_owned(), seen("new"))]);
        let mut all: BTreeMap<String, String> = hashes(1_000).into_iter().collect();
        all.extend(looked.iter().map(|(object, seen)| (object.clone(), seen.hash.clone())));
        let whole = Shares::of(all);
        assert_ne!(shares.digest(15), whole.digest(15));
        assert_eq!(shares.digest_with(15, &looked), whole.digest(15));
        shares.take_on(looked.into_iter().map(|(object, seen)| (object, seen.hash)));
        assert_eq!(shares, whole);
        assert_ne!(whole.digest(15), whole.digest(16));
    }

    #[test]
    fn objects_are_dealt_out_evenly_and_always_alike() {
        let shares = Shares::of(hashes(25_600));
        let most = shares.0.iter().map(|share| share.hashes.len()).max().unwrap();
        assert!(most < 200, "{most} where 100 are to be expected");
        assert_eq!(number("table t"), 0x5b);
        assert_eq!(Shares::of([]).digest(15).to_string().len(), 64);
    }
}
