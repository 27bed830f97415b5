//! Says once what is wrong with the connection, and once when it is back.

use std::time::Instant;

use stopover_model::duration::human;

#[derive(Debug, Default)]
pub(super) struct Outage {
    since: Option<Instant>,
    tries: u32,
    said: String,
}

impl Outage {
    /// A try failed, or the connection ended.
    pub(super) fn goes_on(&mut self, server: &str, why: String) {
        self.since.get_or_insert_with(Instant::now);
        self.tries += 1;
        if self.said != why {
            tracing::warn!(%server, "not connected: {why}; trying again");
            self.said = why;
        }
    }

    /// There is a connection.
    pub(super) fn ends(&mut self, server: &str) {
        if let Some(since) = self.since {
            tracing::info!(%server, tries = self.tries, "connected again after {}", human(since.elapsed()));
        } else {
            tracing::info!(%server, "connected");
        }
        *self = Self::default();
    }
}
