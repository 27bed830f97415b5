//! SET NOT NULL, which scans the table unless a validated constraint says already that there is no NULL. squawk knows the
//! statements of one file; here the migrations before are known as well.

use squawk_syntax::ast::AstNode as _;
use stopover_model::sql::{AlterAction, StatementKind};

use crate::catalogue::SET_NOT_NULL_SCANS;
use crate::known::{Constraints, Proof, action_of};
use crate::raw::Raw;
use crate::reading::Reading;
use crate::rule::Rule;
use crate::tree::range_of;
use crate::way_out::{not_null, table_of};

const SQUAWKS: &str = "adding-not-nullable-field";

/// Its rule; where it isn't wanted, there is nothing to settle.
pub(crate) fn squawks() -> Option<Rule> {
    Rule::of_squawk(squawk_linter::Rule::AddingNotNullableField)
}

/// Takes away what squawk found without need, and adds what it missed.
pub(crate) fn settle(reading: &Reading<'_>, mut constraints: Constraints, found: &mut Vec<Raw>) {
    for statement in &reading.statements {
        let StatementKind::AlterTable { table, actions, .. } = &statement.kind else { continue };
        for (n, action) in actions.iter().enumerate() {
            let range = action_of(statement, n).map(|action| range_of(action.syntax().text_range()));
            let inside = |raw: &Raw| range.as_ref().is_some_and(|range| range.contains(&raw.range.start));
            match action {
                AlterAction::SetNotNull { column } => {
                    let seen = found.iter().any(|raw| raw.rule.name() == SQUAWKS && inside(raw));
                    match (constraints.proof(table, column), range.clone()) {
                        (Proof::Proven, _) => found.retain(|raw| raw.rule.name() != SQUAWKS || !inside(raw)),
                        (Proof::None, Some(range)) if !seen => {
                            let table = table_of(statement).unwrap_or_else(|| table.to_string());
                            found.push(missed(&table, column, range));
                        }
                        _ => {}
                    }
                }
                // What NOT NULL says already protects nobody.
                AlterAction::DropConstraint { name, .. } if constraints.is_superfluous(table, name) => {
                    found.retain(|raw| raw.rule.name() != "ban-drop-constraint" || !inside(raw));
                }
                _ => {}
            }
            constraints.learn(statement, n);
        }
    }
}

fn missed(table: &str, column: &str, range: std::ops::Range<usize>) -> Raw {
    let message = format!(
        "SET NOT NULL scans {table} while everybody waits: the constraint that is validated here says nothing of {column}."
    );
    let rewrite = not_null(table, column);
    Raw::ours(&SET_NOT_NULL_SCANS, range, message)
        .help("Validate a constraint that says there is no NULL, and nothing is scanned under the lock.")
        .rewrite(&rewrite.title, rewrite.sql)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sql, rules};

    const ADD: &str = "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID;";
    const VALIDATE: &str = "ALTER TABLE public.t VALIDATE CONSTRAINT c;";
    const SET: &str = "ALTER TABLE t ALTER a SET NOT NULL;";

    #[test]
    fn a_constraint_of_a_migration_before_is_proof() {
        assert_eq!(rules(Sql::up(SET)), ["1:23 adding-not-nullable-field"]);
        assert_eq!(rules(Sql { before: &[ADD, VALIDATE], ..Sql::up(SET) }), [""; 0]);
        assert_eq!(rules(Sql { before: &[ADD], ..Sql::up(SET) }), ["1:23 adding-not-nullable-field"]);
        let other = "ALTER TABLE t ADD CONSTRAINT c CHECK (b IS NOT NULL) NOT VALID;";
        assert_eq!(
            rules(Sql { before: &[other, VALIDATE], ..Sql::up(SET) }),
            ["1:23 adding-not-nullable-field"]
        );
    }

    #[test]
    fn a_constraint_that_says_something_else_is_none() {
        let add = "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;";
        let both = format!("{VALIDATE}\n{SET}");
        assert_eq!(rules(Sql { before: &[add], ..Sql::up(&both) }), ["2:15 stopover/set-not-null-scans"]);
        assert_eq!(rules(Sql::up(&both)), [""; 0], "who knows what c says");
    }

    #[test]
    fn the_constraint_may_go_once_it_has_done_its_work() {
        let drop = format!("{SET}\nALTER TABLE t DROP CONSTRAINT c;");
        assert_eq!(rules(Sql { before: &[ADD, VALIDATE], ..Sql::up(&drop) }), [""; 0]);
        assert_eq!(
            rules(Sql { before: &[ADD, VALIDATE], ..Sql::up("ALTER TABLE t DROP CONSTRAINT c;") }).len(),
            1
        );
    }
}
