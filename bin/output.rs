//! Printing: tables for people, JSON and raw bytes for programs.

use std::io::{self, IsTerminal as _, Write};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tidings_gateway::json::Row;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Jsonl,
    /// The bytes as they are.
    Raw,
}

/// Standard output, buffered. Dropping it does not flush: [`flush`](io::Write::flush) tells of a
/// reader that went away, and a drop could not.
pub(crate) fn stdout() -> io::BufWriter<io::Stdout> {
    io::BufWriter::new(io::stdout())
}

/// Prints a line, like `println!`, except that a reader who has enough ends the program quietly.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::print_line(format_args!($($argument)*))
    };
}
pub(crate) use say;

/// What unwinds when nobody reads standard output any more. It unwinds, rather than exits, so that
/// everything that was started is stopped on the way.
#[derive(Debug)]
pub(crate) struct Unread;

/// Prints a line; see [`say`].
pub(crate) fn print_line(line: std::fmt::Arguments<'_>) {
    if writeln!(io::stdout(), "{line}").is_err() {
        std::panic::resume_unwind(Box::new(Unread));
    }
}

/// Prints one JSON document: indented for `json`, on one line otherwise.
pub(crate) fn document(format: Format, document: &impl Serialize) -> io::Result<()> {
    let mut out = stdout();
    if format == Format::Json {
        serde_json::to_writer_pretty(&mut out, document)?;
    } else {
        serde_json::to_writer(&mut out, document)?;
    }
    out.write_all(b"\n")?;
    out.flush()
}

/// Prints a list: one document for `json`, a line per element otherwise.
pub(crate) fn documents<T: Serialize>(format: Format, list: &[T]) -> io::Result<()> {
    if format == Format::Json {
        return document(format, &list);
    }
    let mut out = stdout();
    for element in list {
        line(&mut out, element)?;
    }
    out.flush()
}

/// Writes one JSON document as a line.
pub(crate) fn line(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    out.write_all(b"\n")
}

/// Writes a row: a line of JSON, or its key and value with what stands between them and after.
pub(crate) fn row(out: &mut impl Write, format: Format, row: &Row) -> io::Result<()> {
    match format {
        Format::Json | Format::Jsonl => line(out, row),
        Format::Raw => {
            out.write_all(&row.key)?;
            if let Some(value) = &row.value {
                out.write_all(b"\t")?;
                out.write_all(value)?;
            }
            out.write_all(b"\n")
        }
        Format::Table => match &row.value {
            Some(value) => writeln!(out, "{}\t{}", shown(&row.key), shown(value)),
            None => writeln!(out, "{}", shown(&row.key)),
        },
    }
}

/// Bytes for people: text as it is, with control characters and what is not UTF-8 escaped, so that
/// stored data cannot drive a terminal.
pub(crate) fn shown(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Columns for people, aligned, under a heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|text| (*text).to_owned()).collect()] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The lines, each indented by `indent` spaces. Columns of numbers are flush right.
    pub(crate) fn lines(&self, indent: usize) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| console::measure_text_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let numeric: Vec<bool> = (0..columns)
            .map(|column| {
                let mut cells = self.rows.iter().skip(1).filter_map(|row| row.get(column));
                self.rows.len() > 1 && cells.all(|cell| is_number(cell))
            })
            .collect();
        let lines = self.rows.iter().enumerate().map(|(index, row)| {
            let mut line = " ".repeat(indent);
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - console::measure_text_width(cell));
                let cell =
                    if index == 0 { console::style(cell).bold().to_string() } else { cell.clone() };
                if numeric[column] {
                    line += &padding;
                    line += &cell;
                } else {
                    line += &cell;
                    line += &padding;
                }
                line += "  ";
            }
            line.truncate(line.trim_end().len());
            line
        });
        lines.collect()
    }

    pub(crate) fn print(&self) -> io::Result<()> {
        let mut out = stdout();
        for line in self.lines(0) {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

/// Whether a cell is a number, with or without a unit after it, or stands for one that is missing.
fn is_number(cell: &str) -> bool {
    let cell = console::strip_ansi_codes(cell);
    let number = cell.split(' ').next().unwrap_or_default();
    number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))
}

/// A count with thousands apart: `12 345`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The end of a peer id, which is the part that differs.
pub(crate) fn short(peer: &str) -> String {
    peer.char_indices().rev().nth(5).map_or(peer.to_owned(), |(at, _)| format!("…{}", &peer[at..]))
}

/// A progress bar on standard error, hidden off a terminal; without a length, how far it is only.
pub(crate) fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let bar = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Whether standard output is read by a person.
pub(crate) fn on_terminal() -> bool {
    io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_bytes_cannot_drive_a_terminal() {
        assert_eq!(shown("é\u{1b}[2J\n".as_bytes()), "é\\u{1b}[2J\\n");
        assert_eq!(shown(b"a\xff\x00"), "a\\xff\\u{0}");
    }

    #[test]
    fn columns_are_aligned_and_numbers_flush_right() {
        let mut table = Table::new(&["name", "keys"]);
        table.row(["a".into(), "7".into()]);
        table.row(["longer".into(), count(12_345)]);
        let lines: Vec<String> = table
            .lines(1)
            .iter()
            .map(|line| console::strip_ansi_codes(line).into_owned())
            .collect();
        assert_eq!(lines, [" name      keys", " a            7", " longer  12 345"]);
    }

    #[test]
    fn a_row_prints_its_bytes_raw() {
        let mut out = Vec::new();
        row(&mut out, Format::Raw, &Row::new([0xff], [0])).unwrap();
        assert_eq!(out, b"\xff\t\0\n");
    }

    #[test]
    fn short_peer_ids_keep_their_end() {
        assert_eq!(short("12D3KooWabcdef"), "…abcdef");
        assert_eq!(short("abc"), "abc");
    }
}
