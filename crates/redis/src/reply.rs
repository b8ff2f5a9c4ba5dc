//! Answers on their way out: the forms of RESP2 and RESP3, appended to one buffer.

use crate::number;

/// Capacity that an idle connection keeps for its answers, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// RESP2, until `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// Answers that were not sent yet. Whoever begins a collection appends as many items as it says.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    protocol: Protocol,
    errors: u64,
}

impl Output {
    /// What is to be sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was sent, and the space for what was unusually long.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// How many errors there were since this was asked.
    pub(crate) fn take_errors(&mut self) -> u64 {
        std::mem::take(&mut self.errors)
    }

    /// The version of the protocol.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Speaks another version from now on.
    pub(crate) fn speak(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    fn head(&mut self, kind: u8, number: i64) {
        self.bytes.push(kind);
        number::append(&mut self.bytes, number);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A simple string: a word without line ends.
    pub(crate) fn simple(&mut self, text: &str) {
        self.bytes.push(b'+');
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// `+OK`.
    pub(crate) fn ok(&mut self) {
        self.bytes.extend_from_slice(b"+OK\r\n");
    }

    /// An error: a code word in capitals and a sentence. Line ends in it become blanks.
    pub(crate) fn error(&mut self, text: &str) {
        self.errors += 1;
        self.bytes.push(b'-');
        let line = text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte });
        self.bytes.extend(line);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// A number.
    pub(crate) fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    /// How many there are of something.
    pub(crate) fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Any bytes.
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        // At most 20 digits, the sign of the kind, and two line ends.
        self.bytes.reserve(bytes.len() + 25);
        self.head(b'$', bytes.len() as i64);
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Text for people, which RESP3 tells from other strings.
    pub(crate) fn verbatim(&mut self, text: &str) {
        if self.is_resp3() {
            self.head(b'=', text.len() as i64 + 4);
            self.bytes.extend_from_slice(b"txt:");
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// No value.
    pub(crate) fn null(&mut self) {
        self.bytes.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// A value, or none.
    pub(crate) fn value(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.bulk(value),
            None => self.null(),
        }
    }

    /// Begins an array.
    pub(crate) fn array(&mut self, items: usize) {
        self.head(b'*', items as i64);
    }

    /// Begins a map of so many pairs; in RESP2 an array of keys and values.
    pub(crate) fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            self.head(b'%', pairs as i64);
        } else {
            self.array(pairs * 2);
        }
    }

    /// Begins a set; in RESP2 an array.
    pub(crate) fn set(&mut self, items: usize) {
        self.head(if self.is_resp3() { b'~' } else { b'*' }, items as i64);
    }

    /// Begins what nobody asked for just now; in RESP2 an array.
    pub(crate) fn push(&mut self, items: usize) {
        self.head(if self.is_resp3() { b'>' } else { b'*' }, items as i64);
    }

    /// Appends what was encoded before.
    pub(crate) fn encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Output)) -> String {
        let mut out = Output::default();
        out.speak(protocol);
        write(&mut out);
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    #[test]
    fn the_two_versions_have_their_own_forms() {
        let both = |write: fn(&mut Output)| {
            [written(Protocol::Resp2, write), written(Protocol::Resp3, write)]
        };
        assert_eq!(both(Output::null), ["$-1\r\n", "_\r\n"]);
        assert_eq!(both(|out| out.map(2)), ["*4\r\n", "%2\r\n"]);
        assert_eq!(both(|out| out.set(2)), ["*2\r\n", "~2\r\n"]);
        assert_eq!(both(|out| out.push(3)), ["*3\r\n", ">3\r\n"]);
        assert_eq!(both(|out| out.verbatim("hi")), ["$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"]);
        assert_eq!(both(|out| out.integer(-7)), [":-7\r\n", ":-7\r\n"]);
        assert_eq!(both(|out| out.bulk(b"")), ["$0\r\n\r\n", "$0\r\n\r\n"]);
    }

    #[test]
    fn an_error_stays_on_its_line() {
        let error = written(Protocol::Resp2, |out| out.error("ERR a\r\n+OK"));
        assert_eq!(error, "-ERR a  +OK\r\n");
    }
}
