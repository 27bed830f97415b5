//! What has been asked on a session so far, and what of it is prepared.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::Statement;
use tokio_postgres::types::{ToSql, Type};

/// Values with their types.
pub(crate) type Parameters<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// By their text: what has been asked, and the statement where it is prepared.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Asked>>);

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) types: Vec<Type>,
    pub(super) prepared: Option<Statement>,
}

impl Known {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Asked>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn statement(&self, sql: &str, parameters: Parameters<'_>) -> Option<Statement> {
        let mut known = self.lock();
        if let Some(asked) = known.get(sql) {
            return asked.prepared.clone();
        }
        let types = parameters.iter().map(|(_, of)| of.clone()).collect();
        known.insert(sql.to_owned(), Asked { types, prepared: None });
        None
    }

    /// Nothing is prepared any more.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }
}
