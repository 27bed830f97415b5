//! A stage outside of its windows, or in a freeze.

use jiff::Timestamp;
use stopover_model::duration::human;
use stopover_model::gate::GateWait;

use super::super::View;
use super::super::number::{clock, relative};
use super::Closed;

pub(super) fn closed(gate: &GateWait, view: View) -> Closed {
    let when = |at: Timestamp| format!("{} ({})", clock(at, view.now), relative(at, view.now));
    let what = match gate {
        GateWait::Window { opens } => format!("its window, which opens at {}", when(*opens)),
        GateWait::WindowTooShort { needs, closes, opens } => format!(
            "a longer window: {} are needed, and this one closes at {}; the next one opens at {}",
            human(*needs),
            clock(*closes, view.now),
            when(*opens)
        ),
        GateWait::Freeze { until } => format!("the end of a freeze, at {}", when(*until)),
        GateWait::Approvals { .. } | GateWait::Checklist { .. } | GateWait::Hook { .. } => String::new(),
    };
    Closed { what, ..Closed::default() }
}
