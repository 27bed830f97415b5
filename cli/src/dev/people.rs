//! The people of the demonstration: who deploys, and who has to agree. They do what the deployment waits for, after a
//! moment in which it can be read, with the calls that their commands make.

use std::time::Duration;

use stopover_model::deployment::Deployment;
use stopover_model::event::{StageIndex, Waiting};
use stopover_model::gate::{GateWait, HookOutcome};
use stopover_proto::convert::field::digest;
use stopover_proto::v1;

use super::stack::Stack;
use crate::client::Control;
use crate::command::fetch;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::line::{Line, Tone};

/// Long enough to see what is waited for.
const MOMENT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(200);

pub(super) struct People {
    /// Deploys, and does what the checklist says.
    admin: Control,
    /// Is asked for approvals.
    ben: Control,
    output: Output,
}

impl People {
    pub(super) fn of(stack: &Stack<'_>) -> Result<Self, Failure> {
        Ok(Self { admin: stack.control()?, ben: stack.approver()?, output: stack.output })
    }

    /// Opens gate after gate for as long as the deployment goes on; ends only where something can't be done.
    pub(super) async fn attend(mut self, id: &str) -> Failure {
        loop {
            let done = self.look(id).await;
            if let Err(failure) = done {
                return failure;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn look(&mut self, id: &str) -> Result<(), Failure> {
        let Some((index, first)) = closed(&fetch(&mut self.admin, id).await?) else { return Ok(()) };
        tokio::time::sleep(MOMENT).await;
        let deployment = fetch(&mut self.admin, id).await?;
        if closed(&deployment).is_some_and(|(_, still)| still == first) {
            self.open(&deployment, index, &first).await?;
        }
        Ok(())
    }

    async fn open(
        &mut self,
        deployment: &Deployment,
        index: StageIndex,
        gate: &GateWait,
    ) -> Result<(), Failure> {
        let id = deployment.id.to_string();
        match gate {
            GateWait::Checklist { items } => {
                for item in items {
                    self.say("admin", &format!("stopover tick {id} {item:?}"))?;
                    let (deployment, item) = (id.clone(), item.clone());
                    let request = v1::TickItemRequest { deployment, environment: String::new(), item };
                    self.admin.tick_item(request).await?;
                }
            }
            GateWait::Approvals { .. } => {
                let Some(agreed) = deployment.plan_digest(index) else { return Ok(()) };
                let reason = "the rehearsal brought the schema back".to_owned();
                self.say("ben", &format!("stopover approve {id} --reason {reason:?}"))?;
                let request = v1::ApproveDeploymentRequest {
                    deployment: id,
                    environment: String::new(),
                    digest: digest::write(agreed),
                    reason,
                };
                self.ben.approve_deployment(request).await?;
            }
            GateWait::Hook { name, external: true, .. } => {
                self.say("admin", &format!("stopover pass {id} {name}"))?;
                let request = v1::AnswerHookRequest {
                    deployment: id,
                    environment: String::new(),
                    hook: name.to_string(),
                    outcome: Some(HookOutcome::Passed { reason: None }.into()),
                };
                self.admin.answer_hook(request).await?;
            }
            // These open by themselves.
            _ => {}
        }
        Ok(())
    }

    fn say(&self, who: &str, command: &str) -> Result<(), Failure> {
        if self.output.json || self.output.live {
            return Ok(());
        }
        self.output.lines(&[Line::of(Tone::Dim, format!("{who}$ ")).strong(command)])
    }
}

/// The first gate that is waited for and that people open.
fn closed(deployment: &Deployment) -> Option<(StageIndex, GateWait)> {
    let Some(Waiting::Gates { gates, .. }) = &deployment.waiting else { return None };
    let (index, _) = deployment.indexed_stages().find(|(_, stage)| stage.is_open())?;
    let first = gates.iter().find(|gate| gate.is_for_people())?;
    Some((index, first.clone()))
}
