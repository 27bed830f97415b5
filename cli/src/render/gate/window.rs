//! A stage outside of its windows, or in a freeze.

use jiff::Timestamp;
use stopover_model::deployment::{Deployment, Stage};
use stopover_model::duration::human;
use stopover_model::gate::GateWait;

use super::super::View;
use super::super::number::relative;
use super::{Closed, stage_option};

pub(super) fn closed(deployment: &Deployment, stage: &Stage, gate: &GateWait, view: View) -> Closed {
    let calendar = &stage.spec.calendar;
    let when = |at: Timestamp| format!("{}, {}", calendar.show(at), relative(at, view.now));
    let next = |opens: Option<Timestamp>| opens.map_or("never within two years".to_owned(), when);
    let what = match gate {
        GateWait::Window { opens } => format!("its window, which opens {}", next(*opens)),
        GateWait::WindowTooShort { needs, closes, opens } => format!(
            "a window with room for {}: the one until {} has less; the next one opens {}",
            human(*needs),
            calendar.show(*closes),
            next(*opens)
        ),
        GateWait::Freeze { until } => format!("the end of a freeze: {}", when(*until)),
        GateWait::Approvals { .. } | GateWait::Checklist { .. } | GateWait::Hook { .. } => String::new(),
    };
    let way = format!(
        "stopover resume {}{} --override-window --reason WHY",
        deployment.id,
        stage_option(deployment, stage)
    );
    Closed { what, who: Some("an administrator".to_owned()), ways: vec![way] }
}
