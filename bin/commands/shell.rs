//! `tidings shell [PATH]`

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Subcommand};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{FileHistory, History as _};
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Editor, Helper};

use super::{Command, Context};
use crate::exit::Failure;
use crate::output::{self, Format, say};

/// Most lines of history that are kept.
const HISTORY_MAX: usize = 1_000;

/// The commands that are not for the shell: they run for long, or have nothing to do with the peer.
const OUTSIDE: [&str; 7] = ["serve", "demo", "bench", "simulate", "completions", "man", "shell"];

/// Takes one command after another, with history and completion.
///
/// A line is a command as it would follow `tidings`, with the quotes of a POSIX shell. `use PATH` chooses a
/// database, and from then on commands leave the path out; `use` alone ends that. Ctrl-C ends a command,
/// and Ctrl-D the shell.
///
/// Where standard input is no terminal, its lines are run up to the first that fails, with the exit code of
/// that one.
#[derive(Args, Debug)]
pub(crate) struct Shell {
    /// The path of the database to begin with.
    path: Option<String>,
    /// Neither read nor write the file with earlier lines, `tidings/history` in `XDG_STATE_HOME` or in
    /// ~/.local/state. A line that begins with a space is never kept.
    #[arg(long)]
    no_history: bool,
}

/// A line of the shell.
#[derive(Debug, clap::Parser)]
#[command(name = "", no_binary_name = true)]
struct Line {
    /// How to print results; the default depends on the command.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(flatten)]
    Command(Box<Command>),
    /// Chooses the database that the next commands are about, or none of them.
    Use {
        /// The path of the database.
        path: Option<String>,
    },
    /// Ends the shell.
    #[command(alias = "quit")]
    Exit,
}

/// What the shell knows between two lines.
#[derive(Debug)]
struct Session<'a> {
    outer: &'a Context,
    /// The database in use.
    path: Option<String>,
}

/// What becomes of the shell after a line.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Exit,
}

impl Shell {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        // A mistake in the address or the token is told before anybody types.
        context.client()?;
        let mut session = Session { outer: context, path: None };
        if let Some(path) = self.path {
            session.choose(path).await?;
        }
        if io::stdin().is_terminal() {
            session.converse(self.no_history).await
        } else {
            session.run_all().await
        }
    }
}

impl Session<'_> {
    /// Runs the lines of standard input up to the first that fails.
    async fn run_all(&mut self) -> Result<(), Failure> {
        let mut line = String::new();
        for number in 1_u64.. {
            line.clear();
            let read = tokio::task::block_in_place(|| io::stdin().lock().read_line(&mut line));
            let read = read
                .map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
            let failed = |failure: Failure| {
                failure.context(|why| match why {
                    "" => format!("stopped at line {number}"),
                    why => format!("line {number}: {why}"),
                })
            };
            if read == 0 || self.step(&line).await.map_err(failed)? == Next::Exit {
                break;
            }
        }
        Ok(())
    }

    /// Runs what a person types.
    async fn converse(&mut self, no_history: bool) -> Result<(), Failure> {
        let unusable = |error: ReadlineError| {
            Failure::usage(format!("this terminal cannot be used for a shell: {error}"))
        };
        let config = Config::builder()
            .max_history_size(HISTORY_MAX)
            .and_then(|builder| builder.history_ignore_dups(true))
            .map_err(unusable)?
            .history_ignore_space(true)
            .auto_add_history(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor: Editor<Words, FileHistory> =
            Editor::with_config(config).map_err(unusable)?;
        editor.set_helper(Some(Words { grammar: grammar() }));
        let kept = if no_history { None } else { history_file() };
        if let Some(file) = &kept {
            // There is none before the first time.
            let _ = editor.load_history(file);
        }
        say!(
            "tidings {}: `help` lists the commands; Ctrl-D ends the shell.",
            env!("CARGO_PKG_VERSION")
        );
        loop {
            let prompt = format!(
                "{}> ",
                output::shown(self.path.as_deref().unwrap_or("tidings").as_bytes())
            );
            let line = match tokio::task::block_in_place(|| editor.readline(&prompt)) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(unusable(error)),
            };
            match self.step(&line).await {
                Ok(Next::GoOn) => {}
                Ok(Next::Exit) => break,
                Err(failure) => {
                    failure.report();
                }
            }
        }
        if let Some(file) = kept.filter(|_| !editor.history().is_empty())
            && let Err(error) = keep(&mut editor, &file)
        {
            let why = format!("the history {} cannot be kept: {error}", file.display());
            Failure::internal(why).report();
        }
        Ok(())
    }

    /// Runs one line; a signal to interrupt ends only that.
    async fn step(&mut self, line: &str) -> Result<Next, Failure> {
        let line = match parse(line, self.path.as_deref())? {
            Some(Ok(line)) => line,
            None => return Ok(Next::GoOn),
            Some(Err(error)) => {
                error.print()?;
                // Help is one of them. What was wrong has been said.
                return if error.use_stderr() { Err(Failure::usage("")) } else { Ok(Next::GoOn) };
            }
        };
        let command = match line.verb {
            Verb::Command(command) => command,
            Verb::Use { path: Some(path) } => {
                self.choose(path).await?;
                return Ok(Next::GoOn);
            }
            Verb::Use { path: None } => {
                self.path = None;
                return Ok(Next::GoOn);
            }
            Verb::Exit => return Ok(Next::Exit),
        };
        let context = Context {
            http: self.outer.http.clone(),
            token: self.outer.token.clone(),
            token_file: self.outer.token_file.clone(),
            output: line.output.or(self.outer.output),
        };
        // Boxed, since this is one of the commands that it may run.
        let run = Box::pin(command.run(&context));
        tokio::select! {
            result = run => result?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::interrupted("an interrupt signal")),
        }
        Ok(Next::GoOn)
    }

    /// Uses a database from now on, if there can be one of this path.
    async fn choose(&mut self, path: String) -> Result<(), Failure> {
        self.outer.client()?.database_status(&path).await?;
        self.path = Some(path);
        Ok(())
    }
}

/// The command line of the shell, without what is not for it.
fn grammar() -> clap::Command {
    let hide = |command: clap::Command, name: &str| {
        command.mut_subcommand(name, |subcommand| subcommand.hide(true))
    };
    OUTSIDE.into_iter().fold(Line::command(), hide)
}

/// A line as a command, with the path of the database in use if it is about one; nothing for one without
/// words.
fn parse(line: &str, path: Option<&str>) -> Result<Option<Result<Line, clap::Error>>, Failure> {
    let Some(mut words) = shlex::split(line) else {
        let line = line.trim_end();
        return Err(Failure::usage(format!("{line:?} ends within quotes or after a backslash")));
    };
    let Some(verb) = words.first() else { return Ok(None) };
    if OUTSIDE.contains(&verb.as_str()) {
        return Err(Failure::usage(format!(
            "{verb} is not a command of the shell: run `tidings {verb}` outside of it"
        )));
    }
    let grammar = grammar();
    if let Some(path) = path.filter(|_| verb != "use" && is_about_one(&grammar, verb)) {
        words.insert(1, path.to_owned());
    }
    let matches = grammar.try_get_matches_from(words);
    Ok(Some(matches.and_then(|matches| Line::from_arg_matches(&matches))))
}

/// Whether a command has the path of a database as its first argument.
fn is_about_one(grammar: &clap::Command, verb: &str) -> bool {
    let command = grammar.find_subcommand(verb);
    let first = command.and_then(|command| command.get_positionals().next());
    first.is_some_and(|argument| argument.get_id() == "path")
}

/// Where earlier lines are kept, if there is a home for them.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|directory| directory.is_absolute());
    let home = || std::env::home_dir().map(|home| home.join(".local/state"));
    Some(state.or_else(home)?.join("tidings/history"))
}

/// Keeps the lines for the next time, in a file that only its owner can read.
fn keep(editor: &mut Editor<Words, FileHistory>, file: &Path) -> Result<(), ReadlineError> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    editor.append_history(file)
}

/// Completes commands and their flags.
#[derive(Debug)]
struct Words {
    grammar: clap::Command,
}

impl Words {
    /// The words that may stand at the end of a line, and where the last one begins.
    fn complete(&self, line: &str) -> (usize, Vec<String>) {
        let begins = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let (before, last) = line.split_at(begins);
        let words: Vec<String> = match before.split_whitespace().next() {
            None => {
                let shown = self.grammar.get_subcommands().filter(|command| !command.is_hide_set());
                shown.map(|command| command.get_name().to_owned()).collect()
            }
            Some(verb) if last.starts_with('-') => {
                let command = self.grammar.find_subcommand(verb);
                let own = command.into_iter().flat_map(clap::Command::get_arguments);
                let long = own.chain(self.grammar.get_arguments()).filter_map(clap::Arg::get_long);
                long.chain(["help"]).map(|long| format!("--{long}")).collect()
            }
            Some(_) => Vec::new(),
        };
        (begins, words.into_iter().filter(|word| word.starts_with(last)).collect())
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(Self::complete(self, &line[..at]))
    }
}

impl Hinter for Words {
    type Hint = String;
}

impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(line: &str, path: Option<&str>) -> Result<Verb, String> {
        match parse(line, path) {
            Ok(Some(Ok(line))) => Ok(line.verb),
            Ok(Some(Err(error))) => Err(error.render().to_string()),
            Ok(None) => Err(String::new()),
            Err(failure) => Err(failure.message().to_owned()),
        }
    }

    #[test]
    fn the_grammar_is_well_formed() {
        grammar().debug_assert();
    }

    #[test]
    fn the_database_in_use_is_the_first_argument() {
        let used = verb("put 'a key' --ttl 5s \"a value\"", Some("notes/a b")).unwrap();
        let said = verb("put 'notes/a b' 'a key' --ttl 5s 'a value'", None).unwrap();
        assert_eq!(format!("{used:?}"), format!("{said:?}"));
        // Those that are about no database, or choose another one.
        assert!(
            matches!(verb("peers", Some("a")), Ok(Verb::Command(command)) if matches!(*command, Command::Peers(_)))
        );
        assert!(
            matches!(verb("use b", Some("a")), Ok(Verb::Use { path: Some(path) }) if path == "b")
        );
        assert!(matches!(verb("use", Some("a")), Ok(Verb::Use { path: None })));
    }

    #[test]
    fn what_is_no_command_says_so() {
        assert!(verb("get 'a", None).unwrap_err().contains("ends within quotes"));
        assert!(verb("serve", None).unwrap_err().contains("outside"));
        assert!(verb("gett a b", None).unwrap_err().contains("get"));
        assert_eq!(verb("  ", None).unwrap_err(), "");
    }

    #[test]
    fn commands_and_their_flags_are_completed() {
        let words = Words { grammar: grammar() };
        assert_eq!(words.complete("ge"), (0, vec!["get".to_owned()]));
        assert_eq!(words.complete("shel").1, Vec::<String>::new());
        assert_eq!(words.complete("get k --min"), (6, vec!["--min-version".to_owned()]));
        assert_eq!(words.complete("get k -").1.len(), words.complete("get k --").1.len());
    }
}
