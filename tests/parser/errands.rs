//! Whether a text only reads, and which names decide it.

use std::collections::BTreeSet;

use pgsteer::sql::errand::{Errand, Use, errand};
use serde_json::Value;

/// Where pgsteer finds that a text only reads, or begins a transaction, the parser must find the same, and no function or
/// relation that was not heard of.
pub(crate) fn check(text: &str) {
    let (mut called, mut heard) = (BTreeSet::new(), BTreeSet::new());
    let errand = errand(text.as_bytes(), true, &mut |used, name| {
        let name = String::from_utf8_lossy(name).into_owned();
        if matches!(used, Use::Called | Use::Syntax) {
            called.insert(name.clone());
        }
        heard.insert(name);
    });
    if errand == Errand::Other {
        return;
    }
    let Ok(tree) = pg_query::parse(text) else { return };
    let statements = serde_json::to_value(&tree.protobuf.stmts).unwrap();
    let statements = statements.as_array().unwrap();
    assert_eq!(statements.len(), 1, "{errand:?}: {text}");
    let node = statements[0]["stmt"]["node"].as_object().unwrap();
    let (kind, node) = node.iter().next().unwrap();
    match (errand, kind.as_str()) {
        (Errand::Reads, "SelectStmt" | "ExplainStmt" | "VariableShowStmt") => {}
        (Errand::Reads, "CopyStmt") => {
            assert!(
                node["is_from"] == false && node["is_program"] == false && node["filename"] == "",
                "{text}"
            );
        }
        (Errand::Begins | Errand::BeginsReading, "TransactionStmt") => {
            assert!(matches!(node["kind"].as_u64(), Some(1 | 2)), "{text}");
            return assert_eq!(modes(node), (errand == Errand::BeginsReading, false), "{text}");
        }
        _ => panic!("{errand:?}, not {kind}: {text}"),
    }
    walk(node, &mut |key, value| match key {
        "InsertStmt" | "UpdateStmt" | "DeleteStmt" | "MergeStmt" | "ExecuteStmt" | "CallStmt"
        | "DeclareCursorStmt" | "CreateTableAsStmt" | "LockingClause" | "IntoClause" => {
            panic!("{key} in {text}");
        }
        "into_clause" => assert!(value.is_null(), "{text}"),
        "FuncCall" => {
            let path = value["funcname"].as_array().unwrap();
            let names: Vec<_> =
                path.iter().filter_map(|part| part["node"]["String"]["sval"].as_str()).collect();
            // What special syntax stands for is PostgreSQL's own.
            let is_syntax = names.first() == Some(&"pg_catalog") && !text.contains("pg_catalog");
            let name = names.last().copied().unwrap_or_default();
            assert!(is_syntax || called.contains(name), "{name} is not heard called in {text}");
        }
        "relname" => {
            let name = value.as_str().unwrap_or_default();
            assert!(heard.contains(name), "{name} is not heard in {text}");
        }
        _ => {}
    });
}

/// Whether a transaction can only read, and whether a mode is there that replicas do not have.
fn modes(node: &Value) -> (bool, bool) {
    let (mut reads, mut odd) = (false, false);
    for option in node["options"].as_array().unwrap() {
        let option = &option["node"]["DefElem"];
        let value = &option["arg"]["node"]["AConst"]["val"];
        match option["defname"].as_str().unwrap_or_default() {
            "transaction_read_only" if value["Ival"]["ival"] == 1 => reads = true,
            "transaction_read_only" => odd = true,
            "transaction_isolation" => odd |= value["Sval"]["sval"] == "serializable",
            _ => {}
        }
    }
    (reads, odd)
}

fn walk(value: &Value, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                see(key, value);
                walk(value, see);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, see)),
        _ => {}
    }
}
