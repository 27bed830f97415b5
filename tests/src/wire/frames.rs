//! PostgreSQL's messages, cut out of a stream of bytes: a type, a length that counts itself, and what they carry.

use std::collections::HashMap;

/// What has come and was not taken yet.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
    /// The frontend's first message has no type.
    starting: bool,
    /// By their names, the messages that have prepared statements for later.
    prepared: HashMap<Vec<u8>, Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    /// None for the start-up.
    kind: Option<u8>,
    pub(super) bytes: &'a [u8],
    /// The message with the text of what it runs: itself, or the one that has prepared it. To prepare is not to run.
    runs: Option<&'a [u8]>,
}

impl Frames {
    pub(super) fn of_frontend() -> Self {
        Self { bytes: Vec::new(), taken: 0, starting: true, prepared: HashMap::new() }
    }

    pub(super) fn of_backend() -> Self {
        Self { starting: false, ..Self::of_frontend() }
    }

    /// Where to read more into.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        &mut self.bytes
    }

    /// The next message that has come whole.
    pub(super) fn next(&mut self) -> Option<Message<'_>> {
        let rest = &self.bytes[self.taken..];
        let head = usize::from(!self.starting);
        let length = u32::from_be_bytes(rest.get(head..head + 4)?.try_into().ok()?);
        let bytes = rest.get(..head + usize::try_from(length).ok()?)?;
        self.taken += bytes.len();
        let kind = (!self.starting).then(|| bytes[0]);
        self.starting = false;
        let runs = match (kind, named(bytes)) {
            (Some(b'Q'), _) | (Some(b'P'), None) => Some(bytes),
            (Some(b'P'), Some(name)) => {
                self.prepared.insert(name.to_vec(), bytes.to_vec());
                None
            }
            (Some(b'B'), Some(name)) => self.prepared.get(name).map(Vec::as_slice),
            _ => None,
        };
        Some(Message { kind, bytes, runs })
    }
}

impl Message<'_> {
    /// Whether it runs something with this text: as a Query, as a statement without a name, or one that was prepared.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.runs.is_some_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// Whether the server answers it with `ReadyForQuery`: the start-up, a Query, a Sync.
    pub(super) fn asks_for_an_answer(&self) -> bool {
        matches!(self.kind, Some(b'Q' | b'S'))
    }

    pub(super) fn is_ready_for_query(&self) -> bool {
        self.kind == Some(b'Z')
    }

    /// The pid in the server's `BackendKeyData`.
    pub(super) fn process_id(&self) -> Option<i32> {
        let pid = self.bytes.get(5..9).filter(|_| self.kind == Some(b'K'))?;
        Some(i32::from_be_bytes(pid.try_into().ok()?))
    }
}

/// The statement that a Parse or a Bind names; None for the one without a name.
fn named(bytes: &[u8]) -> Option<&[u8]> {
    let mut texts = bytes.get(5..)?.split(|byte| *byte == 0);
    let name = match bytes[0] {
        b'P' => texts.next(),
        // The portal's name comes first.
        b'B' => texts.nth(1),
        _ => None,
    };
    name.filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind], &length.to_be_bytes()[..], body].concat()
    }

    #[test]
    fn what_is_prepared_is_known_where_it_runs() {
        let mut frames = Frames { starting: false, ..Frames::of_frontend() };
        let said = [
            message(b'P', b"s1\0SELECT one\0\0\0"),
            message(b'P', b"\0SELECT two\0\0\0"),
            message(b'B', b"\0\0\0\0\0\0\0\0"),
            message(b'B', b"\0s1\0\0\0\0\0\0\0"),
            message(b'B', b"\0s2\0\0\0\0\0\0\0"),
        ];
        let mut runs = Vec::new();
        for said in said {
            frames.buffer().extend(said);
            let message = frames.next().unwrap();
            runs.push((message.holds("SELECT one"), message.holds("SELECT two")));
        }
        assert_eq!(runs, [(false, false), (false, true), (false, false), (true, false), (false, false)]);
    }

    #[test]
    fn messages_are_cut_wherever_the_bytes_end() {
        let mut stream = vec![0, 0, 0, 8, 0, 3, 0, 0];
        stream.extend(b"Q\0\0\0\x0bCOMMIT\0S\0\0\0\x04");
        let mut frames = Frames::of_frontend();
        let mut kinds = Vec::new();
        for byte in stream {
            frames.buffer().push(byte);
            if let Some(message) = frames.next() {
                kinds.push((message.kind, message.holds("COMMIT"), message.asks_for_an_answer()));
            }
        }
        assert_eq!(kinds, [(None, false, false), (Some(b'Q'), true, true), (Some(b'S'), false, true)]);
    }
}
