//! A backup over HTTP is one that can be restored, and nobody gets a part of one for the whole.

use axum::http::Method;
use http_body_util::BodyExt as _;
use tidings::backup::{BackupError, verify};
use tidings_tokens::Scope;

use super::*;
use crate::routes::tests::{ALL, World};

#[tokio::test]
async fn a_backup_is_streamed_whole() {
    let world = World::new().await;
    let token = world.token("a", Scope::Admin, &ALL);
    for n in 0..100 {
        let address = format!("/v1/databases/data%2Fa/keys/{n}");
        let body = Body::from(vec![b'x'; 20_000]);
        let written = world.send(&Method::PUT, &address, Some(&token), body).await;
        assert_eq!(written.status(), 200);
    }
    let answer = world.ask(&Method::GET, "/v1/backup", Some(&token)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[header::CONTENT_TYPE], BACKUP);
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(bytes.len() > 2_000_000, "{} bytes", bytes.len());
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("backup");
    std::fs::write(&file, &bytes).unwrap();
    let report = verify(&file, |_, _| {}).unwrap();
    assert_eq!((report.bytes, report.databases), (bytes.len() as u64, 1));

    // One that nobody reads to its end is over, and what was read of it is no backup.
    let mut answer = world.ask(&Method::GET, "/v1/backup", Some(&token)).await.into_body();
    let first = answer.frame().await.unwrap().unwrap().into_data().unwrap();
    drop(answer);
    std::fs::write(&file, &first).unwrap();
    let error = verify(&file, |_, _| {}).expect_err("it is a part");
    assert!(matches!(error, BackupError::Truncated { .. }), "{error}");
}
