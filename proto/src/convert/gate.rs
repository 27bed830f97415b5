//! Gates: what closed ones wait for, and how hooks went.

use stopover_model::gate::{GateWait, HookOutcome};

use super::field::{duration, name, names, optional_text, optional_timestamp, plain, timestamp};
use crate::v1;

wire_choice!(GateWait, gate_wait {
    "approvals" Approvals { have: plain, need: plain, approvers: names },
    "checklist" Checklist { items: plain },
    "hook" Hook { name: name, external: plain, until: timestamp },
    "window" Window { opens: optional_timestamp },
    "window_too_short" WindowTooShort { needs: duration, closes: timestamp, opens: optional_timestamp },
    "freeze" Freeze { until: timestamp },
});

wire_choice!(HookOutcome, hook_outcome {
    "passed" Passed { reason: optional_text },
    "failed" Failed { reason: plain },
});
