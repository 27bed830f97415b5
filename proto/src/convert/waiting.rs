//! What a deployment waits for.

use stopover_model::event::Waiting;

use super::field::{direct, message, messages, name, optional_name, parsed, plain, timestamp};
use crate::v1;

wire_choice!(Waiting, waiting {
    "environment_missing" EnvironmentMissing { environment = name },
    "no_agent" NoAgent { environment: name, database: optional_name },
    "none_selected" NoneSelected { environment: name, selector: parsed },
    "agent_away" AgentAway { environment: name, database: name, agent: name },
    "environment_held" EnvironmentHeld { environment: name, by: name },
    "soak" Soak { environment: name, until: timestamp, held: plain },
    "retry" Retry { step: message, at: timestamp },
    "follow_up" FollowUp { follow_up = direct },
    "person" Person { cause: plain },
    "gates" Gates { environment: name, gates: messages },
});
