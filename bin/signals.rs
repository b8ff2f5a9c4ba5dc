//! When to stop: a signal, or the end of standard input for a peer that lives no longer than the
//! program that started it.

use std::future::Future;
use std::io;

use tokio::sync::mpsc;

/// Resolves, with why, when the process shall stop. A second signal after that ends it at once.
pub(crate) fn stop(
    until_stdin_closes: bool,
) -> io::Result<impl Future<Output = &'static str> + Send> {
    let (tell, mut told) = mpsc::channel(2);
    listen(&tell)?;
    if until_stdin_closes {
        // A thread, since reading standard input cannot be cancelled.
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            let _ = tell.blocking_send("standard input was closed");
        });
    }
    Ok(async move {
        let why = told.recv().await.unwrap_or("nobody can ask for it any more");
        tokio::spawn(async move {
            while let Some(why) = told.recv().await {
                if why.ends_with("signal") {
                    tracing::error!("stopping at once: {why}");
                    std::process::exit(130);
                }
            }
        });
        why
    })
}

#[cfg(unix)]
fn listen(tell: &mpsc::Sender<&'static str>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let kinds = [
        (SignalKind::terminate(), "a termination signal"),
        (SignalKind::interrupt(), "an interrupt signal"),
    ];
    for (kind, why) in kinds {
        let mut signals = signal(kind)?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() && tell.send(why).await.is_ok() {}
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn listen(tell: &mpsc::Sender<&'static str>) -> io::Result<()> {
    let tell = tell.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok()
            && tell.send("an interrupt signal").await.is_ok()
        {}
    });
    Ok(())
}
