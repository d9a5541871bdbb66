//! Lines as PostgreSQL splits them.

use std::collections::BTreeMap;

use super::*;

/// Files in memory.
pub(in crate::auth) struct Shelf(pub(in crate::auth) BTreeMap<PathBuf, String>);

impl Shelf {
    pub(in crate::auth) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect())
    }
}

impl Files for Shelf {
    fn read(&self, path: &Path) -> Result<String, Unreadable> {
        self.0.get(path).cloned().ok_or(Unreadable::Missing)
    }

    fn names(&self, folder: &Path) -> Result<Vec<String>, Unreadable> {
        let inside = self.0.keys().filter_map(|path| path.strip_prefix(folder).ok()?.to_str());
        let names: Vec<_> = inside.map(str::to_owned).collect();
        if names.is_empty() { Err(Unreadable::Missing) } else { Ok(names) }
    }
}

/// Words in brackets are quoted; a list's words have commas between them.
fn show(line: &Line) -> String {
    let word = |word: &Word| match word.quoting {
        Quoting::Bare => word.text.clone(),
        Quoting::Quoted => format!("[{}]", word.text),
    };
    let fields = line.fields.iter().map(|field| field.iter().map(word).collect::<Vec<_>>().join(","));
    fields.collect::<Vec<_>>().join(" ")
}

fn check(files: &[(&str, &str)], expected: &[&str], wrong: &[&str]) {
    let mut errors = Vec::new();
    let lines = read(Path::new("/etc/hba"), &Shelf::of(files), &mut errors);
    let lines: Vec<_> = lines
        .iter()
        .map(|line| format!("{}:{} {}", line.place.file.display(), line.place.line, show(line)))
        .collect();
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        (lines, errors),
        (
            expected.iter().map(|line| (*line).to_owned()).collect(),
            wrong.iter().map(|error| (*error).to_owned()).collect(),
        ),
        "{files:?}"
    );
}

#[test]
fn words() {
    for (text, expected) in [
        ("", &[][..]),
        ("   \t\r\n# all\n\n", &[]),
        ("a b\tc # d\n  e", &["/etc/hba:1 a b c", "/etc/hba:2 e"]),
        ("a,b, c ,d e", &["/etc/hba:1 a,b,c d e"]),
        ("a,", &["/etc/hba:1 a"]),
        (",,a", &["/etc/hba:1 a"]),
        ("\"a b\" \"\" \"all\"x x\"all\"", &["/etc/hba:1 [a b] [] [allx] xall"]),
        ("\"a\"\"b\" \"a,b\",c \"#\" a#b", &["/etc/hba:1 [a\"b] [a,b],c [#] a"]),
        ("\"never closed # x", &["/etc/hba:1 [never closed # x]"]),
        ("a \\\nb\nc", &["/etc/hba:1 a b", "/etc/hba:3 c"]),
        ("a\\\nb\\", &["/etc/hba:1 ab"]),
        ("# a \\\nb\r\nc\r\n", &["/etc/hba:3 c"]),
        ("a b\\c", &["/etc/hba:1 a b\\c"]),
    ] {
        check(&[("/etc/hba", text)], expected, &[]);
    }
}

#[test]
fn included_files() {
    let more = [
        ("/etc/users", "# people\nu1 u2,\"u3\"\n@others\n"),
        ("/etc/others", "o1\n"),
        ("/etc/empty", "# nobody\n"),
        ("/etc/more", "m1 m2\nm3\n"),
        ("/etc/conf/b.conf", "b"),
        ("/etc/conf/a.conf", "a"),
        ("/etc/conf/.c.conf", "c"),
        ("/etc/conf/d", "d"),
        ("/etc/loop", "x\ninclude loop"),
    ];
    for (text, expected, wrong) in [
        ("x @users y", &["/etc/hba:1 x u1,u2,[u3],o1 y"][..], &[][..]),
        ("x a,@users,b y", &["/etc/hba:1 x a,u1,u2,[u3],o1,b y"], &[]),
        ("x \"@users\" @ y", &["/etc/hba:1 x [@users] @ y"], &[]),
        ("x @empty y", &["/etc/hba:1 x  y"], &[]),
        (
            "x @nothing y",
            &["/etc/hba:1 x  y"],
            &["/etc/hba:1: cannot read /etc/nothing: no such file or directory"],
        ),
        ("a\ninclude more\nb", &["/etc/hba:1 a", "/etc/more:1 m1 m2", "/etc/more:2 m3", "/etc/hba:3 b"], &[]),
        (
            "include /etc/nothing\nb",
            &["/etc/hba:2 b"],
            &["/etc/hba:1: cannot read /etc/nothing: no such file or directory"],
        ),
        ("include_if_exists nothing\nb", &["/etc/hba:2 b"], &[]),
        ("include_dir conf", &["/etc/conf/a.conf:1 a", "/etc/conf/b.conf:1 b"], &[]),
        (
            "include_dir nowhere",
            &[],
            &["/etc/hba:1: cannot read the folder /etc/nowhere: no such file or directory"],
        ),
        ("include a b", &["/etc/hba:1 include a b"], &[]),
    ] {
        check(&[&[("/etc/hba", text)][..], &more].concat(), expected, wrong);
    }
    let mut errors = Vec::new();
    let lines = read(Path::new("/etc/loop"), &Shelf::of(&more), &mut errors);
    assert_eq!(lines.len(), DEPTH_MAX + 1);
    assert_eq!(errors[0].to_string(), "/etc/loop:2: files include each other more than 10 levels deep");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "[a-z\"@,#\\\\ \n/+]{0,60}") {
        let mut errors = Vec::new();
        read(Path::new("/etc/hba"), &Shelf::of(&[("/etc/hba", &text)]), &mut errors);
    }
}
