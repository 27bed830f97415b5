//! Which tables a plan's statements touch, as far as an inspection can tell.

use std::collections::BTreeSet;

use super::{Action, TargetPlan};
use crate::impact::{LockMode, ScriptImpact, StatementImpact};
use crate::report::Inspection;

/// The relations whose rows a plan may change or lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// As SQL names them.
    Known(Vec<String>),
    /// Why it can't be known.
    Untold(String),
}

impl Touched {
    /// Of the scripts that would run.
    #[must_use]
    pub fn by(plan: &TargetPlan, inspection: &Inspection) -> Self {
        if inspection.unpredicted {
            return Self::Untold("what the statements change could not be found out as a whole".to_owned());
        }
        let runs = |script: &&ScriptImpact| {
            plan.migrations.iter().any(|planned| {
                planned.id == script.migration
                    && matches!(&planned.action, Action::Apply { variant, .. } if *variant == script.variant)
            })
        };
        let mut tables = BTreeSet::new();
        for script in inspection.impacts.iter().filter(runs) {
            for statement in &script.statements {
                if let Some(why) = untold(statement) {
                    let number = statement.index + 1;
                    return Self::Untold(format!("statement {number} of {}: {why}", script.migration));
                }
                tables.extend(relations(statement).map(str::to_owned));
            }
        }
        Self::Known(tables.into_iter().collect())
    }
}

fn untold(statement: &StatementImpact) -> Option<String> {
    if statement.unseen {
        let note = statement.notes.last().cloned();
        return Some(note.unwrap_or_else(|| "what it changes can't be seen from outside".to_owned()));
    }
    let trigger = statement.triggers.first()?;
    Some(format!("the trigger {} on {} may change other tables", trigger.name, trigger.table))
}

/// Who only reads loses nothing.
fn relations(statement: &StatementImpact) -> impl Iterator<Item = &str> {
    let locked = statement.locks.iter().filter(|lock| lock.mode >= LockMode::RowExclusive);
    locked.map(|lock| lock.relation.as_str()).chain(statement.work.iter().map(|work| work.relation.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::tests::inspection;
    use crate::impact::{FiringTrigger, LockTaken};
    use crate::plan::{MigrationPlan, Variant};

    fn touched(statements: Vec<StatementImpact>, unpredicted: bool) -> Touched {
        let apply = Action::Apply { variant: Variant::Standard, estimate: None, missing: None };
        let planned = MigrationPlan { id: "001_x".parse().unwrap(), action: apply, reason: String::new() };
        let plan = TargetPlan {
            database: "users".parse().unwrap(),
            migrations: vec![planned],
            warnings: Vec::new(),
        };
        let script =
            |variant, statements| ScriptImpact { migration: "001_x".parse().unwrap(), variant, statements };
        let unseen = StatementImpact { unseen: true, ..StatementImpact::default() };
        let impacts = vec![script(Variant::Standard, statements), script(Variant::Batched, vec![unseen])];
        Touched::by(&plan, &Inspection { impacts, unpredicted, ..inspection() })
    }

    fn locks(relation: &str, mode: LockMode) -> StatementImpact {
        let lock = LockTaken { relation: relation.to_owned(), mode, why: None };
        StatementImpact { locks: vec![lock], ..StatementImpact::default() }
    }

    #[test]
    fn what_is_written_counts_and_what_is_read_does_not() {
        let statements = vec![
            locks("public.users", LockMode::AccessExclusive),
            locks("public.teams", LockMode::AccessShare),
            locks("public.orders", LockMode::RowExclusive),
            locks("public.users", LockMode::Share),
        ];
        let known = ["public.orders", "public.users"].map(str::to_owned);
        assert_eq!(touched(statements, false), Touched::Known(known.into()));
        assert_eq!(touched(Vec::new(), false), Touched::Known(Vec::new()));
    }

    #[test]
    fn what_can_not_be_known_is_said() {
        let said = |statement: StatementImpact| match touched(vec![statement], false) {
            Touched::Untold(why) => why,
            Touched::Known(tables) => panic!("{tables:?}"),
        };
        let unseen = StatementImpact {
            unseen: true,
            notes: vec!["a DO block".into()],
            index: 2,
            ..Default::default()
        };
        assert_eq!(said(unseen), "statement 3 of 001_x: a DO block");
        let trigger = FiringTrigger {
            name: "audit".into(),
            table: "public.users".into(),
            for_each_row: true,
            function: "audit.log()".into(),
        };
        let fires =
            StatementImpact { triggers: vec![trigger], ..locks("public.users", LockMode::RowExclusive) };
        assert_eq!(
            said(fires),
            "statement 1 of 001_x: the trigger audit on public.users may change other tables"
        );
        assert!(matches!(touched(Vec::new(), true), Touched::Untold(_)));
    }
}
