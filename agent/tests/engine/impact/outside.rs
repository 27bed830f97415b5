//! Statements that can't run in a transaction: what they lock is seen from another session.
