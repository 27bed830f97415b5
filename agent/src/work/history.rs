//! What is remembered of the work: everything that runs, and of what has ended the latest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Work, WorkKey};

/// Finished work is kept for callers that come back for its outcome.
const MOST_KEPT: usize = 256;
const KEPT_FOR: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct History {
    entries: HashMap<WorkKey, Entry>,
}

#[derive(Debug)]
struct Entry {
    work: Arc<Work>,
    /// When it was first seen to have ended.
    ended: Option<Instant>,
}

impl History {
    pub(super) fn get(&self, key: &WorkKey) -> Option<&Arc<Work>> {
        self.entries.get(key).map(|entry| &entry.work)
    }

    pub(super) fn insert(&mut self, key: WorkKey, work: Arc<Work>) {
        self.forget(Instant::now());
        self.entries.insert(key, Entry { work, ended: None });
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Work>> {
        self.entries.values().map(|entry| &entry.work)
    }

    fn forget(&mut self, now: Instant) {
        for entry in self.entries.values_mut().filter(|e| e.ended.is_none() && e.work.has_ended()) {
            entry.ended = Some(now);
        }
        self.entries.retain(|_, e| e.ended.is_none_or(|at| now.duration_since(at) < KEPT_FOR));
        let ended = self.entries.values().filter(|e| e.ended.is_some()).count();
        for _ in MOST_KEPT..ended {
            let oldest =
                self.entries.iter().filter_map(|(key, e)| Some((e.ended?, key))).min_by_key(|(at, _)| *at);
            if let Some((_, key)) = oldest {
                let key = key.clone();
                self.entries.remove(&key);
            }
        }
    }
}
