//! What of a deployment is waited for, when it isn't its end.

use std::str::FromStr;

use stopover_model::id::EnvironmentName;

/// As `--wait` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitFor {
    /// The stage in this environment has succeeded.
    Stage(EnvironmentName),
}

impl FromStr for WaitFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(("stage", name)) = text.split_once('=') else {
            return Err(
                "a stage can be waited for: say stage=ENVIRONMENT, such as stage=production".to_owned()
            );
        };
        name.parse().map(Self::Stage).map_err(|error| format!("no environment can be called so: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_waited_for_by_the_name_of_its_environment() {
        assert_eq!("stage=production".parse(), Ok(WaitFor::Stage("production".parse().unwrap())));
        for text in ["production", "stage=", "stage=Two Words", "migration=x", ""] {
            assert!(text.parse::<WaitFor>().is_err(), "{text}");
        }
    }
}
