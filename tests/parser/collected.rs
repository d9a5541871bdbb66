//! Statements other people wrote: the scripts PostgreSQL installs, and any others named in the environment.

use std::{env, fs, path::Path};

use pgsteer::sql::touches::{FunctionNames, touches};
use pgsteer_parser_tests::read;

use crate::checked;

/// Lines of one statement, at most; what is longer is not tried.
const LINES_MAX: usize = 400;

/// The scripts of every installed PostgreSQL (its own catalog, and extensions), and those in the folder
/// `PGSTEER_SQL_SCRIPTS`, for example `src/test/regress/sql` of PostgreSQL's sources.
#[test]
fn scripts_touch_what_the_parser_sees() {
    let mut scripts = Vec::new();
    collect(Path::new("/usr/share/postgresql"), &mut scripts);
    if let Some(folder) = env::var_os("PGSTEER_SQL_SCRIPTS") {
        collect(Path::new(&folder), &mut scripts);
    }
    let (mut read_well, mut exactly) = (0_usize, 0_usize);
    for script in &scripts {
        for statement in statements(script) {
            let Some(said) = checked(&statement) else { continue };
            let read = read(&touches(statement.as_bytes(), true, FunctionNames::NONE));
            read_well += 1;
            exactly += usize::from(read == (said.kinds, said.settings, said.names));
        }
    }
    assert!(read_well > 1000, "only {read_well} statements found; is PostgreSQL installed?");
    // The rest are names used for something else, taken for the worse.
    assert!(exactly * 100 >= read_well * 99, "{exactly} of {read_well} read exactly");
}

fn collect(folder: &Path, scripts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, scripts);
        } else if path.extension().is_some_and(|extension| extension == "sql") {
            scripts.extend(fs::read_to_string(&path));
        }
    }
}

/// The statements of a psql script: lines from one that ends a statement to the next with which the parser is content.
fn statements(script: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut statement = String::new();
    let mut lines = 0;
    for line in script.lines().filter(|line| !line.starts_with('\\')) {
        statement += line;
        statement.push('\n');
        lines += 1;
        let ends = line.trim_end().ends_with(';');
        if ends && pg_query::parse(&statement).is_ok() {
            found.push(std::mem::take(&mut statement));
            lines = 0;
        } else if lines > LINES_MAX || (ends && line.len() == 1) {
            statement.clear();
            lines = 0;
        }
    }
    found
}
