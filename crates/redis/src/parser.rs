//! Requests out of bytes, whatever the pieces they arrive in.
//!
//! The parser goes on where it stopped, so that a request in a thousand pieces costs no more than in
//! one. It keeps places in the buffer, not copies. A request is an array of bulk strings, or a line of
//! words for people at a terminal; nothing nests.
//!
//! Every length is checked before anything is kept for it. A request that is legal in Redis and too
//! large here is read to its end without being kept, so that it has an answer and the connection goes
//! on; what breaks the protocol ends the connection, as it does in Redis.

use tidings::limits::VALUE_MAX;

use crate::number;

/// Longest line: a request of words, or a length. As in Redis.
const LINE_MAX: usize = 64 << 10;
/// Most items of an array that are read at all; more break the protocol, as in Redis.
const ITEMS_MAX: i64 = 1 << 20;
/// Longest bulk string that is read at all; longer ones break the protocol, as in Redis with its
/// default `proto-max-bulk-len`.
const BULK_MAX: i64 = 512 << 20;
/// Most arguments of a request that is kept: an `MSET` of as many pairs as a batch may have, and some.
pub(crate) const ARGUMENTS_MAX: usize = 32 << 10;
/// Most bytes of a request that is kept: the longest value with room for its key and options, or an
/// `MGET` of ten thousand of the longest keys.
pub(crate) const REQUEST_BYTES_MAX: usize = 16 << 20;

/// What the bytes came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More bytes are needed.
    More,
    /// So many bytes are done with, and say nothing: an empty line or array, or a part of what is too
    /// large.
    Skip(usize),
    /// A request of so many bytes; [`Parser::arguments`] has it.
    Request(usize),
    /// The end of a request that was too large, so many bytes further.
    TooLarge(usize, TooLarge),
}

/// Why a request was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooLarge {
    /// One argument of so many bytes.
    Argument(usize),
    /// So many arguments.
    Count(usize),
    /// So many bytes and more in all.
    Request(usize),
}

impl TooLarge {
    /// The answer.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Argument(length) => {
                format!("ERR {}", tidings::Error::ValueLength { length })
            }
            Self::Count(count) => format!(
                "ERR a command of {count} arguments: at most {ARGUMENTS_MAX} are taken; split it"
            ),
            Self::Request(bytes) => format!(
                "ERR a command of more than {bytes} bytes: at most {REQUEST_BYTES_MAX} are taken; split it"
            ),
        }
    }
}

/// What no request can begin with: the connection ends after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolError {
    /// A line of words without an end.
    InlineTooLong,
    /// A quote without its other one.
    Quotes,
    /// The line with the number of items has no end.
    CountTooLong,
    /// The number of items is none.
    Count,
    /// The line with the length of an item has no end.
    LengthTooLong,
    /// The length of an item is none.
    Length,
    /// An item is no bulk string.
    Item(u8),
}

impl ProtocolError {
    /// The answer, in the words of Redis.
    pub(crate) fn text(self) -> String {
        let why = match self {
            Self::InlineTooLong => "too big inline request",
            Self::Quotes => "unbalanced quotes in request",
            Self::CountTooLong => "too big mbulk count string",
            Self::Count => "invalid multibulk length",
            Self::LengthTooLong => "too big bulk count string",
            Self::Length => "invalid bulk length",
            Self::Item(byte) => {
                let shown = if byte.is_ascii_graphic() || byte == b' ' { byte } else { b'?' };
                return format!("ERR Protocol error: expected '$', got '{}'", shown as char);
            }
        };
        format!("ERR Protocol error: {why}")
    }
}

/// A place in the buffer, from and to.
pub(crate) type Place = (u32, u32);
/// Places that an idle connection keeps space for.
const KEPT_PLACES: usize = 1024;

/// Reads requests; see the module.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    arguments: Vec<Place>,
    /// The words of a line, without their quotes.
    words: Vec<u8>,
    inline: bool,
    /// How far the bytes at the front of the buffer are understood.
    position: usize,
    /// Items of the array that are still to come; `None` between requests.
    missing: Option<usize>,
    /// The length of the item whose bytes are to come.
    length: Option<usize>,
    /// Set while the request is read without being kept.
    refused: Option<TooLarge>,
    /// Bytes of the item that are still to be skipped.
    skipping: usize,
    /// Bytes of arguments kept so far.
    kept: usize,
}

/// A request: its words, the name of the command first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    bytes: &'a [u8],
    places: &'a [Place],
}

impl<'a> Arguments<'a> {
    /// Those of a request that is kept elsewhere.
    pub(crate) fn new(bytes: &'a [u8], places: &'a [Place]) -> Self {
        Self { bytes, places }
    }

    /// How many there are, the name of the command included.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// One of them; empty where there is none.
    pub(crate) fn at(&self, index: usize) -> &'a [u8] {
        let place = self.places.get(index);
        place
            .and_then(|(from, to)| self.bytes.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }

    /// Those from one on.
    pub(crate) fn from(&self, index: usize) -> Self {
        Self { bytes: self.bytes, places: self.places.get(index..).unwrap_or_default() }
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.places
            .iter()
            .map(move |(from, to)| bytes.get(*from as usize..*to as usize).unwrap_or_default())
    }
}

impl Parser {
    /// The request that [`Step::Request`] told of, while the buffer is as it was.
    pub(crate) fn arguments<'a>(&'a self, buffer: &'a [u8]) -> Arguments<'a> {
        let bytes = if self.inline { &self.words } else { buffer };
        Arguments { bytes, places: &self.arguments }
    }

    /// Whether a request has begun and is not complete.
    pub(crate) fn is_amid(&self) -> bool {
        self.missing.is_some()
    }

    /// How many bytes it makes sense to read, at least, before asking again.
    pub(crate) fn wanted(&self, buffered: usize) -> usize {
        let item = self.length.map_or(0, |length| length + 2);
        (self.position + item).saturating_sub(buffered)
    }

    /// Reads on. The buffer begins with the first byte that no answer was done with.
    ///
    /// # Errors
    /// [`ProtocolError`]: nothing more can be read from this connection.
    pub(crate) fn next(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        loop {
            if self.skipping > 0 {
                return Ok(self.skip(buffer));
            }
            let Some(missing) = self.missing else {
                match buffer.first() {
                    None => return Ok(Step::More),
                    Some(b'*') => {
                        if let Some(step) = self.begin(buffer)? {
                            return Ok(step);
                        }
                        continue;
                    }
                    Some(_) => return self.line_of_words(buffer),
                }
            };
            if missing == 0 {
                return Ok(self.finish());
            }
            let Some(length) = self.length else {
                if let Some(step) = self.item(buffer)? {
                    return Ok(step);
                }
                continue;
            };
            let end = self.position + length;
            if buffer.len() < end + 2 {
                return Ok(Step::More);
            }
            self.arguments.push((self.position as u32, end as u32));
            self.position = end + 2;
            self.length = None;
            self.missing = Some(missing - 1);
        }
    }

    /// The number of items.
    fn begin(&mut self, buffer: &[u8]) -> Result<Option<Step>, ProtocolError> {
        let Some((text, end)) = line(&buffer[1..], ProtocolError::CountTooLong)? else {
            return Ok(Some(Step::More));
        };
        let count = number::parse(text).filter(|count| *count <= ITEMS_MAX);
        let count = count.ok_or(ProtocolError::Count)?;
        self.arguments.clear();
        self.arguments.shrink_to(KEPT_PLACES);
        self.inline = false;
        self.kept = 0;
        if count <= 0 {
            return Ok(Some(Step::Skip(end + 1)));
        }
        let count = count as usize;
        self.missing = Some(count);
        self.position = end + 1;
        self.refused = (count > ARGUMENTS_MAX).then_some(TooLarge::Count(count));
        Ok(None)
    }

    /// The length of one item.
    fn item(&mut self, buffer: &[u8]) -> Result<Option<Step>, ProtocolError> {
        let rest = buffer.get(self.position..).unwrap_or_default();
        match rest.first() {
            None => return Ok(Some(self.more())),
            Some(b'$') => {}
            Some(other) => return Err(ProtocolError::Item(*other)),
        }
        let Some((text, end)) = line(&rest[1..], ProtocolError::LengthTooLong)? else {
            return Ok(Some(self.more()));
        };
        let length = number::parse(text).filter(|length| (0..=BULK_MAX).contains(length));
        let length = length.ok_or(ProtocolError::Length)? as usize;
        self.position += end + 1;
        self.kept += length;
        if self.refused.is_none() {
            if length > VALUE_MAX {
                self.refused = Some(TooLarge::Argument(length));
            } else if self.kept > REQUEST_BYTES_MAX {
                self.refused = Some(TooLarge::Request(self.kept));
            }
        }
        if self.refused.is_some() {
            self.skipping = length + 2;
            return Ok(None);
        }
        self.length = Some(length);
        Ok(None)
    }

    /// Needs more; of a request that is not kept, what is understood can go.
    fn more(&mut self) -> Step {
        if self.refused.is_some() && self.position > 0 {
            return Step::Skip(std::mem::take(&mut self.position));
        }
        Step::More
    }

    fn skip(&mut self, buffer: &[u8]) -> Step {
        let there = buffer.len().saturating_sub(self.position).min(self.skipping);
        self.skipping -= there;
        self.position += there;
        if self.skipping == 0 {
            self.missing = self.missing.map(|missing| missing - 1);
        }
        if self.position == 0 {
            return Step::More;
        }
        Step::Skip(std::mem::take(&mut self.position))
    }

    fn finish(&mut self) -> Step {
        self.missing = None;
        let length = std::mem::take(&mut self.position);
        match self.refused.take() {
            Some(why) => Step::TooLarge(length, why),
            None => Step::Request(length),
        }
    }

    /// A request in words.
    fn line_of_words(&mut self, buffer: &[u8]) -> Result<Step, ProtocolError> {
        let end = buffer.iter().take(LINE_MAX + 1).position(|byte| *byte == b'\n');
        let Some(end) = end else {
            let long = buffer.len() > LINE_MAX;
            return if long { Err(ProtocolError::InlineTooLong) } else { Ok(Step::More) };
        };
        let text = buffer[..end].strip_suffix(b"\r").unwrap_or(&buffer[..end]);
        self.arguments.clear();
        self.words.clear();
        self.inline = true;
        crate::words::split(text, &mut self.words, &mut self.arguments)
            .ok_or(ProtocolError::Quotes)?;
        Ok(if self.arguments.is_empty() { Step::Skip(end + 1) } else { Step::Request(end + 1) })
    }
}

/// The text up to a carriage return, and how many bytes it has with its line end.
fn line(bytes: &[u8], too_long: ProtocolError) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    match bytes.iter().take(LINE_MAX + 1).position(|byte| *byte == b'\r') {
        Some(end) if bytes.len() >= end + 2 => Ok(Some((&bytes[..end], end + 2))),
        None if bytes.len() > LINE_MAX => Err(too_long),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
