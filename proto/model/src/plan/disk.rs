//! Whether a database's disks have room for what its plan is estimated to write, before anything is backed up or changed.
//!
//! What a block or a function writes can't be seen, and is not counted; neither is what others write meanwhile, but for the
//! margin below which the plan warns.

use super::{Action, TargetPlan, Touched};
use crate::disk::{Disk, Disks, RESERVE};
use crate::impact::{ScriptImpact, Work, WorkKind};
use crate::pipeline::{BackupLevel, BackupScope, DiskPolicy, StageSpec};
use crate::report::{ErrorClass, Inspection, StepError};
use crate::text::size;

/// Of an entry of an index: a narrow key, its row's place, and what the pages leave free.
const NARROW_ENTRY: u64 = 24;
/// An index has rarely more than this part of its table's bytes.
const INDEX_PART: u64 = 4;
/// Where nothing can be seen, people are told of what is more than this.
const WORTH_SAYING: u64 = 100_000_000;

impl TargetPlan {
    /// The plan with a warning where it becomes tight, or why the stage refuses it.
    pub fn on_its_disks(mut self, inspection: &Inspection, stage: &StageSpec) -> Result<Self, StepError> {
        let Some(disks) = inspection.disks.as_deref().filter(|_| stage.disk != DiskPolicy::Allow) else {
            return Ok(self);
        };
        if disks.seen.is_empty() {
            let all = Needs::of(&self, inspection, stage, disks, |_| true, (true, true)).bytes();
            if all >= WORTH_SAYING {
                self.warnings.push(format!(
                    "about {} would be written, and whether the server's disk has room for it can't be seen: {}",
                    size(all),
                    disks.unseen
                ));
            }
            return Ok(self);
        }
        for disk in &disks.seen {
            let needs = Needs::on(disk, &self, inspection, stage, disks);
            let bytes = needs.bytes();
            let short = disk.free < bytes.saturating_add(RESERVE);
            let tight = disk.free < (bytes + bytes / 2).saturating_add(RESERVE);
            if bytes == 0 || !tight {
                continue;
            }
            let text = format!(
                "about {} would be written to the disk of {}, which has {} free ({} stay in reserve): {}",
                size(bytes),
                disk.path,
                size(disk.free),
                size(RESERVE),
                needs.words()
            );
            if short && stage.disk == DiskPolicy::Refuse {
                return Err(StepError::new(ErrorClass::Setup, format!("{}: {text}", self.database)).with_hint(
                    "make room there, or enlarge it, then: stopover resume; or let the stage of the pipeline have it, with \
                     disk = \"warn\", and deploy again",
                ));
            }
            self.warnings.push(text);
        }
        Ok(self)
    }
}

/// What is written to one disk, by what for.
#[derive(Debug, Default)]
struct Needs {
    rewrites: u64,
    indexes: u64,
    rows: u64,
    wal: u64,
    copy: u64,
}

impl Needs {
    fn on(disk: &Disk, plan: &TargetPlan, inspection: &Inspection, stage: &StageSpec, disks: &Disks) -> Self {
        let elsewhere = |relation: &String| disks.seen.iter().any(|other| other.relations.contains(relation));
        let is_here = |work: &Work| {
            // An index is built in the database's own tablespace, wherever its table is.
            let own = work.kind == WorkKind::BuildIndex || !elsewhere(&work.relation);
            if own { disk.data } else { disk.relations.contains(&work.relation) }
        };
        Self::of(plan, inspection, stage, disks, is_here, (disk.wal, disk.data))
    }

    fn of(
        plan: &TargetPlan,
        inspection: &Inspection,
        stage: &StageSpec,
        disks: &Disks,
        is_here: impl Fn(&Work) -> bool,
        (wal, data): (bool, bool),
    ) -> Self {
        let mut needs = Self::default();
        let mut logged = 0_u64;
        for script in inspection.impacts.iter().filter(|script| runs(plan, script)) {
            // What a script has written anew is given back when it is through.
            let mut anew = 0_u64;
            for work in script.statements.iter().flat_map(|statement| &statement.work) {
                let (bytes, of_log) = written(work);
                logged = logged.saturating_add(of_log);
                if !is_here(work) {
                    continue;
                }
                match work.kind {
                    WorkKind::Rewrite => anew = anew.saturating_add(bytes),
                    WorkKind::BuildIndex => needs.indexes = needs.indexes.saturating_add(bytes),
                    WorkKind::ChangeRows => needs.rows = needs.rows.saturating_add(bytes),
                    WorkKind::Scan => {}
                }
            }
            needs.rewrites = needs.rewrites.max(anew);
        }
        if wal {
            needs.wal = if disks.seen.is_empty() { logged } else { logged.min(disks.wal_room) };
        }
        let copies = data && disks.copies_here && stage.backup.level == BackupLevel::Restored;
        let copy = if copies && plan.applies_anything() { copied(plan, inspection, stage) } else { 0 };
        if stage.rehearse {
            // On the copy the migrations run as well.
            needs.copy = copy;
        } else if copy > needs.bytes() {
            // It is gone by the time that they begin.
            return Self { copy, ..Self::default() };
        }
        needs
    }

    fn bytes(&self) -> u64 {
        let all = [self.rewrites, self.indexes, self.rows, self.wal, self.copy];
        all.into_iter().fold(0, u64::saturating_add)
    }

    /// "8 GB of tables that are written anew, 1 GB of indexes"
    fn words(&self) -> String {
        let all = [
            (self.rewrites, "of tables that are written anew"),
            (self.indexes, "for indexes that are built"),
            (self.rows, "of changed rows"),
            (self.wal, "of write-ahead log"),
            (self.copy, "for the copy that the backup is restored into"),
        ];
        let some = all.into_iter().filter(|(bytes, _)| *bytes > 0);
        some.map(|(bytes, what)| format!("{} {what}", size(bytes))).collect::<Vec<_>>().join(", ")
    }
}

/// Of the scripts that would run.
fn runs(plan: &TargetPlan, script: &ScriptImpact) -> bool {
    plan.migrations.iter().any(|planned| {
        planned.id == script.migration
            && matches!(&planned.action, Action::Apply { variant, .. } if *variant == script.variant)
    })
}

/// What some work writes: to its tablespace, and to the write-ahead log.
fn written(work: &Work) -> (u64, u64) {
    match work.kind {
        WorkKind::Rewrite => (work.bytes, work.bytes),
        WorkKind::BuildIndex => {
            let index = work.rows.saturating_mul(NARROW_ENTRY).max(work.bytes / INDEX_PART);
            // Its rows are sorted first.
            (index.saturating_mul(2), index)
        }
        // A row's new version, and in the log an image of the page that it changes as well.
        WorkKind::ChangeRows => (work.bytes, work.bytes.saturating_mul(2)),
        WorkKind::Scan => (0, 0),
    }
}

/// What a backup is restored into.
fn copied(plan: &TargetPlan, inspection: &Inspection, stage: &StageSpec) -> u64 {
    match (stage.backup.scope, Touched::by(plan, inspection)) {
        (BackupScope::Touched, Touched::Known(_)) => {
            inspection.tables.iter().map(|table| table.total_bytes).sum()
        }
        _ => inspection.database_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::{inspection, migration};
    use crate::impact::StatementImpact;
    use crate::migration::Variant;
    use crate::pipeline::Pipeline;
    use crate::plan::Known;

    const GB: u64 = 1_000_000_000;

    fn stage(lines: &str) -> StageSpec {
        let text = format!("name = \"p\"\n[[stage]]\nenvironment = \"s\"\n{lines}\n");
        Pipeline::parse("pipeline.toml", &text).unwrap().stages.remove(0)
    }

    fn disk(path: &str, free: u64) -> Disk {
        Disk { path: path.into(), free, data: true, wal: true, ..Disk::default() }
    }

    fn found(work: &[(WorkKind, u64)], seen: Vec<Disk>) -> Inspection {
        let work = work.iter().map(|(kind, bytes)| Work {
            kind: *kind,
            relation: "public.users".into(),
            rows: 1_000,
            bytes: *bytes,
        });
        let statement = StatementImpact { work: work.collect(), ..StatementImpact::default() };
        let script = ScriptImpact {
            migration: "001_a".parse().unwrap(),
            variant: Variant::Standard,
            statements: vec![statement],
        };
        let disks = Disks { seen, unseen: "it is far away".into(), wal_room: GB, copies_here: true };
        Inspection {
            impacts: vec![script],
            disks: Some(Box::new(disks)),
            database_bytes: 20 * GB,
            ..inspection()
        }
    }

    fn plan(inspection: &Inspection, stage: &StageSpec) -> Result<Vec<String>, StepError> {
        let migrations = [migration("001_a", true, false)];
        let (database, known) = ("users".parse().unwrap(), Known::default());
        let plan = TargetPlan::make(
            &database,
            &migrations,
            inspection,
            &known,
            crate::pipeline::OutOfOrder::Refuse,
            &stage.drift,
        )?;
        let before = plan.warnings.len();
        plan.on_its_disks(inspection, stage).map(|plan| plan.warnings[before..].to_vec())
    }

    #[test]
    fn too_little_room_refuses_the_plan_with_figures_and_a_tight_one_is_warned_of() {
        let work = [(WorkKind::Rewrite, 8 * GB), (WorkKind::BuildIndex, 4 * GB), (WorkKind::Scan, 90 * GB)];
        // 8 anew, 1 of an index and as much to sort it, and what the log may grow by.
        let with = |free: u64, lines: &str| plan(&found(&work, vec![disk("/pg", free)]), &stage(lines));
        let error = with(10 * GB, "").unwrap_err();
        assert_eq!(
            error.message,
            "users: about 11 GB would be written to the disk of /pg, which has 10 GB free (67 MB stay in reserve): 8.0 GB of \
             tables that are written anew, 2.0 GB for indexes that are built, 1.0 GB of write-ahead log"
        );
        assert!(error.hint.unwrap().contains("disk = \"warn\""));
        assert_eq!(with(10 * GB, "disk = \"warn\"").unwrap().len(), 1);
        assert!(with(10 * GB, "disk = \"allow\"").unwrap().is_empty());
        let tight = with(15 * GB, "").unwrap();
        assert!(tight.len() == 1 && tight[0].starts_with("about 11 GB would be written"), "{tight:?}");
        assert!(with(17 * GB, "").unwrap().is_empty());
        assert!(
            plan(&found(&[], vec![disk("/pg", 0)]), &stage("")).unwrap().is_empty(),
            "nothing is written"
        );
    }

    #[test]
    fn each_disk_has_what_is_written_to_it() {
        let work = [(WorkKind::ChangeRows, 8 * GB)];
        let table =
            Disk { relations: vec!["public.users".into()], data: false, wal: false, ..disk("/fast", 9 * GB) };
        let log = Disk { data: false, ..disk("/wal", GB / 2) };
        let data = Disk { wal: false, ..disk("/pg", GB) };
        let error = plan(&found(&work, vec![data.clone(), table.clone(), log]), &stage("")).unwrap_err();
        assert!(
            error.message.contains("the disk of /wal") && error.message.contains("1.0 GB of write-ahead log")
        );
        let log = Disk { data: false, ..disk("/wal", 2 * GB) };
        let warned = plan(&found(&work, vec![data, table, log]), &stage("")).unwrap();
        assert!(
            warned.len() == 1 && warned[0].contains("the disk of /fast, which has 9.0 GB free"),
            "{warned:?}"
        );
    }

    #[test]
    fn the_copy_of_a_restored_backup_needs_room_too_and_the_rehearsal_writes_beside_it() {
        let work = [(WorkKind::Rewrite, 8 * GB)];
        let with = |free: u64, lines: &str| plan(&found(&work, vec![disk("/pg", free)]), &stage(lines));
        assert!(with(19 * GB, "").is_ok());
        let error = with(19 * GB, "backup = \"restored\"").unwrap_err();
        assert!(
            error.message.ends_with("20 GB for the copy that the backup is restored into"),
            "{}",
            error.message
        );
        assert!(with(21 * GB, "backup = \"restored\"").is_ok());
        let error = with(21 * GB, "rehearse = true").unwrap_err();
        assert!(error.message.contains("about 29 GB"), "{}", error.message);
    }

    #[test]
    fn what_can_not_be_seen_is_said_where_it_matters() {
        let far = |bytes| plan(&found(&[(WorkKind::Rewrite, bytes)], Vec::new()), &stage("")).unwrap();
        assert!(far(1_000_000).is_empty());
        let warned = far(8 * GB);
        assert_eq!(
            warned,
            [
                "about 16 GB would be written, and whether the server's disk has room for it can't be seen: it is far away"
            ]
        );
    }
}
