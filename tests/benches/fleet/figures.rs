//! Whose figures are taken, and how they are printed beside their goals.

use stopover_tests::Stack;
use stopover_tests::bench::say;

/// The server's process.
pub(crate) fn server(stack: &Stack) -> u32 {
    stack.server.as_ref().expect("the server runs").id()
}

pub(crate) fn row(what: &str, value: &str, goal: &str) {
    let goal = if goal.is_empty() { String::new() } else { format!("   (goal: {goal})") };
    say(&format!("{what:<62} {value:>20}{goal}"));
}
