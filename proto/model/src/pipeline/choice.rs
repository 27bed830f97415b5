//! Keys whose value is one of a few words.

use toml::Spanned;

use crate::config::ConfigError;

/// What a key's word stands for; None where the key is not written.
pub(super) fn read<T: Copy>(
    key: &str,
    written: Option<&Spanned<String>>,
    words: &[(&str, T)],
    file: &str,
    text: &str,
) -> Result<Option<T>, ConfigError> {
    let Some(written) = written else { return Ok(None) };
    let read = of(key, written.get_ref(), words);
    read.map(Some).map_err(|message| ConfigError::at(file, text, Some(written.span()), message))
}

/// What a word stands for, or the words that there are.
pub(super) fn of<T: Copy>(what: &str, word: &str, words: &[(&str, T)]) -> Result<T, String> {
    match words.iter().find(|(known, _)| *known == word) {
        Some((_, value)) => Ok(*value),
        None => Err(format!("unknown {what} `{word}`; use {}", either(words))),
    }
}

/// `"refuse", "warn" or "allow"`
fn either<T>(words: &[(&str, T)]) -> String {
    let mut quoted: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
    let last = quoted.pop().unwrap_or_default();
    if quoted.is_empty() { last } else { format!("{} or {last}", quoted.join(", ")) }
}
