//! The commands that the texts tell people to type are commands of this version.

use std::path::Path;

use clap::Parser as _;
use stopover::args::Cli;

/// What stands between backticks and begins with our name; a part in brackets or behind a comma is left out.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| quoted.starts_with("stopover ")).map(str::to_owned).collect()
}

/// The command as somebody would type it: words in capitals stand for what fits there.
fn typed(command: &str) -> Vec<String> {
    let word = |word: &str| match word.trim_matches(['"', '\'']) {
        "ENV" | "ENVIRONMENT" => "production".to_owned(),
        "ID" => "4k2m9x0c1d".to_owned(),
        "HOOK" => "deploy".to_owned(),
        word => word.to_owned(),
    };
    command.split_whitespace().map(word).collect()
}

#[test]
fn every_command_of_the_guide_is_one() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/guide.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let commands = commands(&text);
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        if let Err(error) = Cli::try_parse_from(typed(&command)) {
            panic!("{command}: {error}");
        }
    }
}
