//! What PostgreSQL's own parser (by `libpg_query`) makes of a text, in the words of [`pgsteer::sql`].
//!
//! Written from the grammar's side, without a look at how pgsteer reads: the parse tree is walked whole, as JSON.

use std::collections::BTreeSet;

use pgsteer::sql::TransactionControl;
use pgsteer::sql::touches::{Kinds, Touches};
use serde_json::Value;

/// What a text says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How many statements there are.
    pub statements: usize,
    /// A statement holds others, behind semicolons: `BEGIN ATOMIC`, or a rule.
    pub nests: bool,
    /// What the only statement does to the transaction.
    pub control: Option<TransactionControl>,
    /// What of the session is touched.
    pub kinds: Kinds,
    /// The settings named, in lower case.
    pub settings: BTreeSet<Vec<u8>>,
    /// The prepared statements named.
    pub names: BTreeSet<Vec<u8>>,
}

/// What PostgreSQL's parser makes of a text; `None` if it refuses it.
pub fn said(text: &str) -> Option<Said> {
    let tree = pg_query::parse(text).ok()?;
    let statements = serde_json::to_value(&tree.protobuf.stmts).ok()?;
    let mut said = Said::default();
    for raw in statements.as_array()? {
        let Some((kind, node)) = raw["stmt"]["node"].as_object().and_then(|node| node.iter().next()) else {
            continue;
        };
        said.statements += 1;
        said.statement(kind, node);
        said.walk(kind, node);
    }
    if said.statements != 1 {
        said.control = None;
    }
    Some(said)
}

/// A [`Touches`] in the same form, to be compared.
pub fn read(touches: &Touches) -> (Kinds, BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let set = |names: &[Box<[u8]>]| names.iter().map(|name| name.to_vec()).collect();
    (touches.kinds, set(&touches.settings), set(&touches.statements))
}

/// Kinds by the function that is called.
const FUNCTIONS: [(&[&str], Kinds); 9] = [
    (&["currval", "lastval"], Kinds::SEQUENCES),
    (&["nextval", "setval"], Kinds::ADVANCES),
    (&["setseed"], Kinds::SEED),
    (&["pg_notify"], Kinds::NOTIFIES),
    (&["pg_listening_channels"], Kinds::LISTENS),
    (&["pg_my_temp_schema"], Kinds::LOOKS),
    (
        &[
            "pg_advisory_lock",
            "pg_advisory_lock_shared",
            "pg_try_advisory_lock",
            "pg_try_advisory_lock_shared",
            "pg_advisory_unlock",
            "pg_advisory_unlock_shared",
            "pg_advisory_unlock_all",
        ],
        Kinds::LOCKS,
    ),
    (
        &["pg_backup_start", "pg_backup_stop", "pg_create_logical_replication_slot", "dblink_connect"],
        Kinds::BOUND,
    ),
    (&["query_to_xml", "ts_stat", "ts_rewrite"], Kinds::OPAQUE),
];

impl Said {
    /// What a statement says that is not part of another one.
    fn statement(&mut self, kind: &str, node: &Value) {
        self.kinds |= match kind {
            "CallStmt" | "DoStmt" => Kinds::CALLS,
            "ClosePortalStmt" => Kinds::CURSORS,
            "DiscardStmt" => Kinds::DISCARDS,
            "DropStmt" | "DropOwnedStmt" | "DropRoleStmt" | "DropdbStmt" => Kinds::DROPS,
            "ListenStmt" | "UnlistenStmt" => Kinds::LISTENS,
            "LoadStmt" => Kinds::LOADS,
            "NotifyStmt" => Kinds::NOTIFIES,
            "PrepareStmt" | "DeallocateStmt" => Kinds::PREPARED,
            _ => Kinds::NONE,
        };
        match kind {
            "PrepareStmt" => self.name(node),
            "DeallocateStmt" if node["isall"] != true => self.name(node),
            "VariableSetStmt" => self.set(node),
            "TransactionStmt" => self.control = control(node),
            _ => {}
        }
    }

    /// What parts say wherever they stand.
    fn walk(&mut self, key: &str, value: &Value) {
        match key {
            "FuncCall" => self.function(value),
            "ExecuteStmt" => {
                self.kinds |= Kinds::USES_PREPARED;
                self.name(value);
            }
            "DeclareCursorStmt" if value["options"].as_u64().is_some_and(|options| options & 0x20 != 0) => {
                self.kinds |= Kinds::CURSORS;
            }
            "UpdateStmt" if value["relation"]["relname"] == "pg_settings" => {
                self.kinds |= Kinds::EVERY_SETTING;
            }
            "CreateFunctionStmt" if in_temp(&strings(&value["funcname"])) => self.kinds |= Kinds::TEMP,
            "relpersistence" if value == "t" => self.kinds |= Kinds::TEMP,
            "schemaname" if in_temp(&[value.as_str().unwrap_or_default()]) => self.kinds |= Kinds::TEMP,
            "relname" if value == "pg_prepared_statements" || value == "pg_cursors" => {
                self.kinds |= Kinds::LOOKS;
            }
            "sql_body" if !value.is_null() => self.nests = true,
            "RuleStmt" => self.nests = true,
            _ => {}
        }
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| self.walk(key, value)),
            Value::Array(items) => items.iter().for_each(|item| self.walk("", item)),
            _ => {}
        }
    }

    fn name(&mut self, node: &Value) {
        self.names.extend(node["name"].as_str().map(|name| name.as_bytes().to_vec()));
    }

    fn set(&mut self, node: &Value) {
        const CHARACTERISTICS: [&str; 3] = ["isolation", "read_only", "deferrable"];
        let local = node["is_local"] == true;
        match (node["name"].as_str().unwrap_or_default(), node["kind"].as_u64()) {
            (_, Some(6)) => self.kinds |= Kinds::RESETS,
            ("TRANSACTION" | "TRANSACTION SNAPSHOT", Some(4)) => {}
            ("SESSION CHARACTERISTICS", Some(4)) => CHARACTERISTICS
                .iter()
                .for_each(|part| self.setting(format!("default_transaction_{part}").as_bytes(), local)),
            (name, _) => self.setting(name.as_bytes(), local),
        }
    }

    fn setting(&mut self, name: &[u8], local: bool) {
        let name = name.to_ascii_lowercase();
        match &*name {
            b"seed" => self.kinds |= Kinds::SEED,
            b"transaction_isolation" | b"transaction_read_only" | b"transaction_deferrable" => {}
            // There is no such setting.
            b"" => {}
            _ if local => {}
            name => {
                self.kinds |= Kinds::SETTINGS;
                self.settings.insert(name.to_vec());
                if name == b"session_authorization" {
                    self.settings.insert(b"role".to_vec());
                }
            }
        }
    }

    fn function(&mut self, call: &Value) {
        let path = strings(&call["funcname"]);
        let name = path.last().copied().unwrap_or_default();
        FUNCTIONS
            .iter()
            .filter(|(names, _)| names.contains(&name))
            .for_each(|(_, kinds)| self.kinds |= *kinds);
        if in_temp(&path) {
            self.kinds |= Kinds::TEMP;
        }
        if name == "set_config" {
            let local = call["args"][2]["node"]["AConst"]["val"]["Boolval"]["boolval"] == true;
            match constant(&call["args"][0]["node"]) {
                Some(name) => self.setting(name.as_bytes(), local),
                None if local => {}
                None => self.kinds |= Kinds::EVERY_SETTING,
            }
        }
    }
}

/// A string, or one cast to text.
fn constant(node: &Value) -> Option<&str> {
    let cast = &node["TypeCast"];
    let to_text = strings(&cast["type_name"]["names"]).last() == Some(&"text");
    let constant = if to_text { &cast["arg"]["node"] } else { node };
    constant["AConst"]["val"]["Sval"]["sval"].as_str()
}

/// A list of names.
fn strings(list: &Value) -> Vec<&str> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item["node"]["String"]["sval"].as_str()).collect()
}

fn in_temp(path: &[&str]) -> bool {
    path.iter().any(|part| *part == "pg_temp" || part.starts_with("pg_temp_"))
}

fn control(node: &Value) -> Option<TransactionControl> {
    Some(match node["kind"].as_u64()? {
        1 | 2 => TransactionControl::Begin,
        3 => TransactionControl::Commit,
        4 => TransactionControl::Rollback,
        5 => TransactionControl::Savepoint,
        6 => TransactionControl::Release,
        7 => TransactionControl::RollbackToSavepoint,
        8 => TransactionControl::PrepareTransaction,
        9 => TransactionControl::CommitPrepared,
        10 => TransactionControl::RollbackPrepared,
        _ => return None,
    })
}
