//! Who did something.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{HookName, OperatorName};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    Operator(OperatorName),
    /// The pipeline's `on_failure`.
    Pipeline,
    /// What a hook answered.
    Hook(HookName),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(name) => name.fmt(f),
            Self::Pipeline => f.pad("the pipeline's on_failure"),
            Self::Hook(name) => write!(f, "the hook {name}"),
        }
    }
}
