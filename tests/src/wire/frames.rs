//! PostgreSQL's messages, cut out of a stream of bytes: a type, a length that counts itself, and what they carry.

/// What has come and was not taken yet.
#[derive(Debug)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    taken: usize,
    /// The frontend's first message has no type.
    starting: bool,
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    /// None for the start-up.
    kind: Option<u8>,
    pub(super) bytes: &'a [u8],
}

impl Frames {
    pub(super) fn of_frontend() -> Self {
        Self { bytes: Vec::new(), taken: 0, starting: true }
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
        Some(Message { kind, bytes })
    }
}

impl Message<'_> {
    /// Whether it is a Query or a Parse with this text.
    pub(super) fn holds(&self, text: &str) -> bool {
        matches!(self.kind, Some(b'Q' | b'P'))
            && self.bytes.windows(text.len()).any(|window| window == text.as_bytes())
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

#[cfg(test)]
mod tests {
    use super::*;

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
