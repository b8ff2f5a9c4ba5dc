//! What a token is for, and what a list of them takes.

use super::*;

fn parse(text: &str) -> Result<Tokens, String> {
    Tokens::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// A token is found by its text alone, and by nothing that is in the file.
#[test]
fn the_file_has_no_token() {
    let mut tokens = Tokens::default();
    let text = tokens.add("app", Scope::Write, &["profile/*"]).unwrap();
    let other = tokens.add("other", Scope::Read, &[""; 0]).unwrap();
    assert_ne!(text, other);
    let random = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX).unwrap().as_bytes()).unwrap();
    assert_eq!(random.len() * 8, 256);
    let file = tokens.to_text();
    assert!(!file.contains(&text) && !file.contains(&text[PREFIX.len()..]), "{file}");
    let again = parse(&file).unwrap();
    assert_eq!(again.find(&text).unwrap().name(), "app");
    assert_eq!(again.find(&other).unwrap().name(), "other");
    let hash = blake3::hash(text.as_bytes()).to_hex();
    for wrong in ["", "app", &text[1..], &format!("{text} "), &hash, &"x".repeat(TOKEN_MAX + 1)] {
        assert!(again.find(wrong).is_none(), "{wrong}");
    }
    assert_eq!(again.to_text(), file);
}

/// Golden bytes: a file that an earlier version wrote is read as it was meant.
#[test]
fn a_file_is_read_as_it_was_written() {
    let text = r#"{"tokens": [{"name": "a",
        "hash": "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
        "scope": "admin"}]}"#;
    let tokens = parse(text).unwrap();
    let token = tokens.find("abc").unwrap();
    assert_eq!((token.name(), token.scope(), token.paths().len()), ("a", Scope::Admin, 0));
}

#[test]
fn each_scope_includes_those_before_it() {
    for has in [Scope::Read, Scope::Write, Scope::Admin] {
        let mut tokens = Tokens::default();
        let text = tokens.add("t", has, &[""; 0]).unwrap();
        for needs in [Scope::Read, Scope::Write, Scope::Admin] {
            for subject in [Subject::Cluster, Subject::Database("a")] {
                let checked = tokens.find(&text).unwrap().check(needs, subject);
                let expected = Denied::Scope { name: "t".into(), has, needs };
                assert_eq!(checked, if has >= needs { Ok(()) } else { Err(expected) });
            }
        }
        assert_eq!(has.name().parse::<Scope>().unwrap(), has);
    }
    assert!("root".parse::<Scope>().unwrap_err().to_string().contains("read, write or admin"));
}

#[test]
fn a_token_with_paths_is_for_these_databases_and_nothing_else() {
    let mut tokens = Tokens::default();
    let text = tokens.add("t", Scope::Admin, &["profile/*", "exact:a"]).unwrap();
    let token = tokens.find(&text).unwrap();
    let check = |path| token.check(Scope::Write, Subject::Database(path));
    assert_eq!((check("profile/x"), check("a")), (Ok(()), Ok(())));
    for path in ["profile/", "profile/x/y", "b", "", "_tidings/x", "profile/\n"] {
        let why = check(path).unwrap_err();
        assert_eq!(why.needs(), Scope::Write);
        let why = why.to_string();
        assert!(why.contains("for databases at profile/*, exact:a"), "{why}");
        assert!(why.contains("the scope write for that path"), "{why}");
    }
    let why = token.check(Scope::Read, Subject::Cluster).unwrap_err().to_string();
    assert!(why.contains("about the whole cluster; it needs a token with the scope read"), "{why}");
}

#[test]
fn a_list_that_is_unclear_is_refused_with_the_reason() {
    let hash = blake3::hash(b"").to_hex();
    let token = |name: &str, more: &str| {
        format!(r#"{{"name": "{name}", "hash": "blake3:{hash}", "scope": "read"{more}}}"#)
    };
    let list = |tokens: &[String]| format!(r#"{{"tokens": [{}]}}"#, tokens.join(","));
    assert!(parse(&list(&[token("a", "")])).is_ok());
    let longest = "n".repeat(limits::NAME_MAX);
    assert!(parse(&list(&[token(&longest, "")])).is_ok());
    let many: Vec<_> = (0..=TOKENS_MAX).map(|n| token(&format!("t{n}"), "")).collect();
    assert!(parse(&list(&many[1..])).is_ok());
    let paths = vec![r#""a""#; PATHS_MAX + 1].join(",");
    for (text, why) in [
        (String::new(), "not a list of tokens in JSON"),
        (list(&many), "1001 tokens are more than the 1000"),
        (list(&[token("a", ""), token("a", "")]), "a token named \"a\" already"),
        (list(&[token("", "")]), "names have 1 to 128 bytes"),
        (list(&[token("a b", "")]), "\"a b\" is refused"),
        (list(&[token(&(longest + "n"), "")]), "names have 1 to 128 bytes"),
        (list(&[token("a", r#", "path": "x""#)]), "unknown field `path`"),
        (list(&[token("a", r#", "paths": ["a["]"#)]), "the token \"a\": the matcher \"a[\""),
        (list(&[token("a", &format!(r#", "paths": [{paths}]"#))]), "101 paths, at most 100"),
        (list(&[token("a", "")]).replace("blake3:", "sha1:"), "blake3: and 64 hexadecimal digits"),
        (list(&[token("a", "")]).replace("\"read\"", "\"root\""), "unknown variant `root`"),
    ] {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[test]
fn a_token_that_is_revoked_is_gone_and_its_name_is_free() {
    let mut tokens = Tokens::default();
    let text = tokens.add("a", Scope::Read, &[""; 0]).unwrap();
    let token = tokens.find(&text).unwrap();
    assert!(tokens.still_has(&token));
    assert!(tokens.add("a", Scope::Read, &[""; 0]).unwrap_err().to_string().contains("already"));
    assert!(tokens.revoke("a"));
    assert!(!tokens.revoke("a"));
    assert!(tokens.find(&text).is_none());
    assert!(!tokens.still_has(&token));
    let new = tokens.add("a", Scope::Read, &[""; 0]).unwrap();
    assert!(!tokens.still_has(&token), "the same name is not the same token");
    assert!(tokens.find(&new).is_some());
}
