//! `COMMAND`: what the commands are.

use crate::command::{COMMANDS, Command, Spec, find, help};
use crate::glob;
use crate::parser::Arguments;
use crate::refusal::{Answer, SYNTAX};
use crate::reply::Output;

/// `COMMAND [COUNT | INFO [name …] | DOCS [name …] | LIST [FILTERBY PATTERN pattern] | HELP]`.
pub(crate) fn command(arguments: Arguments<'_>, out: &mut Output) -> Answer {
    if arguments.len() == 1 {
        infos(COMMANDS.iter().map(Some).collect(), out);
        return Ok(());
    }
    let named = arguments.from(2);
    match arguments.at(1).to_ascii_lowercase().as_slice() {
        b"count" => out.count(COMMANDS.len()),
        b"info" if named.len() == 0 => infos(COMMANDS.iter().map(Some).collect(), out),
        b"info" => infos(named.iter().map(find).collect(), out),
        b"help" => help(Command::Command, out),
        b"docs" if named.len() == 0 => docs(&COMMANDS.iter().collect::<Vec<_>>(), out),
        b"docs" => docs(&named.iter().filter_map(find).collect::<Vec<_>>(), out),
        _ => list(named, out)?,
    }
    Ok(())
}

fn infos(specs: Vec<Option<&Spec>>, out: &mut Output) {
    out.array(specs.len());
    for spec in specs {
        match spec {
            Some(spec) => info(spec, out),
            None => out.null(),
        }
    }
}

fn info(spec: &Spec, out: &mut Output) {
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.integer(spec.arity);
    let flags: Vec<&str> = spec.flags.split_whitespace().collect();
    out.set(flags.len());
    for flag in &flags {
        out.simple(flag);
    }
    let (first, last, step) = spec.keys;
    for number in [first, last, step] {
        out.integer(number);
    }
    let mut categories = vec![match spec.group {
        "string" => "@string",
        "generic" => "@keyspace",
        "pubsub" => "@pubsub",
        "transactions" => "@transaction",
        _ => "@connection",
    }];
    for (flag, category) in [("write", "@write"), ("readonly", "@read")] {
        if flags.contains(&flag) {
            categories.push(category);
        }
    }
    categories.push(if flags.contains(&"fast") { "@fast" } else { "@slow" });
    out.set(categories.len());
    for category in categories {
        out.simple(category);
    }
    // Hints, how keys are found beyond the numbers above, and subcommands: none are told.
    out.set(0);
    out.set(0);
    out.set(0);
}

fn docs(specs: &[&Spec], out: &mut Output) {
    out.map(specs.len());
    for spec in specs {
        out.bulk(spec.name.as_bytes());
        out.map(3);
        for (key, value) in
            [("summary", spec.summary), ("since", spec.since), ("group", spec.group)]
        {
            out.bulk(key.as_bytes());
            out.bulk(value.as_bytes());
        }
    }
}

fn list(options: Arguments<'_>, out: &mut Output) -> Answer {
    let pattern = match options.len() {
        0 => &b"*"[..],
        3 if options.at(0).eq_ignore_ascii_case(b"filterby")
            && options.at(1).eq_ignore_ascii_case(b"pattern") =>
        {
            options.at(2)
        }
        _ => return Err(SYNTAX),
    };
    let names: Vec<&str> = COMMANDS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| glob::matches(pattern, name.as_bytes()))
        .collect();
    out.array(names.len());
    for name in names {
        out.bulk(name.as_bytes());
    }
    Ok(())
}
