//! Writes that need not read before: what a command writes, gathered for one commit where a client sends
//! several without waiting.
//!
//! A client with a pipeline sends many commands at once. Where each waited for its own commit, it would
//! mostly wait. So those that stand behind each other are gathered, and handed to the library together
//! before anything else is done or said: the answers stay in order, each is refused by itself, and what
//! is read behind them sees them.

use tidings::{Batch, Condition, Error, WriteOptions, Written};

use crate::command::{Command, Spec};
use crate::parser::Arguments;
use crate::refusal::{Answer, Refusal};
use crate::reply::Output;
use crate::session::Session;
use crate::{counters, keys, set};

/// Most commands that are gathered: a commit of so many takes a few milliseconds.
const GATHERED_MAX: usize = 256;
/// Bytes of requests from which on no more are gathered: they are kept twice for so long.
const GATHERED_BYTES: usize = 256 << 10;

/// What becomes of the writes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What must be true of its keys.
    pub(crate) condition: Option<Condition>,
    /// How it is answered.
    pub(crate) form: Form,
}

/// How an answer follows from what a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `OK`, or nothing where the condition does not hold.
    Ok,
    /// 1, or 0 where the condition does not hold.
    Count,
    /// What the counter says now.
    Sum,
}

impl Plan {
    /// Without a condition.
    pub(crate) const fn always(form: Form) -> Self {
        Self { condition: None, form }
    }

    /// With one.
    pub(crate) const fn only_if(condition: Condition, form: Form) -> Self {
        Self { condition: Some(condition), form }
    }

    fn options(self) -> WriteOptions {
        WriteOptions { condition: self.condition, ..WriteOptions::default() }
    }
}

impl Form {
    /// Answers; `written` is what the last write of the command came to.
    pub(crate) fn tell(self, written: Result<Option<Written>, Error>, out: &mut Output) -> Answer {
        match (self, written) {
            (Self::Ok, Ok(_)) => out.ok(),
            (Self::Ok, Err(Error::ConditionFailed(_))) => out.null(),
            (Self::Count, Ok(_)) => out.integer(1),
            (Self::Count, Err(Error::ConditionFailed(_))) => out.integer(0),
            (Self::Sum, Ok(written)) => {
                let sum = written.and_then(|written| written.value);
                out.integer(sum.ok_or(Refusal::new("ERR an increment gave no sum"))?);
            }
            (_, Err(error)) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Adds to a batch what a command writes. `None`: it has to read before, or writes nothing, and the batch
/// is as it was.
///
/// # Errors
/// When its words are wrong.
pub(crate) fn plan(
    spec: &Spec,
    arguments: Arguments<'_>,
    batch: &mut Batch,
) -> Result<Option<Plan>, Refusal> {
    Ok(Some(match spec.command {
        Command::Set => return set::plan(arguments, batch),
        Command::SetEx | Command::PSetEx => set::plan_with_expiry(spec, arguments, batch)?,
        Command::SetNx => {
            batch.put(arguments.at(1), arguments.at(2));
            Plan::only_if(Condition::Absent, Form::Count)
        }
        Command::MSet => {
            set::add_pairs(spec, arguments, batch)?;
            Plan::always(Form::Ok)
        }
        Command::MSetNx => {
            set::add_pairs(spec, arguments, batch)?;
            Plan::only_if(Condition::Absent, Form::Count)
        }
        Command::Incr | Command::Decr | Command::IncrBy | Command::DecrBy => {
            batch.incr(arguments.at(1), counters::by(spec.command, arguments)?);
            Plan::always(Form::Sum)
        }
        Command::Del | Command::Unlink if arguments.len() == 2 => {
            batch.delete(arguments.at(1));
            Plan::only_if(Condition::Present, Form::Count)
        }
        _ => return Ok(None),
    }))
}

/// Writes that are not submitted yet.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    batches: Vec<(Batch, WriteOptions)>,
    forms: Vec<Form>,
    bytes: usize,
}

impl Gathered {
    fn add(&mut self, batch: Batch, plan: Plan) {
        self.batches.push((batch, plan.options()));
        self.forms.push(plan.form);
    }

    fn is_full(&self) -> bool {
        self.forms.len() >= GATHERED_MAX || self.bytes > GATHERED_BYTES
    }
}

impl Session {
    /// Gathers a command that may run, if it can be, and if there is another one that was sent without
    /// waiting: `more` says so of what follows. False: what was gathered is answered, and it is its turn.
    pub(crate) async fn gather(
        &mut self,
        spec: &Spec,
        arguments: Arguments<'_>,
        more: bool,
        out: &mut Output,
    ) -> bool {
        if more || !self.gathered.forms.is_empty() {
            let mut batch = Batch::new();
            if self.transaction.is_none()
                && let Ok(Some(plan)) = plan(spec, arguments, &mut batch)
            {
                self.gathered.add(batch, plan);
                self.gathered.bytes += arguments.iter().map(<[u8]>::len).sum::<usize>();
                if self.gathered.is_full() {
                    self.settle(out).await;
                }
                return true;
            }
            self.settle(out).await;
        }
        false
    }

    /// Submits what was gathered, and answers it. Before that nothing else may be answered.
    pub(crate) async fn settle(&mut self, out: &mut Output) {
        if self.gathered.forms.is_empty() {
            return;
        }
        let Gathered { batches, forms, .. } = std::mem::take(&mut self.gathered);
        let database = match self.database().await {
            Ok(database) => database,
            Err(refusal) => {
                return forms.iter().for_each(|_| out.error(refusal.text()));
            }
        };
        for (form, written) in forms.into_iter().zip(database.batches(batches).await) {
            let last = written.map(|written| written.last().copied());
            if let Err(refusal) = form.tell(last, out) {
                out.error(refusal.text());
            }
        }
    }
}

/// Runs one command by itself.
pub(crate) async fn run(
    session: &mut Session,
    spec: &Spec,
    arguments: Arguments<'_>,
    out: &mut Output,
) -> Answer {
    let mut batch = Batch::new();
    let Some(plan) = plan(spec, arguments, &mut batch)? else {
        return match spec.command {
            Command::Set => set::set_after_reading(session, arguments, out).await,
            _ => keys::del(session, arguments, out).await,
        };
    };
    let written = session.database().await?.batches(vec![(batch, plan.options())]).await;
    let last = written.into_iter().next().transpose();
    let last = last.map(|written| written.and_then(|written| written.last().copied()));
    plan.form.tell(last, out)
}
