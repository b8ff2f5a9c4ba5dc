//! Keyspaces of a database: `/v1/databases/{path}/keyspaces`.

use axum::Json;
use axum::extract::State;
use data_encoding::BASE64URL_NOPAD;

use crate::json::KeyspacePage;
use crate::keys::cursor;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::Named;

/// `GET …/keyspaces?limit=&cursor=`: one page of those that have a key.
pub(crate) async fn list(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
) -> Result<Json<KeyspacePage>, Problem> {
    let (cursor, limit) = (cursor(&query)?, query.number("limit")?.unwrap_or(0));
    let database = door.peer.database(&path).await?;
    let page = database.keyspaces(cursor.as_deref(), limit).await?;
    Ok(Json(KeyspacePage {
        keyspaces: page.names,
        truncated: page.cursor.is_some(),
        cursor: page.cursor.map(|cursor| BASE64URL_NOPAD.encode(&cursor)),
    }))
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};

    use crate::routes::tests::{ALL, World, read};
    use tidings_tokens::Scope;

    const DATABASE: &str = "/v1/databases/data%2Fa";

    /// A door with the keys `0` to `299` without values, and a token that may write.
    async fn world() -> (World, String) {
        let world = World::new().await;
        let token = world.token("writer", Scope::Write, &ALL);
        let puts = (0..300).map(|n| json!({ "put": { "key": n.to_string(), "value": "" } }));
        let body = Value::from(puts.collect::<Vec<_>>()).to_string();
        let batch = format!("{DATABASE}/batch");
        assert_eq!(
            world.send(&Method::POST, &batch, Some(&token), body.into()).await.status(),
            200
        );
        (world, token)
    }

    async fn get(world: &World, token: &str, address: &str) -> (u16, Value) {
        let response = world.ask(&Method::GET, &format!("{DATABASE}{address}"), Some(token)).await;
        (response.status().as_u16(), read(response).await)
    }

    fn keys(page: &Value) -> Vec<&str> {
        let rows = page["entries"].as_array().unwrap().iter();
        rows.map(|row| row["key"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_listing_may_have_a_filter() {
        let (world, token) = world().await;
        let get = async |address: &str| get(&world, &token, address).await;
        let (_, page) = get("/keys?glob=2*7").await;
        assert_eq!((keys(&page).len(), &page["truncated"]), (10, &json!(false)));
        let (_, page) = get("/keys?prefix=1&regex=%5B12%5D.%3F&reverse").await;
        assert_eq!(keys(&page)[..3], ["19", "18", "17"]);
        let (_, page) = get("/keys?glob=299&budget=100&regex=").await;
        assert!(page["detail"].as_str().unwrap().contains("give one of them"), "{page}");
        let (status, page) = get("/keys?glob=*99&budget=100").await;
        assert_eq!((status, &page["truncated"]), (200, &json!(true)));
        assert_eq!(keys(&page), [""; 0], "an empty page may be truncated");
        let (mut found, mut cursor) = (Vec::new(), page["cursor"].clone());
        while let Some(text) = cursor.as_str() {
            let (_, page) = get(&format!("/keys?glob=*99&budget=100&cursor={text}")).await;
            found.extend(keys(&page).into_iter().map(str::to_owned));
            cursor = page["cursor"].clone();
        }
        assert_eq!(found, ["199", "299"]);
        for (query, why) in [
            ("glob=a***", "the glob \"a***\" is refused at character 2: `***`"),
            ("regex=%28", "the regex \"(\" is refused at character 1: unclosed group"),
            ("regex=", "the regex \"\" is refused: filters have at least 1 character"),
            ("glob=%FF", "\"glob\" is not UTF-8"),
            ("budget=-1", "budget=\"-1\" is not a whole number"),
        ] {
            let (status, problem) = get(&format!("/keys?{query}")).await;
            assert_eq!((status, &problem["code"]), (400, &json!("bad-argument")), "{query}");
            assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        }
    }

    #[tokio::test]
    async fn a_scan_may_have_a_filter() {
        use http_body_util::BodyExt as _;

        let (world, token) = world().await;
        let address = format!("{DATABASE}/scan?start=1&regex=.*%5B37%5D7");
        let response = world.ask(&Method::GET, &address, Some(&token)).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let lines = String::from_utf8(body.to_vec()).unwrap();
        let keys = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let keys: Vec<_> = keys.map(|row| row["key"].as_str().unwrap().to_owned()).collect();
        assert_eq!(keys, ["137", "177", "237", "277", "37", "77"]);
        let (status, problem) = get(&world, &token, "/scan?regex=%5B").await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad-argument")));
    }

    #[tokio::test]
    async fn keyspaces_are_told_page_by_page() {
        let (world, token) = world().await;
        for name in ["drafts", "b", "%C3%A9"] {
            let key = format!("{DATABASE}/keys/k?keyspace={name}");
            world.send(&Method::PUT, &key, Some(&token), "v".into()).await;
        }
        let get = async |address: &str| get(&world, &token, address).await.1;
        let all = json!(["", "b", "é", "drafts"]);
        assert_eq!(get("/keyspaces").await, json!({ "keyspaces": all, "truncated": false }));
        let first = get("/keyspaces?limit=3").await;
        assert_eq!(
            (&first["keyspaces"], &first["truncated"]),
            (&json!(["", "b", "é"]), &json!(true))
        );
        let cursor = first["cursor"].as_str().unwrap();
        let rest = get(&format!("/keyspaces?limit=3&cursor={cursor}")).await;
        assert_eq!(rest, json!({ "keyspaces": ["drafts"], "truncated": false }));
        assert_eq!(get("/keyspaces?cursor=!").await["code"], "bad-argument");
    }
}
