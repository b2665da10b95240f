//! Server-sent events: lines to events. <https://html.spec.whatwg.org/multipage/server-sent-events.html>

/// The largest event, in bytes: a snapshot of a large fleet.
const MAX_EVENT: usize = 256 << 20;

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its kind; empty if it has none.
    pub(super) name: String,
    pub(super) data: Vec<u8>,
}

/// What of a stream has not become an event yet.
#[derive(Debug, Default)]
pub(super) struct Events {
    line: Vec<u8>,
    name: String,
    data: Vec<u8>,
    has_data: bool,
}

/// An event is larger than anybody sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is over the limit of {MAX_EVENT} bytes")]
pub(super) struct TooLarge;

impl Events {
    /// Takes what came; calls `each` for every event that this completes.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(Event)) -> Result<(), TooLarge> {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            if let Some(event) = self.end_line() {
                each(event);
            }
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.data.len() > MAX_EVENT { Err(TooLarge) } else { Ok(()) }
    }

    /// An empty line ends an event.
    fn end_line(&mut self) -> Option<Event> {
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            return std::mem::take(&mut self.has_data).then_some(Event { name, data });
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            // A comment says that the stream is alive.
            Some(0) => return None,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            let each = |event: Event| all.push((event.name, String::from_utf8(event.data).unwrap()));
            events.take(piece, each).unwrap();
        }
        all
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = b": hello\n\nevent: put\ndata: {\"a\": 1}\nid: 7\n\ndata:x\r\ndata: y\r\n\r\nevent: none\n\n:\n\ndata\n\nrest";
        let expected = [("put", "{\"a\": 1}"), ("", "x\ny"), ("", "")];
        let expected: Vec<_> = expected.map(|(name, data)| (name.to_owned(), data.to_owned())).into();
        assert_eq!(events(&[text]), expected);
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut events = Events { line: vec![b'x'; MAX_EVENT], ..Events::default() };
        assert_eq!(events.take(b"", |_| {}), Ok(()));
        assert_eq!(events.take(b"x", |_| {}), Err(TooLarge));
    }
}
