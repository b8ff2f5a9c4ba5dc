//! `tidings import PATH FILE`
//!
//! Lines become batches, and several batches are on their way at once. Two lines with the same key are
//! never on their way together: the second waits, so that the last line of a key wins as if the lines
//! had been written one by one.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Args;
use indicatif::ProgressBar;
use tidings::limits;
use tidings_gateway::client::Write;
use tidings_gateway::json::{Operation, Row};
use tidings_gateway::{Client, duration};
use tokio::task::JoinSet;

use super::{Context, Keyspace, WriteArguments};
use crate::exit::Failure;
use crate::output;

/// Batches on their way at once: enough to keep the peer busy while the next ones are read.
const IN_FLIGHT: usize = 4;
/// Writes in a batch. Larger ones gain nothing and hold up others.
const BATCH_WRITES: usize = 2000;
/// Bytes of keys and values in a batch, under the bound of a batch.
const BATCH_BYTES: usize = limits::BATCH_BYTES_MAX / 2;
/// Longest line: the largest entry with every byte a six-byte escape, and some slack.
const LINE_MAX: usize = 6 * (limits::VALUE_MAX + limits::KEY_MAX) + 4096;

const _: () =
    assert!(BATCH_WRITES <= limits::BATCH_WRITES_MAX && BATCH_BYTES < limits::BATCH_BYTES_MAX);

/// Writes a file of JSON lines into a database.
///
/// A line is `{"key": "a", "value": "1"}`, where `"expires": "2026-11-21T16:00:00.000Z"` may follow: from
/// then on the entry is hidden, at once if that has passed. Bytes that are not UTF-8 go as `key_base64`
/// and `value_base64`. These are ordinary writes: what is there already and not in the file stays. A
/// line that is not understood stops the import; the lines before it are written, and nothing after it.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The path of the database.
    path: String,
    /// The file; `-` is standard input.
    file: PathBuf,
    /// Hide entries without `expires` this long after the write, such as 30s or 7d.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    ttl: Option<Duration>,
    #[command(flatten)]
    keyspace: Keyspace,
    #[command(flatten)]
    write: WriteArguments,
}

impl Import {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = Arc::new(context.client_in(self.keyspace)?);
        let (reader, bar) = open(&self.file)?;
        let write = self.write.write(self.ttl);
        let mut writer = Writer::new(client, self.path, write);
        let result = import(reader, &bar, &mut writer).await;
        bar.finish_and_clear();
        let written = output::count(writer.written);
        match result {
            Ok(()) => {
                eprintln!("{written} records");
                Ok(())
            }
            Err(Stop::Line(failure)) => Err(failure.context(|why| {
                format!("{why}\n{written} records were written, and nothing after them")
            })),
            Err(Stop::Peer(failure)) => Err(failure.context(|why| {
                format!(
                    "{why}\n{written} records were acknowledged, and others may have been written"
                )
            })),
        }
    }
}

/// Why an import stopped early.
enum Stop {
    /// A line cannot be read or understood.
    Line(Failure),
    /// The peer did not take a batch.
    Peer(Failure),
}

type Source = Box<dyn BufRead + Send>;

fn open(file: &Path) -> Result<(Source, ProgressBar), Failure> {
    if file == Path::new("-") {
        return Ok((Box::new(BufReader::new(io::stdin())), ProgressBar::no_length()));
    }
    let failed = |error: io::Error| Failure::file("import", file, &error);
    let source = File::open(file).map_err(failed)?;
    let length = source.metadata().map_err(failed)?.len();
    let bar = output::bar(
        Some(length),
        "{bar:40} {binary_bytes} of {binary_total_bytes}  {msg}  {binary_bytes_per_sec}  eta {eta}",
    );
    Ok((Box::new(BufReader::with_capacity(1 << 18, source)), bar))
}

async fn import(mut reader: Source, bar: &ProgressBar, writer: &mut Writer) -> Result<(), Stop> {
    let mut line = Vec::new();
    let mut number = 0_u64;
    let outcome = loop {
        line.clear();
        number += 1;
        match read_line(&mut reader, &mut line) {
            Ok(0) => break Ok(()),
            Ok(bytes) => bar.inc(bytes as u64),
            Err(error) => break Err(Failure::usage(format!("line {number}: {error}"))),
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match parse(&line) {
            Ok(record) => {
                if let Err(failure) = writer.add(record).await {
                    // The batches on their way are awaited all the same, so that the count is right.
                    while writer.drain(0).await.is_err() {}
                    return Err(Stop::Peer(failure));
                }
            }
            Err(why) => break Err(Failure::usage(format!("line {number}: {why}"))),
        }
        if number.is_multiple_of(1024) {
            bar.set_message(format!("{} records", output::count(writer.written)));
        }
    };
    // What stands before a line that is not understood is written before that line is told of.
    if let Err(failure) = writer.finish().await {
        while writer.drain(0).await.is_err() {}
        return Err(Stop::Peer(failure));
    }
    outcome.map_err(Stop::Line)
}

/// Reads a line of bounded length; 0 at the end.
fn read_line(reader: &mut Source, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut bounded = io::Read::take(&mut *reader, LINE_MAX as u64 + 1);
    let bytes = bounded.read_until(b'\n', line)?;
    if bytes > LINE_MAX {
        let why = format!("it has more than {LINE_MAX} bytes, more than any entry needs");
        return Err(io::Error::other(why));
    }
    Ok(bytes)
}

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    key: Vec<u8>,
    value: Vec<u8>,
    expires: Option<SystemTime>,
}

impl From<Record> for Row {
    fn from(record: Record) -> Self {
        Row { expires: record.expires, ..Row::new(record.key, record.value) }
    }
}

fn parse(line: &[u8]) -> Result<Record, String> {
    let row: Row = serde_json::from_slice(line).map_err(|error| {
        let text = error.to_string();
        let why = text.rsplit_once(" at line ").map_or(text.as_str(), |(why, _)| why);
        format!("{why}, at column {}", error.column())
    })?;
    let value = row.value.ok_or("`value` or `value_base64` is missing")?;
    if row.key.is_empty() || row.key.len() > limits::KEY_MAX {
        return Err(tidings::Error::KeyLength { length: row.key.len() }.to_string());
    }
    if value.len() > limits::VALUE_MAX {
        return Err(tidings::Error::ValueLength { length: value.len() }.to_string());
    }
    Ok(Record { key: row.key, value, expires: row.expires })
}

/// Gathers records into batches and keeps several of them on their way.
struct Writer {
    client: Arc<Client>,
    path: String,
    write: Write,
    /// The batch being gathered: where each key stands in it.
    positions: HashMap<Vec<u8>, usize>,
    batch: Vec<Record>,
    /// How many lines they were.
    records: u64,
    bytes: usize,
    in_flight: JoinSet<Result<u64, Failure>>,
    keys_in_flight: HashSet<Vec<u8>>,
    /// Records that the peer has acknowledged.
    written: u64,
}

impl Writer {
    fn new(client: Arc<Client>, path: String, write: Write) -> Self {
        Self {
            client,
            path,
            write,
            positions: HashMap::new(),
            batch: Vec::new(),
            records: 0,
            bytes: 0,
            in_flight: JoinSet::new(),
            keys_in_flight: HashSet::new(),
            written: 0,
        }
    }

    async fn add(&mut self, record: Record) -> Result<(), Failure> {
        if self.keys_in_flight.contains(&record.key) {
            self.drain(0).await?;
        }
        let bytes = record.key.len() + record.value.len();
        if self.batch.len() >= BATCH_WRITES || self.bytes + bytes > BATCH_BYTES {
            self.send().await?;
        }
        self.records += 1;
        self.bytes += bytes;
        if let Some(position) = self.positions.get(&record.key) {
            let earlier = std::mem::replace(&mut self.batch[*position], record);
            self.bytes -= earlier.key.len() + earlier.value.len();
        } else {
            self.positions.insert(record.key.clone(), self.batch.len());
            self.batch.push(record);
        }
        if self.bytes > BATCH_BYTES {
            self.send().await?;
        }
        Ok(())
    }

    /// Sends what was gathered. One record alone goes as a put, which may be larger than a batch.
    async fn send(&mut self) -> Result<(), Failure> {
        self.drain(IN_FLIGHT - 1).await?;
        let batch = std::mem::take(&mut self.batch);
        let records = std::mem::take(&mut self.records);
        self.bytes = 0;
        self.keys_in_flight.extend(std::mem::take(&mut self.positions).into_keys());
        let (client, path, mut write) =
            (Arc::clone(&self.client), self.path.clone(), self.write.clone());
        self.in_flight.spawn(async move {
            match <[_; 1]>::try_from(batch) {
                Ok([Record { key, value, expires }]) => {
                    write.expires = expires;
                    client.put(&path, &key, value, &write).await?;
                }
                Err(batch) if batch.is_empty() => {}
                Err(batch) => {
                    let mut lines = Vec::new();
                    for record in batch {
                        output::line(&mut lines, &Operation::Put(record.into()))?;
                    }
                    client.batch_lines(&path, lines, &write, false).await?;
                }
            }
            Ok(records)
        });
        Ok(())
    }

    /// Waits until at most `left` batches are on their way.
    async fn drain(&mut self, left: usize) -> Result<(), Failure> {
        while self.in_flight.len() > left {
            match self.in_flight.join_next().await {
                None => break,
                Some(Ok(records)) => self.written += records?,
                Some(Err(error)) => return Err(Failure::internal(error.to_string())),
            }
        }
        if self.in_flight.is_empty() {
            self.keys_in_flight.clear();
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        self.send().await?;
        self.drain(0).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_key_and_a_value() {
        let record = Record { key: b"a".to_vec(), value: Vec::new(), expires: None };
        assert_eq!(parse(br#"{"key":"a","value":""}"#), Ok(record));
        for (line, why) in [
            (r#"{"key":"a"}"#, "`value` or `value_base64` is missing"),
            (r#"{"key":"","value":"x"}"#, "a key of 0 bytes"),
            (r#"{"key":"a","value":"x"#, "at column"),
            (r#"{"key":"a","valeu":"x"}"#, "unknown field `valeu`"),
            (r#"{"key":"a","value":"x","expires":"7d"}"#, "\"7d\" is not a moment"),
            ("a,b", "expected value, at column 1"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
