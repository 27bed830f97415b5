//! Migrations that come in one call: all are checked before any is taken up, and each begins once the one before it has
//! succeeded.

use stopover_model::backfill::Throttle;
use stopover_model::event::StepKind;
use stopover_model::id::{Attempt, MigrationId};
use stopover_model::plan::Variant;
use stopover_model::report::{Effect, ErrorClass, Outcome, StepError};
use stopover_proto::convert::AgentCommand;
use stopover_proto::convert::field::{
    enumeration, message, optional_duration, optional_enumeration, optional_name, or_default,
};
use stopover_proto::v1;
use tokio::time::Instant;
use tonic::Status;

use super::job::Job;
use super::stream::{self, Followed, Updates};
use super::{AgentService, command, from_now, invalid, pinned, status_of};
use crate::migrate::{Limits, MigrateWork};
use crate::work::{Place, Refused, Work, WorkKey};

/// One of them, checked.
struct Asked {
    command: AgentCommand,
    work: MigrateWork,
    throttle: Throttle,
    batches_until: Option<Instant>,
    place: Place,
}

impl AgentService {
    pub(super) fn migrate_in_turn(&self, mut request: v1::MigrateRequest) -> Result<Updates, Status> {
        let then = std::mem::take(&mut request.then);
        let first = self.asked(request)?;
        let then: Vec<Asked> =
            then.into_iter().map(|request| self.asked(request)).collect::<Result<_, _>>()?;
        let mut works = vec![self.take_up(first)?.map_err(|refused| status_of(&refused))?];
        for asked in then {
            let resume = asked.command.resume.clone();
            let attempt = asked.command.attempt;
            // Those before it are at work: what becomes of this one is no refusal of the call.
            works.push(match self.take_up(asked)? {
                Ok(taken) => taken,
                Err(refused) => (Work::over(attempt, outcome_of(&refused)), resume),
            });
        }
        Ok(stream::follow(works))
    }

    fn asked(&self, request: v1::MigrateRequest) -> Result<Asked, Status> {
        let command = self.check(request.command, &[StepKind::Migrate])?;
        let migration = command::migration(request.migration, &request.migration_digest, &command)?;
        let variant: Variant = enumeration::read(request.variant, "variant").map_err(|e| invalid(&e))?;
        command::check_variant(&migration, variant)?;
        let place = place(&command, request.behind, request.only_look)?;
        let work = MigrateWork {
            migration,
            variant,
            locks: message::read(request.locks, "locks").map_err(|e| invalid(&e))?,
            system_identifier: pinned(request.system_identifier),
            resolution: optional_enumeration::read(request.resolution, "resolution")
                .map_err(|e| invalid(&e))?,
            backfill: or_default::read(request.backfill, "backfill").map_err(|e| invalid(&e))?,
            saving: or_default::read(request.saving, "saving").map_err(|e| invalid(&e))?,
            restore_saved: optional_name::read(request.restore_saved, "restore_saved")
                .map_err(|e| invalid(&e))?,
            limits: Limits::default(),
            parking: self.parking.get(&command.step.database).cloned().unwrap_or_default(),
            only_look: request.only_look,
            begin_by: optional_duration::read(request.begin_within, "begin_within")
                .map_err(|e| invalid(&e))?
                .and_then(from_now),
        };
        let batches_until = optional_duration::read(request.batches_within, "batches_within")
            .map_err(|e| invalid(&e))?
            .and_then(from_now);
        let throttle = or_default::read(request.throttle, "throttle").map_err(|e| invalid(&e))?;
        Ok(Asked { command, work, throttle, batches_until, place })
    }

    fn take_up(&self, asked: Asked) -> Result<Result<Followed, Refused>, Status> {
        let Asked { mut command, work, throttle, batches_until, place } = asked;
        let key = WorkKey { deployment: command.deployment.clone(), step: command.step.clone() };
        let (attempt, resume) = (command.attempt, command.resume.take());
        let taken = self.work_of(command, Job::Migrate(work), &place)?;
        self.work.throttle(&key, attempt, throttle, batches_until);
        Ok(taken.map(|work| (work, resume)))
    }
}

fn place(
    command: &AgentCommand,
    behind: Option<v1::migrate_request::Behind>,
    only_look: bool,
) -> Result<Place, Status> {
    let Some(behind) = behind.filter(|_| !only_look) else {
        return Ok(if only_look { Place::Look } else { Place::First });
    };
    let migration: MigrationId =
        behind.migration.parse().map_err(|e| Status::invalid_argument(format!("`behind.migration`: {e}")))?;
    let mut step = command.step.clone();
    step.migration = Some(migration);
    let key = WorkKey { deployment: command.deployment.clone(), step };
    Ok(Place::Behind(key, Attempt(behind.attempt)))
}

/// Of a newer attempt nobody knows here how far it has got.
fn outcome_of(refused: &Refused) -> Outcome {
    match refused {
        Refused::Older { .. } => {
            let error = StepError::new(ErrorClass::Fenced, refused.to_string());
            Outcome::Unknown { error: error.with_effect(Effect::Possible) }
        }
        Refused::TooLate { .. } | Refused::Stopping => Outcome::NotBegun { why: refused.to_string() },
    }
}
