//! The house's own rules, where no lint knows them: which room may use which, how long a file may be, what a program
//! without global state does not contain.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms, in layers: a module imports only from layers above its own, and from its own room.
const LAYERS: [&[&str]; 15] = [
    &["clock", "metrics", "tls"],
    &["config"],
    &["wire"],
    &["sql"],
    &["auth"],
    &["net"],
    &["server"],
    &["cluster"],
    &["route"],
    &["pool"],
    &["notify"],
    &["client"],
    &["session"],
    &["admin"],
    &["proxy"],
];

/// Rooms, and parts of rooms, that decide without looking at sockets, time or the configuration.
const PURE: &str = "tls wire sql auth server/login route cluster/observer pool/slots notify/hub session/frontend \
                    session/backend session/withheld";

/// What pure code has no business with, besides `crate::config`.
const IMPURE: [&str; 5] = ["crate::config", "Instant::now", "SystemTime::now", "tokio::time", "tokio::net"];

/// Lines of one file, at most; of one that only tests, at most.
const LINES_MAX: usize = 400;
const TEST_LINES_MAX: usize = 800;

struct File {
    /// Below the project's folder, with slashes.
    path: String,
    lines: usize,
    first_line: String,
    /// Without comments, the content of literals, and what is there for tests only.
    code: String,
    is_test: bool,
}

impl File {
    /// The modules it is in: `pool/slots/room.rs` is `["pool", "slots", "room"]`.
    fn modules(&self) -> Vec<&str> {
        let inner = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        inner.split('/').filter(|name| !matches!(*name, "mod" | "lib" | "main")).collect()
    }

    fn is_below(&self, folder: &str) -> bool {
        self.path.starts_with(&format!("src/{folder}/")) || self.path == format!("src/{folder}.rs")
    }
}

fn files(folder: &str) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join(folder), &mut paths);
    paths.sort();
    let texts: Vec<(String, String)> = paths
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    let tests = test_files(&texts);
    texts
        .into_iter()
        .map(|(path, text)| File {
            lines: text.lines().count(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            code: without_tests(&without_comments_and_literals(&text)),
            is_test: folder != "src"
                || tests.iter().any(|test| {
                    path == *test || path.starts_with(&format!("{}/", test.trim_end_matches(".rs")))
                }),
            path,
        })
        .collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// The files of modules that are declared for tests only.
fn test_files(texts: &[(String, String)]) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for (path, text) in texts {
        let folder = match path.rsplit_once('/').unwrap() {
            (folder, "mod.rs" | "lib.rs" | "main.rs") => folder.to_owned(),
            _ => path.trim_end_matches(".rs").to_owned(),
        };
        for declaration in text.split("#[cfg(test)]").skip(1) {
            let declaration = declaration.trim_start();
            if let Some(file) = declaration.strip_prefix("#[path = \"") {
                let sibling = path.rsplit_once('/').unwrap().0;
                tests.insert(format!("{sibling}/{}", file.split('"').next().unwrap()));
            }
            let words: Vec<&str> =
                declaration.lines().next().unwrap_or_default().split_whitespace().collect();
            if let Some(name) =
                words.iter().skip_while(|word| **word != "mod").nth(1).and_then(|n| n.strip_suffix(';'))
            {
                tests.insert(format!("{folder}/{name}.rs"));
                tests.insert(format!("{folder}/{name}/mod.rs"));
            }
        }
    }
    tests
}

/// The same text with comments and the insides of literals blanked out, line for line.
fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_literal(rest) {
            length
        } else if rest.starts_with('"') {
            literal(rest, '"')
        } else if rest.starts_with('\'') && is_char(rest) {
            literal(rest, '\'')
        } else {
            let c = rest.chars().next().unwrap();
            out.push(c);
            at += c.len_utf8();
            continue;
        };
        out.extend(rest[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        at += end;
    }
    out
}

/// The length of a raw literal that begins here.
fn raw_literal(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    if !after[hashes..].starts_with('"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let begin = rest.len() - after.len() + hashes + 1;
    rest[begin..].find(&close).map(|end| begin + end + close.len())
}

fn literal(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether a quote begins a character, and not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

/// The same code without modules and functions that are there for tests only.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let brace = rest.find('{').unwrap_or(rest.len());
        let semicolon = rest.find(';').unwrap_or(rest.len());
        if semicolon < brace {
            rest = &rest[semicolon..];
            continue;
        }
        let mut depth = 0;
        let end = rest.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            *c == '}' && depth == 0
        });
        rest = &rest[end.map_or(rest.len(), |(at, _)| at + 1)..];
    }
    out.push_str(rest);
    out
}

/// The rooms that code names by `crate::…`, `use crate::{…}` or enough `super::`.
fn rooms_used(file: &File) -> BTreeSet<String> {
    let code: String = file.code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rooms = BTreeSet::new();
    let to_root = "super::".repeat(file.modules().len());
    let mut roots = vec!["crate::"];
    if !to_root.is_empty() {
        roots.push(&to_root);
    }
    for root in roots {
        for (at, _) in code.match_indices(root) {
            let rest = code[at + root.len()..].trim_start();
            match rest.strip_prefix('{') {
                Some(group) => rooms.extend(first_names(group)),
                None => rooms.extend(word(rest)),
            }
        }
    }
    rooms.retain(|room| LAYERS.iter().flat_map(|layer| layer.iter()).any(|known| room == known));
    rooms
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The first name of each path in a group, up to its closing brace.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && (c.is_alphabetic() || c == '_') => {
                names.extend(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn layer_of(room: &str) -> usize {
    let found = LAYERS.iter().position(|layer| layer.contains(&room));
    found.unwrap_or_else(|| panic!("{room} has no place among the layers"))
}

/// Every complaint at once.
fn assert_none(what: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{what}:\n  {}", complaints.join("\n  "));
}

#[test]
fn rooms_use_only_those_above_them() {
    let mut complaints = Vec::new();
    for file in files("src").iter().filter(|file| !file.is_test) {
        // The crate's root names all rooms.
        let modules = file.modules();
        let Some(own) = modules.first() else { continue };
        for used in rooms_used(file) {
            if used != **own && layer_of(&used) >= layer_of(own) && !is_beside(&used, own) {
                complaints.push(format!("{} uses {used}", file.path));
            }
        }
    }
    assert_none("imports that go up", &complaints);
}

/// Of the first layer, only the configuration may use another: it is read before there is anything else.
fn is_beside(used: &str, own: &str) -> bool {
    layer_of(used) == 0 && layer_of(own) == 0 && own == "config"
}

#[test]
fn every_room_has_its_place() {
    let rooms: BTreeSet<String> = files("src")
        .iter()
        .filter_map(|file| file.modules().first().map(|room| (*room).to_owned()))
        .collect();
    let placed: BTreeSet<String> =
        LAYERS.iter().flat_map(|layer| layer.iter()).map(|room| (*room).to_owned()).collect();
    assert_eq!(rooms, placed);
}

#[test]
fn pure_rooms_are_pure() {
    let mut complaints = Vec::new();
    for file in files("src").iter().filter(|file| !file.is_test) {
        if PURE.split_whitespace().any(|room| file.is_below(room)) {
            let found = IMPURE.iter().filter(|what| file.code.contains(*what));
            complaints.extend(found.map(|what| format!("{} uses {what}", file.path)));
            if rooms_used(file).contains("config") {
                complaints.push(format!("{} uses the configuration", file.path));
            }
        }
    }
    assert_none("pure code that is not", &complaints);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut complaints = Vec::new();
    for file in ["src", "tests", "benches"].into_iter().flat_map(files) {
        let max = if file.is_test { TEST_LINES_MAX } else { LINES_MAX };
        if file.lines > max {
            complaints.push(format!("{} has {} lines, more than {max}", file.path, file.lines));
        }
        if !file.first_line.starts_with("//! ") {
            complaints.push(format!("{} does not begin with `//! ` and what it is", file.path));
        }
    }
    assert_none("files", &complaints);
}

#[test]
fn there_is_no_global_state() {
    let mut complaints = Vec::new();
    for file in files("src").iter().filter(|file| !file.is_test) {
        for (number, line) in file.code.lines().enumerate() {
            let declared = line.trim_start().trim_start_matches("pub").trim_start_matches("(crate)");
            let is_static = declared.trim_start().starts_with("static ");
            if is_static
                || ["thread_local!", "lazy_static!", "LazyLock"].iter().any(|what| line.contains(what))
            {
                complaints.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert_none("global state", &complaints);
}

#[test]
fn nothing_panics_on_purpose() {
    const PANICS: [&str; 6] =
        [".unwrap()", ".expect(", "panic!(", "unreachable!(", "unimplemented!(", "todo!("];
    let mut complaints = Vec::new();
    for file in files("src").iter().filter(|file| !file.is_test) {
        let lines: Vec<&str> = file.code.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            // In a constant it is the compiler that panics; the declaration is on the line or the one before it.
            let is_const =
                lines[number.saturating_sub(1)..=number].iter().any(|line| line.contains("const "));
            if !is_const && PANICS.iter().any(|what| line.contains(what)) {
                complaints.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    assert_none("panics", &complaints);
}

#[test]
fn the_tidier_reads_code_as_it_is() {
    let code = without_comments_and_literals(
        "let a = \"crate::x\"; // crate::y\nlet b = 'c'; let c: &'static str = r#\"\"\"#;",
    );
    assert!(!code.contains("crate::") && code.contains("&'static str"), "{code}");
    let code = without_tests(
        "use crate::wire;\n#[cfg(test)]\nmod tests { use crate::proxy; fn f() {} }\nuse crate::sql;",
    );
    let file = |path: &str, code: &str| File {
        path: path.to_owned(),
        lines: 0,
        first_line: String::new(),
        code: code.to_owned(),
        is_test: false,
    };
    let used = |path, code| rooms_used(&file(path, code)).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(used("src/pool/slots.rs", &code), "sql wire");
    assert_eq!(
        used("src/pool/slots.rs", "use crate::{clock::{A, wire}, net, session::{self}};"),
        "clock net session"
    );
    assert_eq!(used("src/pool/slots.rs", "use super::super::proxy; use super::session;"), "proxy");
    assert_eq!(used("src/pool/mod.rs", "use super::proxy;"), "proxy");
    assert_eq!(used("src/clock.rs", "let a = crate::auth::B::new();"), "auth");
}
