//! What one connection has agreed on, and the way of a command through it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tidings::Database;

use crate::access::Access;
use crate::command::{self, Command, Spec};
use crate::door::Door;
use crate::parser::{Arguments, TooLarge};
use crate::refusal::{Answer, Refusal, shown};
use crate::reply::{Output, Protocol};
use crate::subscriptions::Subscriptions;
use crate::transaction::Transaction;
use crate::writes::Gathered;
use crate::{
    about, client, expiry, keys, scan, server_info, set, strings, subscriptions, wait, writes,
};

/// A database as a client names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    /// What the client said: a number, or a path.
    pub(crate) label: String,
    /// The path.
    pub(crate) path: String,
    /// The name of the keyspace; empty: the default one.
    pub(crate) keyspace: String,
}

impl Selected {
    /// The default keyspace of a database.
    pub(crate) fn new(label: String, path: String) -> Self {
        Self { label, path, keyspace: String::new() }
    }
}

/// One connection, without its socket.
pub(crate) struct Session {
    /// What all connections share.
    pub(crate) door: Arc<Door>,
    /// The number of the connection.
    pub(crate) id: u64,
    /// Where the client is.
    pub(crate) client: SocketAddr,
    /// Where it came to.
    pub(crate) local: SocketAddr,
    /// Since when.
    pub(crate) born: Instant,
    /// What it may do.
    pub(crate) access: Access,
    /// What the client calls itself; empty: nothing.
    pub(crate) name: String,
    /// What library it is: name and version.
    pub(crate) library: [String; 2],
    /// The database that commands are for.
    pub(crate) selected: Selected,
    /// The handle of that, once it was needed.
    database: Option<Database>,
    /// The commands queued since `MULTI`.
    pub(crate) transaction: Option<Transaction>,
    /// A transaction that is run command by command, and how many of them have run.
    pub(crate) running: Option<(Transaction, usize)>,
    /// What it wants to be told.
    pub(crate) subscriptions: Subscriptions,
    /// Writes of a pipeline that are not submitted yet.
    pub(crate) gathered: Gathered,
    /// Whether the connection ends after what is answered.
    pub(crate) closing: bool,
}

impl Session {
    /// A new connection.
    pub(crate) fn new(door: Arc<Door>, client: SocketAddr, local: SocketAddr) -> Self {
        Self {
            id: door.next_id.fetch_add(1, Ordering::Relaxed),
            selected: door.default_database(),
            access: Access::new(door.tokens.as_deref()),
            door,
            client,
            local,
            born: Instant::now(),
            name: String::new(),
            library: Default::default(),
            database: None,
            transaction: None,
            running: None,
            subscriptions: Subscriptions::default(),
            gathered: Gathered::default(),
            closing: false,
        }
    }

    /// The selected database. Its handle is kept, so that opening it is not done for each command.
    pub(crate) async fn database(&mut self) -> Result<&Database, Refusal> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.door.open(&self.selected).await?,
        };
        Ok(self.database.insert(database))
    }

    /// Selects a database.
    ///
    /// # Errors
    /// When no definition accepts the path, or the name of the keyspace is too long; the selection stays as
    /// it was.
    pub(crate) async fn select(&mut self, selected: Selected) -> Answer {
        self.database = Some(self.door.open(&selected).await?);
        self.selected = selected;
        self.access.moved();
        Ok(())
    }

    /// As new, as `RESET` does.
    pub(crate) fn reset(&mut self, out: &mut Output) {
        self.transaction = None;
        self.subscriptions = Subscriptions::default();
        self.selected = self.door.default_database();
        self.database = None;
        self.access.forget();
        self.name.clear();
        out.speak(Protocol::Resp2);
    }

    /// Whether the connection may run a command. Before a transaction runs, the selected database is not
    /// known where it may select another.
    pub(crate) fn may_run(&mut self, spec: &Spec) -> Answer {
        if self.access.refresh() {
            self.closing |= self.subscriptions.count() > 0;
        }
        let known = !self.transaction.as_ref().is_some_and(Transaction::moves);
        self.access.may(spec, known.then_some(&self.selected.path))
    }

    /// Bytes of commands that are kept for later.
    pub(crate) fn held(&self) -> usize {
        self.transaction.as_ref().map_or(0, Transaction::bytes)
    }

    /// Answers one request; or gathers it, where that comes to the same and it is not the only one:
    /// `more` came behind it. Then [`settle`](Self::settle) answers.
    pub(crate) async fn execute(&mut self, arguments: Arguments<'_>, more: bool, out: &mut Output) {
        let spec = command::find(arguments.at(0));
        self.door.metrics.called(spec);
        let Some(spec) = spec else {
            self.settle(out).await;
            if is_http(arguments.at(0)) {
                // A browser that was made to send this is not told anything.
                if let Some(count) = self.door.http.due(Instant::now()) {
                    tracing::warn!(client = %self.client, count, "HTTP came to the Redis door: it is closed");
                }
                self.closing = true;
                return;
            }
            return self.refuse(&unknown(arguments), out);
        };
        let mut checked = command::check(spec, arguments.at(1), arguments.len());
        if spec.command == Command::Exec {
            // It ends a transaction whatever is wrong with it.
            checked = checked.map_err(|refusal| self.abort(refusal));
        }
        if let Err(refusal) = checked.and_then(|()| self.may_run(spec)) {
            self.settle(out).await;
            return self.refuse(&refusal, out);
        }
        if out.protocol() == Protocol::Resp2
            && self.subscriptions.count() > 0
            && !matches!(
                spec.command,
                Command::Subscribe
                    | Command::PSubscribe
                    | Command::Unsubscribe
                    | Command::PUnsubscribe
                    | Command::Ping
                    | Command::Quit
                    | Command::Reset
            )
        {
            let name = spec.name;
            return out.error(&format!(
                "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            ));
        }
        if self.gather(spec, arguments, more, out).await {
            return;
        }
        let answer = match spec.command {
            Command::Multi => self.multi(out),
            Command::Exec => self.exec(out).await,
            Command::Discard => self.discard(out),
            Command::Watch if self.transaction.is_some() => {
                Err(Refusal::new("ERR WATCH inside MULTI is not allowed"))
            }
            Command::Quit | Command::Reset => self.run(spec, arguments, out).await,
            _ => match &mut self.transaction {
                Some(transaction) => transaction.queue(spec, arguments, out),
                None => self.run(spec, arguments, out).await,
            },
        };
        if let Err(refusal) = answer {
            out.error(refusal.text());
        }
    }

    /// Answers a request that was not kept.
    pub(crate) async fn too_large(&mut self, why: TooLarge, out: &mut Output) {
        self.settle(out).await;
        self.refuse(&why.text().into(), out);
    }

    /// Refuses what cannot run; a transaction that it belongs to cannot run either.
    fn refuse(&mut self, refusal: &Refusal, out: &mut Output) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoil();
        }
        out.error(refusal.text());
    }

    /// Runs one command; its number of words is right.
    pub(crate) async fn run(
        &mut self,
        spec: &'static Spec,
        arguments: Arguments<'_>,
        out: &mut Output,
    ) -> Answer {
        match spec.command {
            Command::Get => strings::get(self, arguments, out).await,
            Command::Set
            | Command::SetEx
            | Command::PSetEx
            | Command::SetNx
            | Command::MSet
            | Command::MSetNx
            | Command::Incr
            | Command::Decr
            | Command::IncrBy
            | Command::DecrBy
            | Command::Del
            | Command::Unlink => writes::run(self, spec, arguments, out).await,
            Command::GetSet => set::getset(self, arguments, out).await,
            Command::MGet => strings::mget(self, arguments, out).await,
            Command::GetDel => strings::getdel(self, arguments, out).await,
            Command::GetRange => strings::getrange(self, arguments, out).await,
            Command::SetRange => strings::setrange(self, arguments, out).await,
            Command::Append => strings::append(self, arguments, out).await,
            Command::StrLen => strings::strlen(self, arguments, out).await,
            Command::Exists => keys::exists(self, arguments, out).await,
            Command::Type => keys::type_of(self, arguments, out).await,
            Command::DbSize => keys::dbsize(self, out).await,
            Command::RandomKey => keys::randomkey(self, out).await,
            Command::FlushDb => keys::flushdb(self, arguments, out).await,
            Command::Keys => scan::keys(self, arguments, out).await,
            Command::Scan => scan::scan(self, arguments, out).await,
            Command::Expire | Command::PExpire | Command::ExpireAt | Command::PExpireAt => {
                expiry::expire(self, spec, arguments, out).await
            }
            Command::Ttl | Command::PTtl | Command::ExpireTime | Command::PExpireTime => {
                expiry::ttl(self, spec.command, arguments, out).await
            }
            Command::Persist => expiry::persist(self, arguments, out).await,
            Command::GetEx => expiry::getex(self, arguments, out).await,
            Command::Wait => wait::wait(self, arguments, out).await,
            Command::Subscribe | Command::PSubscribe => {
                subscriptions::subscribe(self, spec, arguments, out).await
            }
            Command::Unsubscribe | Command::PUnsubscribe => {
                self.subscriptions.unsubscribe(spec, arguments, out);
                Ok(())
            }
            Command::Select => client::select(self, arguments, out).await,
            Command::Ping => client::ping(self, arguments, out),
            Command::Echo => {
                out.bulk(arguments.at(1));
                Ok(())
            }
            Command::Quit => {
                self.closing = true;
                out.ok();
                Ok(())
            }
            Command::Reset => {
                self.reset(out);
                out.simple("RESET");
                Ok(())
            }
            Command::Auth => client::auth(self, arguments, out),
            Command::Hello => client::hello(self, arguments, out),
            Command::Client => client::client(self, arguments, out),
            Command::Command => about::command(arguments, out),
            Command::Config => {
                server_info::config(arguments, out);
                Ok(())
            }
            Command::Info => server_info::info(self, arguments, out).await,
            Command::Watch => Err(Refusal::new(
                "ERR WATCH is not offered: no key can be kept from changing at other peers; SET with NX, XX or GET changes one key atomically at this one",
            )),
            Command::Unwatch => {
                out.ok();
                Ok(())
            }
            Command::Multi | Command::Exec | Command::Discard => {
                Err(Refusal::new("ERR this command cannot be queued"))
            }
        }
    }
}

/// Whether a request is the begin of HTTP, which is never meant for this door.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

fn unknown(arguments: Arguments<'_>) -> Refusal {
    let mut text =
        format!("ERR unknown command '{}', with args beginning with: ", shown(arguments.at(0)));
    for argument in arguments.from(1).iter() {
        // As much as Redis tells.
        if text.len() > 128 {
            break;
        }
        let _ = write!(text, "'{}' ", shown(argument));
    }
    text.into()
}
