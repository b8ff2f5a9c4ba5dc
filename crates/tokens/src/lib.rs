//! Bearer tokens: who may do what, through any door.
//!
//! A token is a random text of 256 bits. The token file has only its hash, so that whoever reads the
//! file cannot use what is in it; a hash without salt or stretching is enough, since nobody can try
//! all of 256 bits. Each token has a name, a [`Scope`], and the paths of the databases it is for:
//!
//! ```json
//! {
//!   "tokens": [
//!     {
//!       "name": "dashboard",
//!       "hash": "blake3:9ef1…",
//!       "scope": "read",
//!       "paths": ["profile/*", "exact:settings"]
//!     }
//!   ]
//! }
//! ```
//!
//! Without `paths` it is for all databases, and for what is about no database in particular, such as
//! definitions. The matchers are those of definitions: see [`tidings::matcher`].
//!
//! # For another door
//!
//! A door listens with [`listen::bind`], which keeps one without tokens on this machine. It asks
//! [`LiveTokens::current`] for each connection or request, [`Tokens::find`] for what the
//! client sent, and [`Token::check`] for what it wants to do:
//!
//! ```
//! use tidings_tokens::{Scope, Subject, Tokens};
//!
//! let mut tokens = Tokens::default();
//! let secret = tokens.add("app", Scope::Write, &["profile/*"])?;
//! let token = tokens.find(&secret).ok_or("unknown")?;
//! token.check(Scope::Read, Subject::Database("profile/alice"))?;
//! assert!(token.check(Scope::Read, Subject::Database("settings")).is_err());
//! assert!(token.check(Scope::Admin, Subject::Database("profile/alice")).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
pub mod listen;
mod live;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use tidings::limits;
use tidings::matcher::{Matcher, MatcherError};
use tidings::name::Path;

pub use file::{FileError, TokenFile};
pub use live::LiveTokens;

/// Most tokens in a file: each request compares with all of them, which takes microseconds up to here.
pub const TOKENS_MAX: usize = 1000;
/// Most matchers of one token: each request of it tries them in turn.
pub const PATHS_MAX: usize = 100;
/// Longest text that is looked up as a token, in bytes; what is longer is none. Tokens that other programs made
/// may be longer than ours.
pub const TOKEN_MAX: usize = 512;
/// Random bytes in a token: 256 bits cannot be guessed.
const SECRET_BYTES: usize = 32;
/// What every token begins with, so that a token in a wrong place is recognised, also by programs that
/// look for such places.
pub const PREFIX: &str = "tidings_";
/// The name of the hash in the file.
const HASH_KIND: &str = "blake3:";

/// What a token may do. Each scope includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Read: gets, listings, watches, statuses.
    Read,
    /// Also write: puts, deletes, batches.
    Write,
    /// Also administer: change definitions, drop databases, drain the peer.
    Admin,
}

impl Scope {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let all = [Self::Read, Self::Write, Self::Admin];
        let found = all.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| TokenError::Scope { scope: text.chars().take(40).collect() })
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The database with this path.
    Database(&'a str),
    /// The peer or the whole cluster: only for tokens without paths.
    Cluster,
}

/// Why a token list or a change to it is refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text is not a list of tokens.
    #[error("it is not a list of tokens in JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A name is empty, too long, or has characters that people cannot see.
    #[error(
        "the token name {name:?} is refused: names have 1 to {} bytes, without spaces and control characters",
        limits::NAME_MAX
    )]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// Two tokens have one name.
    #[error(
        "there is a token named {name:?} already; choose another name, or revoke that one first"
    )]
    Taken {
        /// The name.
        name: String,
    },
    /// A scope is unknown.
    #[error("{scope:?} is not a scope: write read, write or admin")]
    Scope {
        /// The word, shortened.
        scope: String,
    },
    /// A hash has another form.
    #[error("the hash of the token {name:?} is refused: write blake3: and 64 hexadecimal digits")]
    Hash {
        /// The name of the token.
        name: String,
    },
    /// A matcher is refused.
    #[error("the token {name:?}: {source}")]
    Matcher {
        /// The name of the token.
        name: String,
        /// What is wrong with it.
        source: MatcherError,
    },
    /// Too many matchers.
    #[error(
        "the token {name:?} has {count} paths, at most {PATHS_MAX} are allowed; use a matcher for several"
    )]
    TooManyPaths {
        /// The name of the token.
        name: String,
        /// How many it has.
        count: usize,
    },
    /// Too many tokens.
    #[error("{count} tokens are more than the {TOKENS_MAX} that are allowed; revoke some")]
    TooMany {
        /// How many there would be.
        count: usize,
    },
    /// The system gave no randomness.
    #[error("there is no randomness for a token: {0}")]
    Random(getrandom::Error),
}

/// Why a token does not permit a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Its scope is too small.
    #[error("the token {name:?} has the scope {has}, and this needs the scope {needs}")]
    Scope {
        /// The name of the token.
        name: String,
        /// Its scope.
        has: Scope,
        /// The scope that the request needs.
        needs: Scope,
    },
    /// It is for other databases.
    #[error(
        "the token {name:?} is for databases at {paths}, and not for {path:?}; this needs a token with the scope {needs} for that path"
    )]
    Path {
        /// The name of the token.
        name: String,
        /// The paths that it is for.
        paths: String,
        /// The path of the request, shortened.
        path: String,
        /// The scope that the request needs.
        needs: Scope,
    },
    /// It is for some databases, and the request is about more.
    #[error(
        "the token {name:?} is for databases at {paths}, and this is about the whole cluster; it needs a token with the scope {needs} and without paths"
    )]
    Cluster {
        /// The name of the token.
        name: String,
        /// The paths that it is for.
        paths: String,
        /// The scope that the request needs.
        needs: Scope,
    },
}

impl Denied {
    /// The scope that the request needs.
    pub fn needs(&self) -> Scope {
        match self {
            Self::Scope { needs, .. } | Self::Path { needs, .. } | Self::Cluster { needs, .. } => {
                *needs
            }
        }
    }
}

/// What the file says of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    hash: String,
    scope: Scope,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenList {
    tokens: Vec<Written>,
}

/// One token as the door knows it: everything but the token itself.
#[derive(Clone, Debug)]
pub struct Token {
    name: String,
    hash: blake3::Hash,
    scope: Scope,
    paths: Vec<Matcher>,
}

impl Token {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may do.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// The matchers of the databases that it is for; none: it is for all.
    pub fn paths(&self) -> &[Matcher] {
        &self.paths
    }

    /// Whether the token may do something of this scope about this subject.
    ///
    /// # Errors
    /// [`Denied`], with what it would need. A path that no database can have is for tokens without
    /// paths only.
    pub fn check(&self, needs: Scope, subject: Subject<'_>) -> Result<(), Denied> {
        let name = || self.name.clone();
        if self.scope < needs {
            return Err(Denied::Scope { name: name(), has: self.scope, needs });
        }
        match subject {
            Subject::Database(path) if self.is_for(path) => Ok(()),
            Subject::Database(path) => {
                let path = path.chars().take(80).collect();
                Err(Denied::Path { name: name(), paths: self.listed_paths(), path, needs })
            }
            Subject::Cluster if self.paths.is_empty() => Ok(()),
            Subject::Cluster => {
                Err(Denied::Cluster { name: name(), paths: self.listed_paths(), needs })
            }
        }
    }

    /// Whether it is for the database with this path.
    pub fn is_for(&self, path: &str) -> bool {
        self.paths.is_empty()
            || Path::new(path).is_ok_and(|path| self.paths.iter().any(|own| own.matches(&path)))
    }

    fn listed_paths(&self) -> String {
        let mut text = String::new();
        for matcher in &self.paths {
            // An error is for reading; nobody reads a hundred matchers.
            if text.len() > 200 {
                text.push_str(", …");
                break;
            }
            let comma = if text.is_empty() { "" } else { ", " };
            text = format!("{text}{comma}{matcher}");
        }
        text
    }

    fn read(written: Written) -> Result<Self, TokenError> {
        let Written { name, hash, scope, paths } = written;
        check_name(&name)?;
        let Some(hash) =
            hash.strip_prefix(HASH_KIND).and_then(|hex| blake3::Hash::from_hex(hex).ok())
        else {
            return Err(TokenError::Hash { name });
        };
        let paths = matchers(&name, &paths)?;
        Ok(Self { name, hash, scope, paths })
    }

    fn written(&self) -> Written {
        Written {
            name: self.name.clone(),
            hash: format!("{HASH_KIND}{}", self.hash.to_hex()),
            scope: self.scope,
            paths: self.paths.iter().map(|matcher| matcher.as_str().to_owned()).collect(),
        }
    }
}

fn check_name(name: &str) -> Result<(), TokenError> {
    let visible = !name.chars().any(|c| c.is_control() || c.is_whitespace());
    if name.is_empty() || name.len() > limits::NAME_MAX || !visible {
        return Err(TokenError::Name { name: name.chars().take(limits::NAME_MAX).collect() });
    }
    Ok(())
}

fn matchers(name: &str, paths: &[impl AsRef<str>]) -> Result<Vec<Matcher>, TokenError> {
    if paths.len() > PATHS_MAX {
        return Err(TokenError::TooManyPaths { name: name.into(), count: paths.len() });
    }
    let parse = |path: &_| Matcher::parse(AsRef::as_ref(path));
    let parsed: Result<_, _> = paths.iter().map(parse).collect();
    parsed.map_err(|source| TokenError::Matcher { name: name.into(), source })
}

/// A list of tokens. The default is empty: nobody may do anything.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    list: Vec<Arc<Token>>,
}

impl Tokens {
    /// Reads the text of a token file.
    ///
    /// # Errors
    /// [`TokenError`], with the token that it is about.
    pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
        let WrittenList { tokens } = serde_json::from_slice(text)?;
        let mut list: Vec<Arc<Token>> = Vec::new();
        if tokens.len() > TOKENS_MAX {
            return Err(TokenError::TooMany { count: tokens.len() });
        }
        for written in tokens {
            if list.iter().any(|other| other.name == written.name) {
                return Err(TokenError::Taken { name: written.name });
            }
            list.push(Arc::new(Token::read(written)?));
        }
        Ok(Self { list })
    }

    /// The text of a token file with this list.
    pub fn to_text(&self) -> String {
        let tokens = self.list.iter().map(|token| token.written()).collect();
        // Writing JSON of these types to memory cannot fail.
        let text = serde_json::to_string_pretty(&WrittenList { tokens }).unwrap_or_default();
        text + "\n"
    }

    /// Makes a token and adds it to the list. The text that is returned is nowhere else.
    ///
    /// # Errors
    /// [`TokenError`], when the name is taken or refused, a matcher is refused, there are too many, or
    /// the system has no randomness.
    pub fn add(
        &mut self,
        name: &str,
        scope: Scope,
        paths: &[impl AsRef<str>],
    ) -> Result<String, TokenError> {
        check_name(name)?;
        if self.list.iter().any(|other| other.name == name) {
            return Err(TokenError::Taken { name: name.into() });
        }
        if self.list.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany { count: self.list.len() + 1 });
        }
        let paths = matchers(name, paths)?;
        let mut random = [0; SECRET_BYTES];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        let text = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&random));
        let hash = blake3::hash(text.as_bytes());
        self.list.push(Arc::new(Token { name: name.into(), hash, scope, paths }));
        Ok(text)
    }

    /// Takes a token off the list; false when there is none of that name.
    pub fn revoke(&mut self, name: &str) -> bool {
        let before = self.list.len();
        self.list.retain(|token| token.name != name);
        self.list.len() < before
    }

    /// The token with this text. The comparison takes the same time whatever the text.
    pub fn find(&self, text: &str) -> Option<Arc<Token>> {
        if text.len() > TOKEN_MAX {
            return None;
        }
        let hash = blake3::hash(text.as_bytes());
        let mut found = None;
        // Every one is compared, also after a hit, and `Hash` compares in constant time.
        for token in &self.list {
            if token.hash == hash {
                found = Some(token);
            }
        }
        found.cloned()
    }

    /// Whether this very token is still on the list and still says the same.
    pub fn still_has(&self, token: &Token) -> bool {
        self.list.iter().any(|own| {
            own.hash == token.hash && own.scope == token.scope && own.paths == token.paths
        })
    }

    /// The tokens, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.list.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests;
