//! Batches: several puts and deletes that are applied together.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use tidings::Batch;

use crate::json::{BatchWritten, Operation, Row};
use crate::keys::{refuse_conditions, write_options};
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{Door, read_body};
use crate::target::Named;

/// `POST …/batch`: a JSON list of operations, or one operation per line.
///
/// With `versions=false` the answer leaves the versions out, which are longer than many values.
pub(crate) async fn batch(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BatchWritten>, Problem> {
    let body = read_body(&headers, body).await?;
    refuse_conditions(&headers)?;
    let with_versions = query.flag("versions", true)?;
    let batch = parse(&body)?;
    let database = door.database(&path, &query).await?;
    let options = write_options(&database, &query)?;
    let versions = database.batch_with(batch, &options).await?;
    let writes = versions.len();
    let versions = with_versions.then(|| versions.iter().map(ToString::to_string).collect());
    Ok(Json(BatchWritten { writes, versions }))
}

/// Reads a body in either form: a list begins with `[`, and no operation does.
fn parse(body: &[u8]) -> Result<Batch, Problem> {
    let mut batch = Batch::new();
    let is_list = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_list {
        let operations: Vec<Operation> = serde_json::from_slice(body).map_err(|error| {
            Problem::bad_argument(format!("the batch is not understood: {error}"))
        })?;
        for (index, operation) in operations.into_iter().enumerate() {
            add(&mut batch, operation, &format!("element {}", index + 1))?;
        }
    } else {
        for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let place = || format!("line {}", index + 1);
            let operation = serde_json::from_slice(line).map_err(|error| {
                let column = error.column();
                Problem::bad_argument(format!(
                    "{}, column {column} of the batch is not understood: {}",
                    place(),
                    without_place(&error)
                ))
            })?;
            add(&mut batch, operation, &place())?;
        }
    }
    Ok(batch)
}

/// The message of a JSON error without the line and column of the text it was given, which is only a
/// line of what the user sent.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(message, _)| message.to_owned())
}

fn add(batch: &mut Batch, operation: Operation, place: &str) -> Result<(), Problem> {
    operation
        .check()
        .map_err(|why| Problem::bad_argument(format!("{place} of the batch: {why}")))?;
    match operation {
        Operation::Put(Row { key, value, expires: None, .. }) => {
            batch.put(key, value.unwrap_or_default())
        }
        Operation::Put(Row { key, value, expires: Some(expires), .. }) => {
            batch.put_until(key, value.unwrap_or_default(), expires)
        }
        Operation::Delete(row) => batch.delete(row.key),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_list_and_lines_say_the_same() {
        let put = r#"{"put":{"key":"a","value_base64":"/w=="}}"#;
        let delete = r#"{"delete":{"key":"b"}}"#;
        let mut expected = Batch::new();
        expected.put("a", [0xff]).delete("b");
        assert_eq!(parse(format!(" [{put},\n{delete}]").as_bytes()).unwrap(), expected);
        assert_eq!(parse(format!("{put}\n\n{delete}\n").as_bytes()).unwrap(), expected);
        assert_eq!(parse(b"").unwrap(), Batch::new());
    }

    #[test]
    fn a_put_may_have_an_expiry_of_its_own() {
        let put = r#"{"put":{"key":"a","value":"1","expires":"2026-11-21T16:00:00.007Z"}}"#;
        let mut expected = Batch::new();
        expected.put_until("a", "1", UNIX_EPOCH + Duration::from_millis(1_795_276_800_007));
        assert_eq!(parse(put.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        let put = r#"{"put":{"key":"a","value":"1"}}"#;
        let error = parse(format!("{put}\n{{\"pot\":{{}}}}").as_bytes()).unwrap_err().detail;
        assert!(error.starts_with("line 2, column 6 of the batch"), "{error}");
        let error = parse(format!("[{put},{{\"put\":{{\"key\":\"b\"}}}}]").as_bytes()).unwrap_err();
        assert!(error.detail.starts_with("element 2 of the batch: a put needs"), "{error}");
        let error = parse(b"{\"delete\":{\"key\":\"b\",\"value\":\"1\"}}").unwrap_err().detail;
        assert!(error.contains("a delete takes no value"), "{error}");
        let soon = r#"{"put":{"key":"b","value":"1","expires":"soon"}}"#;
        let error = parse(format!("{put}\n{soon}").as_bytes()).unwrap_err().detail;
        assert!(error.starts_with("line 2, column 46 of the batch"), "{error}");
        assert!(error.contains("`expires`: \"soon\" is not a moment"), "{error}");
    }
}
