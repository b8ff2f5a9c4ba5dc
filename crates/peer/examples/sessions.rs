//! A session store for a web application: a session ends by itself when it is not used.
//!
//! `cargo run -p tidings --example sessions`. Give several servers one secret, and a user may meet any
//! of them.
#![expect(clippy::print_stdout, reason = "it is a program")]

use std::time::Duration;

use tidings::{Condition, Database, Definition, Error, Peer, Result, WriteOptions};

/// Sessions of one application. Clones are handles to the same ones.
#[derive(Clone)]
struct Sessions {
    database: Database,
    idle: Duration,
}

impl Sessions {
    async fn open(peer: &Peer, idle: Duration) -> Result<Self> {
        Ok(Self { database: peer.database("sessions").await?, idle })
    }

    /// Begins a session and gives its id, which nobody can guess: it goes into a cookie.
    async fn begin(&self, user: &str) -> Result<String> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::Internal(error.to_string()))?;
        let id = format!("{:032x}", u128::from_be_bytes(random));
        self.write(&id, user, Condition::Absent).await?;
        Ok(id)
    }

    /// Whose session it is; `None`: log in again. Each use makes it last for another while.
    async fn user(&self, id: &str) -> Result<Option<String>> {
        let Some(entry) = self.database.get_entry(id).await? else { return Ok(None) };
        let user = String::from_utf8_lossy(&entry.value).into_owned();
        // Only if it is unchanged: a session that ends meanwhile does not come back.
        match self.write(id, &user, Condition::Version(entry.version)).await {
            Err(Error::ConditionFailed(_)) => Ok(None),
            written => written.map(|()| Some(user)),
        }
    }

    async fn end(&self, id: &str) -> Result<()> {
        self.database.delete(id).await.map(|_| ())
    }

    async fn write(&self, id: &str, user: &str, condition: Condition) -> Result<()> {
        let (ttl, condition) = (Some(self.idle), Some(condition));
        let options = WriteOptions { ttl, condition, ..WriteOptions::default() };
        self.database.put_with(id, user, &options).await.map(|_| ())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let definition = Definition::new("sessions", "sessions", 1, 3);
    let peer = Peer::in_memory().definitions(vec![definition]).start().await?;
    let sessions = Sessions::open(&peer, Duration::from_mins(30)).await?;

    let alice = sessions.begin("alice").await?;
    let bob = sessions.begin("bob").await?;
    assert_eq!(sessions.user(&alice).await?.as_deref(), Some("alice"));
    assert_eq!(sessions.user(&bob).await?.as_deref(), Some("bob"));
    assert_eq!(sessions.user("made up").await?, None);
    println!("alice and bob are logged in");

    sessions.end(&alice).await?;
    assert_eq!(sessions.user(&alice).await?, None);
    println!("alice has logged out");

    // The same store with a patience of a fifth of a second.
    let brief = Sessions { idle: Duration::from_millis(200), ..sessions.clone() };
    let cyd = brief.begin("cyd").await?;
    while brief.database.get(&cyd).await?.is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(brief.user(&cyd).await?, None);
    assert_eq!(sessions.user(&bob).await?.as_deref(), Some("bob"));
    println!("cyd was idle for too long, bob is still here");
    peer.shutdown().await
}
