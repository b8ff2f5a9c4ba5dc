//! `MULTI`, `EXEC` and `DISCARD`.
//!
//! A transaction of commands that only set values or count is one batch: all or nothing. Any other one is run
//! command by command, and the commands of other connections may run between them.

use std::ops::Range;

use tidings::{Batch, WriteOptions};

use crate::command::{Command, Spec};
use crate::parser::{Arguments, Place};
use crate::refusal::{Answer, Refusal};
use crate::reply::Output;
use crate::session::Session;
use crate::writes::{self, Form, Plan};

/// Most commands of a transaction: as many as a batch has writes.
const COMMANDS_MAX: usize = tidings::limits::BATCH_WRITES_MAX;
/// Most bytes of the commands of a transaction.
const BYTES_MAX: usize = crate::parser::REQUEST_BYTES_MAX;

/// The commands queued since `MULTI`.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    commands: Vec<Queued>,
    /// The words of all of them, one behind the other.
    bytes: Vec<u8>,
    /// Where each word lies.
    places: Vec<Place>,
    /// Whether one of them cannot run.
    spoilt: bool,
    /// Whether one of them may change what those behind it are for, or who sends them.
    moves: bool,
}

/// One queued command.
#[derive(Debug)]
struct Queued {
    spec: &'static Spec,
    /// Which of the places are its words.
    words: Range<usize>,
}

impl Transaction {
    /// How many commands are queued.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// How many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Place>()
    }

    /// Whether a command that is queued next may be for another database, or from another user, than the
    /// connection has now.
    pub(crate) fn moves(&self) -> bool {
        self.moves
    }

    /// Makes sure that it will not run.
    pub(crate) fn spoil(&mut self) {
        self.spoilt = true;
        self.commands.clear();
        self.bytes.clear();
        self.places.clear();
    }

    /// Keeps a command.
    ///
    /// # Errors
    /// When it cannot be part of a transaction, or the transaction is too large.
    pub(crate) fn queue(
        &mut self,
        spec: &'static Spec,
        arguments: Arguments<'_>,
        out: &mut Output,
    ) -> Answer {
        let refusal = self.check(spec, arguments);
        if let Some(refusal) = refusal {
            self.spoil();
            return Err(refusal);
        }
        self.moves |= matches!(spec.command, Command::Auth | Command::Hello | Command::Select);
        if !self.spoilt {
            let first = self.places.len();
            for word in arguments.iter() {
                let from = self.bytes.len() as u32;
                self.bytes.extend_from_slice(word);
                self.places.push((from, self.bytes.len() as u32));
            }
            self.commands.push(Queued { spec, words: first..self.places.len() });
        }
        out.simple("QUEUED");
        Ok(())
    }

    fn check(&self, spec: &Spec, arguments: Arguments<'_>) -> Option<Refusal> {
        if spec.flags == "pubsub" {
            let name = spec.name.to_uppercase();
            return Some(
                format!("ERR {name} cannot be part of a transaction: send it before MULTI").into(),
            );
        }
        let words = arguments.iter().map(|word| word.len() + size_of::<Place>());
        let bytes = self.bytes() + words.sum::<usize>();
        let commands = self.commands.len() + 1;
        (bytes > BYTES_MAX || commands > COMMANDS_MAX).then(|| {
            format!(
                "ERR a transaction of {commands} commands and {bytes} bytes: it has at most {COMMANDS_MAX} commands and {BYTES_MAX} bytes; split it"
            )
            .into()
        })
    }

    /// The commands as one batch, where all of them only set values or count; and how each is answered,
    /// with how many writes there are up to it.
    fn batch(&self) -> Option<(Batch, Vec<(Form, usize)>)> {
        let (mut batch, mut answers) = (Batch::new(), Vec::new());
        for queued in &self.commands {
            match writes::plan(queued.spec, self.arguments(queued), &mut batch) {
                Ok(Some(Plan { condition: None, form })) => answers.push((form, batch.len())),
                _ => return None,
            }
        }
        (!batch.is_empty()).then_some((batch, answers))
    }

    fn arguments<'a>(&'a self, queued: &'a Queued) -> Arguments<'a> {
        Arguments::new(&self.bytes, self.places.get(queued.words.clone()).unwrap_or_default())
    }
}

impl Session {
    /// `MULTI`.
    pub(crate) fn multi(&mut self, out: &mut Output) -> Answer {
        if self.transaction.is_some() {
            return Err(Refusal::new("ERR MULTI calls can not be nested"));
        }
        self.transaction = Some(Transaction::default());
        out.ok();
        Ok(())
    }

    /// What an `EXEC` answers that is refused: it has ended the transaction, if there is one.
    pub(crate) fn abort(&mut self, why: Refusal) -> Refusal {
        let Some(_) = self.transaction.take() else { return why };
        let why = why.text().strip_prefix("ERR ").unwrap_or(why.text());
        Refusal::from(format!("EXECABORT Transaction discarded because of: {why}"))
    }

    /// `DISCARD`.
    pub(crate) fn discard(&mut self, out: &mut Output) -> Answer {
        self.transaction.take().ok_or(Refusal::new("ERR DISCARD without MULTI"))?;
        out.ok();
        Ok(())
    }

    /// `EXEC`.
    pub(crate) async fn exec(&mut self, out: &mut Output) -> Answer {
        let transaction = self.transaction.take().ok_or(Refusal::new("ERR EXEC without MULTI"))?;
        if transaction.spoilt {
            return Err(Refusal::new(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        if let Some((batch, answers)) = transaction.batch() {
            let batches = vec![(batch, WriteOptions::default())];
            let written = self.database().await?.batches(batches).await;
            let written = written.into_iter().next().transpose()?.unwrap_or_default();
            out.array(answers.len());
            for (form, upto) in answers {
                form.tell(Ok(written.get(upto - 1).copied()), out)?;
            }
            return Ok(());
        }
        out.array(transaction.len());
        self.running = Some((transaction, 0));
        Ok(())
    }

    /// Runs the next command of a transaction that is no batch. False: there is none. They are run one by
    /// one, so that their answers can be sent before there are too many.
    pub(crate) async fn run_next(&mut self, out: &mut Output) -> bool {
        let Some((transaction, next)) = self.running.take() else { return false };
        let Some(queued) = transaction.commands.get(next) else { return false };
        let answer = match self.may_run(queued.spec) {
            Ok(()) => self.run(queued.spec, transaction.arguments(queued), out).await,
            refused => refused,
        };
        if let Err(refusal) = answer {
            out.error(refusal.text());
        }
        self.running = Some((transaction, next + 1));
        true
    }
}
