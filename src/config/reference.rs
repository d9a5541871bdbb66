//! The reference of all keys, made from their declarations.

use std::fmt::Write;

use super::{
    declare::{Key, Reload},
    keys::sections,
};

const INTRODUCTION: &str = "\
# Configuration reference

*Made by `pgsteer reference` from the declarations in `src/config/keys.rs`; do not edit.*

The file is TOML and read strictly: an unknown key is an error. `pgsteer check --config FILE` says what pgsteer
understands; `pgsteer.toml` beside this page is an example that works.

- **duration**: a number with a unit, `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"1d\"` (also `us`, `min`); a number
  without a unit is seconds.
- **size**: `\"64kB\"`, `\"32MB\"`, `\"1GB\"`, each 1024 of the one before; a number without a unit is bytes.
- **secret**: the text itself, or `{ env = \"NAME\" }` for an environment variable; or leave the key out and name a
  file in its `_file` sibling (one line; the line end does not count). Secrets never appear in a log, an error or the
  output of `check`.
- **path**: relative paths start at the folder of the configuration file.
- **0 = off**: no limit, no timeout, not served.
- **Reload**: what a changed key does when the file is read again (SIGHUP). A file with an error changes nothing.
";

/// The reference in Markdown.
pub fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (header, about, keys) in sections() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n## `{header}`\n\n{}\n\n", paragraph(about));
        text.push_str("| Key | Value | Default | Reload | What it does |\n|---|---|---|---|---|\n");
        for key in keys {
            text.push_str(&row(&key));
        }
    }
    text
}

fn row(key: &Key) -> String {
    let default = match key.default {
        Some(default) => format!("`{default}`"),
        None if (key.required)() => "required".to_owned(),
        None => "–".to_owned(),
    };
    let reload = match key.reload {
        Reload::AtOnce => "at once",
        Reload::NewConnections => "new connections",
        Reload::Restart => "restart",
    };
    let doc = paragraph(key.doc).replace('|', "\\|");
    format!("| `{}` | {} | {default} | {reload} | {doc} |\n", key.name, (key.kind)())
}

/// The lines of a doc comment as one.
fn paragraph(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}
