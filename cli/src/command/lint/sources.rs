//! From paths to scripts, each under the name that a person or an editor finds it by.

use std::fs;
use std::path::{Path, PathBuf};

use stopover_lint::{Role, ScriptToLint};
use stopover_model::layout::{Directory, Layout, LayoutError};
use stopover_model::migration::{Reading, Script};

use crate::directory::{self, DirectoryError};
use crate::failure::Failure;

pub(super) enum Source {
    /// A directory of migrations, or one file of it, for which the others tell what is there already.
    Directory { path: PathBuf, directory: Directory, only: Option<PathBuf> },
    /// A file of which nothing else is known.
    File { path: PathBuf, script: Script },
}

impl Source {
    pub(super) fn read(path: &Path, layout: Option<Layout>) -> Result<Self, Failure> {
        let metadata = fs::metadata(path)
            .map_err(|error| Failure::usage(format!("could not read {}", path.display())).because(&error))?;
        if metadata.is_dir() {
            let directory = directory::read_directory(path, layout)?;
            return Ok(Self::Directory { path: path.to_owned(), directory, only: None });
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        match directory::read_directory(parent, layout) {
            Ok(directory) => {
                let source =
                    Self::Directory { path: parent.to_owned(), directory, only: Some(path.to_owned()) };
                if source.scripts().any(|script| !script.is_context) { Ok(source) } else { file(path) }
            }
            Err(error) if layout.is_some() || is_about(&error, path) => Err(error.into()),
            // It stands among files that are no migrations.
            Err(_) => file(path),
        }
    }

    pub(super) fn scripts(&self) -> Box<dyn Iterator<Item = ScriptToLint<'_>> + '_> {
        match self {
            Self::Directory { path, directory, only } => {
                let native = directory.layout == Layout::Native;
                let scripts = directory.migrations.iter().flat_map(move |migration| {
                    ScriptToLint::of(migration, |file| {
                        let below = if native { file.to_owned() } else { migration.file_name(file) };
                        shown(&path.join(below))
                    })
                });
                let only = only.as_ref().map(|path| shown(path));
                Box::new(scripts.map(move |script| ScriptToLint {
                    is_context: only.as_ref().is_some_and(|only| script.file != *only),
                    ..script
                }))
            }
            Self::File { path, script } => Box::new(std::iter::once(ScriptToLint {
                file: shown(path),
                migration: "",
                script,
                role: role(path),
                rerun_is_safe: true,
                saves: true,
                is_context: false,
            })),
        }
    }

    /// For people: which layout was found, and what was passed over.
    pub(super) fn notes(&self) -> Vec<String> {
        match self {
            Self::Directory { directory, only: None, path } if directory.layout != Layout::Native => {
                let layout = format!("layout of {}: {}", shown(path), directory.layout);
                std::iter::once(layout).chain(directory.notes.iter().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn file(path: &Path) -> Result<Source, Failure> {
    let failed = |why: &dyn std::error::Error| Failure::usage(format!("{}: {why}", path.display()));
    let bytes = fs::read(path)
        .map_err(|error| Failure::usage(format!("could not read {}", path.display())).because(&error))?;
    let reading = Reading { must_do_something: false, ..Reading::default() };
    let script = Script::parse_as(&bytes, reading).map_err(|error| failed(&error))?;
    Ok(Source::File { path: path.to_owned(), script })
}

/// Whether it says what is wrong inside of this very file.
fn is_about(error: &DirectoryError, path: &Path) -> bool {
    let DirectoryError::Layout(LayoutError::Marker { .. } | LayoutError::Inside { .. }) = error else {
        return false;
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    error.to_string().contains(&format!("{name}: "))
}

/// By the names that tools give to the way back.
fn role(path: &Path) -> Role {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let flyways = name.starts_with('u') && name.contains("__");
    if name == "down.sql" || name.ends_with(".down.sql") || flyways { Role::Down } else { Role::Up }
}

fn shown(path: &Path) -> String {
    let path = path.strip_prefix(".").unwrap_or(path);
    path.to_string_lossy().into_owned()
}
