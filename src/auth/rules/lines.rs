//! The lines of `pg_hba.conf` and `pg_ident.conf`: quoting, lists, continued lines, included files; as PostgreSQL 16
//! reads them (`src/backend/libpq/hba.c`).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// How deep files may include each other (PostgreSQL's `CONF_FILE_MAX_DEPTH`).
const DEPTH_MAX: usize = 10;
/// Lines and words of all files together.
const LINES_MAX: usize = 100_000;
const WORDS_MAX: usize = 1_000_000;
/// After so many errors the rest is not read.
pub(in crate::auth) const ERRORS_MAX: usize = 20;

/// Where the files are that rules are read from.
pub trait Files {
    /// The text of a file.
    fn read(&self, path: &Path) -> Result<String, Unreadable>;
    /// The names of the files in a folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>, Unreadable>;
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It does not exist.
    Missing,
    /// Something else, in words.
    Other(String),
}

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// The line, from 1; the first one of a line that is continued.
    pub line: usize,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {what}", place.file.display(), place.line)]
pub struct LineError {
    /// Where.
    pub place: Place,
    /// What.
    pub what: String,
}

/// A word, and whether quoting took its special meaning away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Word {
    pub(in crate::auth) text: String,
    pub(in crate::auth) quoting: Quoting,
}

/// Whether a word began with a double quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Quoting {
    Bare,
    Quoted,
}

impl Word {
    /// Whether it is this keyword.
    pub(in crate::auth) fn is_keyword(&self, keyword: &str) -> bool {
        self.quoting == Quoting::Bare && self.text == keyword
    }
}

/// A line that says something: its fields, each a list of words (none where all stood in an empty file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::auth) struct Line {
    pub(in crate::auth) place: Place,
    pub(in crate::auth) fields: Vec<Vec<Word>>,
}

/// Reads a file with all that it includes. Errors go to `errors`.
pub(in crate::auth) fn read(path: &Path, files: &dyn Files, errors: &mut Vec<LineError>) -> Vec<Line> {
    let mut reader = Reader { files, errors, lines: Vec::new(), words: 0 };
    let place = Place { file: path.into(), line: 1 };
    reader.file(path, &place, 0, Absence::IsAnError);
    reader.lines
}

/// Reads a text that stands in no file of its own.
pub(in crate::auth) fn read_text(
    text: &str,
    place: &Place,
    files: &dyn Files,
    errors: &mut Vec<LineError>,
) -> Vec<Line> {
    let mut reader = Reader { files, errors, lines: Vec::new(), words: 0 };
    reader.text(text, place, 0);
    reader.lines
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    IsAnError,
    IsAllowed,
}

struct Reader<'a> {
    files: &'a dyn Files,
    errors: &'a mut Vec<LineError>,
    lines: Vec<Line>,
    words: usize,
}

impl Reader<'_> {
    fn error(&mut self, place: &Place, what: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(LineError { place: place.clone(), what: what.into() });
        }
    }

    /// A file that is named at `from`.
    fn file(&mut self, path: &Path, from: &Place, depth: usize, absence: Absence) {
        if let Some(text) = self.open(path, from, depth, absence) {
            self.text(&text, &Place { file: path.into(), line: 1 }, depth);
        }
    }

    fn open(&mut self, path: &Path, from: &Place, depth: usize, absence: Absence) -> Option<String> {
        if depth > DEPTH_MAX {
            self.error(from, format!("files include each other more than {DEPTH_MAX} levels deep"));
            return None;
        }
        match self.files.read(path) {
            Ok(text) => Some(text),
            Err(Unreadable::Missing) if absence == Absence::IsAllowed => None,
            Err(why) => {
                self.error(from, format!("cannot read {}: {}", path.display(), in_words(why)));
                None
            }
        }
    }

    fn text(&mut self, text: &str, first: &Place, depth: usize) {
        for (number, logical) in logical_lines(text) {
            let place = Place { line: first.line + number, ..first.clone() };
            let fields = self.fields(&logical, &place, depth);
            if fields.is_empty() || self.includes(&fields, &place, depth) {
                continue;
            }
            self.words += fields.iter().map(Vec::len).sum::<usize>();
            if self.lines.len() >= LINES_MAX || self.words > WORDS_MAX {
                self.error(&place, "too much to read: the rest is left out");
                return;
            }
            self.lines.push(Line { place, fields });
        }
    }

    /// Whether the line is there to include others; if so, they have been read.
    fn includes(&mut self, fields: &[Vec<Word>], place: &Place, depth: usize) -> bool {
        let [directive, named] = fields else { return false };
        let ([directive], [named]) = (&**directive, &**named) else { return false };
        let path = beside(&place.file, &named.text);
        match &*directive.text {
            "include" => self.file(&path, place, depth + 1, Absence::IsAnError),
            "include_if_exists" => self.file(&path, place, depth + 1, Absence::IsAllowed),
            "include_dir" => match self.files.names(&path) {
                Ok(mut names) => {
                    names.retain(|name| name.ends_with(".conf") && !name.starts_with('.'));
                    names.sort_unstable();
                    for name in names {
                        self.file(&path.join(name), place, depth + 1, Absence::IsAnError);
                    }
                }
                Err(why) => {
                    self.error(
                        place,
                        format!("cannot read the folder {}: {}", path.display(), in_words(why)),
                    );
                }
            },
            _ => return false,
        }
        true
    }

    /// The fields of a line, `@file` in them replaced by the words of that file.
    fn fields(&mut self, line: &str, place: &Place, depth: usize) -> Vec<Vec<Word>> {
        let mut words = Words::of(line);
        let mut fields = Vec::new();
        let mut field = Vec::new();
        let mut begun = false;
        while let Some((word, goes_on)) = words.next_word() {
            begun = true;
            match word.text.strip_prefix('@') {
                Some(name) if word.quoting == Quoting::Bare && !name.is_empty() => {
                    self.words_of_file(&beside(&place.file, name), place, depth + 1, &mut field);
                }
                _ => field.push(word),
            }
            if !goes_on {
                fields.push(std::mem::take(&mut field));
                begun = false;
            }
        }
        if begun {
            fields.push(field);
        }
        fields
    }

    fn words_of_file(&mut self, path: &Path, from: &Place, depth: usize, into: &mut Vec<Word>) {
        let Some(text) = self.open(path, from, depth, Absence::IsAnError) else { return };
        let place = Place { file: path.into(), line: 1 };
        for (number, line) in logical_lines(&text) {
            let place = Place { line: number + 1, ..place.clone() };
            for field in self.fields(&line, &place, depth) {
                into.extend(field);
            }
            if into.len() > WORDS_MAX {
                return;
            }
        }
    }
}

pub(super) fn in_words(why: Unreadable) -> String {
    match why {
        Unreadable::Missing => "no such file or directory".to_owned(),
        Unreadable::Other(words) => words,
    }
}

/// A path as it is meant in a file: from the folder in which that is.
pub(super) fn beside(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(name)
}

/// Lines with those they are continued by (a backslash at the end), each with its number from 0.
fn logical_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).enumerate();
    std::iter::from_fn(move || {
        let (number, first) = lines.next()?;
        let mut line = first.to_owned();
        while line.ends_with('\\') {
            line.pop();
            let Some((_, more)) = lines.next() else { break };
            line.push_str(more);
        }
        Some((number, line))
    })
}

/// Splits a line into words (`next_token`).
struct Words<'a>(std::iter::Peekable<std::str::Chars<'a>>);

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        Self(line.chars().peekable())
    }

    /// The next word, and whether a comma behind it says that its list goes on. Blanks before a comma end a list.
    fn next_word(&mut self) -> Option<(Word, bool)> {
        while self.0.next_if(|c| is_blank(*c) || *c == ',').is_some() {}
        let (mut text, mut quoting, mut goes_on) = (String::new(), Quoting::Bare, false);
        let (mut inside, mut was_quote, mut any) = (false, false, false);
        while let Some(c) = self.0.next_if(|c| inside || !is_blank(*c)) {
            if c == '#' && !inside {
                // A comment, to the end of the line.
                while self.0.next().is_some() {}
                break;
            }
            any = true;
            if c == ',' && !inside {
                goes_on = true;
                break;
            }
            if c != '"' || was_quote {
                text.push(c);
            }
            was_quote = inside && c == '"' && !was_quote;
            if c == '"' {
                inside = !inside;
                if text.is_empty() {
                    quoting = Quoting::Quoted;
                }
            }
        }
        (any || quoting == Quoting::Quoted).then_some((Word { text, quoting }, goes_on))
    }
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

#[cfg(test)]
pub(in crate::auth) mod tests;
