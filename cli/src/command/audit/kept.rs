//! The heads that the server has signed over time, as its file has them, or as somebody has kept what its webhook was sent.

use std::path::Path;

use serde::Deserialize;

use super::source::Head;
use crate::failure::Failure;

/// A line of the file, or the body of a call.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Head(Head),
    Call { data: Heads },
}

#[derive(Deserialize)]
struct Heads {
    heads: Vec<Head>,
}

/// One after the other, with anything white between them.
pub(super) fn heads(path: &Path, text: &str) -> Result<Vec<Head>, Failure> {
    let mut all = Vec::new();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Kept>();
    loop {
        let before = values.byte_offset();
        match values.next() {
            None => return Ok(all),
            Some(Ok(Kept::Head(head))) => all.push(head),
            Some(Ok(Kept::Call { data })) => all.extend(data.heads),
            // Whoever wrote it was killed while writing the last one.
            Some(Err(error)) if error.is_eof() => return Ok(all),
            Some(Err(error)) => {
                let rest = text.get(before..).unwrap_or_default();
                let white = rest.len() - rest.trim_start().len();
                let line = text.get(..before + white).unwrap_or(text).matches('\n').count() + 1;
                let place = format!("{}:{line}: this is no signed head", path.display());
                return Err(Failure::usage(place).because(&error).with_hint(
                    "--heads is the server's audit.heads, or the calls that its webhook got, one after the other",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"seq":1,"hash":"aa","signature":"c2ln"}"#;

    fn seqs(text: &str) -> Result<Vec<u64>, Failure> {
        Ok(heads(Path::new("heads"), text)?.iter().map(|head| head.seq).collect())
    }

    #[test]
    fn the_servers_file_and_the_calls_of_its_webhook_are_both_read() {
        let second = HEAD.replacen('1', "2", 1);
        let call =
            format!(r#"{{"type":"audit.heads","data":{{"public_key":"k","heads":[{HEAD},{second}]}}}}"#);
        assert_eq!(seqs("").unwrap(), [0; 0]);
        assert_eq!(seqs(&format!("{HEAD}\n{second}\n")).unwrap(), [1, 2]);
        assert_eq!(seqs(&format!("{call}\n{HEAD}\n")).unwrap(), [1, 2, 1]);
        let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(&call).unwrap());
        assert_eq!(seqs(&format!("{}{call}", pretty.unwrap())).unwrap(), [1, 2, 1, 2]);
        assert_eq!(seqs(&format!("{HEAD}\n{}", &second[..20])).unwrap(), [1], "the server was killed");
    }

    #[test]
    fn what_is_neither_is_named_with_its_line() {
        for (text, line) in
            [(format!("{HEAD}\n\n{{\"seq\":2}}\n{HEAD}\n"), 3), (format!("{HEAD}\nhello\n"), 2)]
        {
            let error = format!("{:?}", seqs(&text).unwrap_err());
            assert!(error.contains(&format!("heads:{line}: this is no signed head")), "{error}");
        }
    }
}
