//! How a key is declared: once, with its documentation, default and reload rule; and how a table of keys is read.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{Finding, Place, SourceText},
    nearest::nearest,
    pgbouncer::instead,
    secret::Secret,
    value::{Context, Fault, UNSET, Value, quoted},
};

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// At once, for everybody.
    AtOnce,
    /// For connections opened from then on; those that are open keep what they had.
    NewConnections,
    /// Only when pgsteer is started again.
    Restart,
}

impl fmt::Display for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::NewConnections => "for new connections",
            Self::Restart => "at a restart",
        })
    }
}

/// One key, as the reference tells of it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
    /// As one would write it in the file; `None`: no default.
    pub(super) default: Option<&'static str>,
    pub(super) kind: fn() -> String,
    /// Whether it must be written.
    pub(super) required: fn() -> bool,
    pub(super) reload: Reload,
}

/// A table of keys: what it is for and what it may hold.
pub(super) trait Section: Sized {
    /// As it is written: `[pool]`, `[clusters.NAME]`, `[[listen]]`.
    const HEADER: &'static str;
    /// What the table is for.
    const ABOUT: &'static str;

    /// Its keys in the order of their declaration.
    fn keys() -> Vec<Key>;

    /// Reads it. A key that is not written has the value of `base`, where there is one, or its default.
    /// What is wrong is noted; `None` if so much is wrong that there is no value to go on with.
    fn read(fields: &mut Fields<'_, '_, '_>, base: Option<&Self>) -> Option<Self>;

    /// Every key with its value.
    fn entries(&self, path: &str) -> Vec<Entry>;
}

/// A key's value in a configuration.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The table: `pool`, `clusters.trading`.
    pub(super) table: String,
    pub(super) name: &'static str,
    pub(super) shown: String,
    pub(super) secret: Option<Secret>,
    pub(super) is_default: DefaultOr,
    pub(super) reload: Reload,
}

/// Whether a value is the one the key has by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultOr {
    Default,
    Chosen,
}

impl Entry {
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    pub(super) fn new<T: Value>(path: &str, key: &Key, value: &T) -> Self {
        let shown = value.show();
        let is_default = key.default.map_or(shown == UNSET, |default| {
            parse_default::<T>(default).is_ok_and(|default| default == *value)
        });
        Self {
            table: path.to_owned(),
            name: key.name,
            shown,
            secret: value.secret().cloned(),
            is_default: if is_default { DefaultOr::Default } else { DefaultOr::Chosen },
            reload: key.reload,
        }
    }
}

/// Declares a table: a struct with a field for each key, and everything that is to be known of the key beside it:
/// its documentation, when a change takes effect, its name, its type and its default.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $name:ident $header:literal {
            $( $(#[doc = $doc:literal])+ $reload:ident $field:ident : $type:ty $(= $default:tt)? ; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $type, )+ }

        impl Section for $name {
            const HEADER: &'static str = $header;
            const ABOUT: &'static str = concat!($($about, "\n"),+);

            fn keys() -> Vec<Key> {
                vec![ $( Key {
                    name: stringify!($field),
                    doc: concat!($($doc, "\n"),+),
                    default: section!(@default $($default)?),
                    kind: <$type as Value>::kind,
                    required: || <$type as Value>::absent().is_none() && section!(@default $($default)?).is_none(),
                    reload: Reload::$reload,
                } ),+ ]
            }

            fn read(fields: &mut Fields<'_, '_, '_>, base: Option<&Self>) -> Option<Self> {
                $( let $field = fields.key::<$type>(
                    stringify!($field), section!(@default $($default)?), base.map(|base| &base.$field)
                ); )+
                fields.refuse_the_rest();
                Some(Self { $( $field: $field?, )+ })
            }

            fn entries(&self, path: &str) -> Vec<Entry> {
                let keys = Self::keys();
                let mut keys = keys.iter();
                let entries = [ $( keys.next().map(|key| Entry::new(path, key, &self.$field)) ),+ ];
                entries.into_iter().flatten().collect()
            }
        }
    };
    (@default) => { None::<&'static str> };
    (@default $default:tt) => { Some(stringify!($default)) };
}
pub(super) use section;

/// After so many findings no more advice is given.
const ADVISED: usize = 100;

/// Where a key stands in the file.
#[derive(Clone, Debug)]
struct Mark {
    key: Range<usize>,
    value: Range<usize>,
}

/// What is gathered while a file is read: where every key stands and what is wrong.
pub(super) struct Reading<'c> {
    pub(super) context: Context<'c>,
    pub(super) source: Arc<SourceText>,
    pub(super) findings: Vec<Finding>,
    /// The first secret that stands in the file itself.
    pub(super) secret_in_text: Option<String>,
    marks: BTreeMap<String, Mark>,
    /// Keys that something was said about already: refused, or probably meant by an unknown one. They are not
    /// complained about as missing as well.
    told: Vec<String>,
}

impl<'c> Reading<'c> {
    pub(super) fn new(source: Arc<SourceText>, context: Context<'c>) -> Self {
        Self {
            context,
            source,
            findings: Vec::new(),
            secret_in_text: None,
            marks: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    /// Whether the key is written in the file.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.marks.contains_key(path)
    }

    /// Whether something was said about the key already.
    pub(super) fn is_told(&self, path: &str) -> bool {
        self.told.iter().any(|told| told == path)
    }

    /// Where the value of a key stands, or the nearest table around it.
    pub(super) fn place(&self, path: &str) -> Place {
        match self.marks.get(path) {
            Some(mark) => Place::Excerpt { source: Arc::clone(&self.source), at: mark.value.clone() },
            None => self.key_place(path),
        }
    }

    /// Where the name of a key stands, or the nearest table around it: for values that must not be shown.
    pub(super) fn key_place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(mark) = self.marks.get(path) {
                return Place::Excerpt { source: Arc::clone(&self.source), at: mark.key.clone() };
            }
            match path.rsplit_once('.') {
                Some((around, _)) => path = around,
                None => return Place::File { name: self.source.name().to_owned(), line: None },
            }
        }
    }

    /// Notes an error; an empty `help` is none.
    pub(super) fn error(&mut self, path: &str, what: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding::error(self.place(path), what).help(help));
    }

    /// Notes something that is allowed but odd; an empty `help` is none.
    pub(super) fn warning(&mut self, path: &str, what: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding::warning(self.place(path), what).help(help));
    }

    /// A key that must be written and is not.
    pub(super) fn missing(&mut self, path: &str, why: impl Into<String>, help: impl Into<String>) {
        if self.is_told(path) {
            return;
        }
        self.findings.push(Finding::error(self.key_place(path), why).help(help));
    }

    pub(super) fn mark(&mut self, path: String, key: Range<usize>, value: Range<usize>) {
        self.marks.insert(path, Mark { key, value });
    }

    pub(super) fn unknown(
        &mut self,
        path: &str,
        name: &Spanned<impl AsRef<str>>,
        around: &str,
        known: &[&str],
    ) {
        let text = name.get_ref().as_ref();
        let place = Place::Excerpt { source: Arc::clone(&self.source), at: name.span() };
        let mut finding = Finding::error(place, format!("unknown key {} in {around}", shown_name(text)));
        if self.findings.len() >= ADVISED {
            // No advice: this is no configuration.
        } else if let Some(instead) = instead(text) {
            finding = finding.help(format!("this is PgBouncer's; {instead}"));
        } else if let Some(meant) = nearest(text, known.iter().copied()) {
            finding = finding.label(format!("did you mean `{meant}`?"));
            self.told.push(format!("{path}.{meant}").trim_start_matches('.').to_owned());
        } else if let Some(section) = super::keys::section_with(text) {
            finding = finding.label(format!("this key belongs in {section}"));
        } else {
            finding = finding.help(format!("known here: {}", known.join(", ")));
        }
        self.findings.push(finding);
    }

    fn fault(&mut self, path: &str, name: &str, fault: Fault, secret: bool) {
        self.told.push(path.to_owned());
        let place = match fault.at {
            _ if secret => self.key_place(path),
            Some(at) => Place::Excerpt { source: Arc::clone(&self.source), at },
            None => self.place(path),
        };
        let what = format!("`{name}`: {}", fault.what);
        self.findings.push(Finding::error(place, what).help(fault.help));
    }
}

/// The keys of one table while they are taken from it.
pub(super) struct Fields<'r, 'c, 't> {
    pub(super) reading: &'r mut Reading<'c>,
    path: String,
    header: String,
    table: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
    /// Said last, when the unknown keys are known: a misspelt key is not called missing too.
    missing: Vec<&'static str>,
}

impl<'r, 'c, 't> Fields<'r, 'c, 't> {
    /// `path` is where the marks are kept, `header` what the person wrote.
    pub(super) fn new(
        reading: &'r mut Reading<'c>,
        path: &str,
        header: &str,
        table: Option<&'t DeTable<'t>>,
    ) -> Self {
        Self {
            reading,
            path: path.to_owned(),
            header: header.to_owned(),
            table,
            known: Vec::new(),
            missing: Vec::new(),
        }
    }

    /// Names that are read elsewhere.
    pub(super) fn also(mut self, names: &[&'static str]) -> Self {
        self.known.extend(names);
        self
    }

    /// Takes one key.
    pub(super) fn key<T: Value>(
        &mut self,
        name: &'static str,
        default: Option<&'static str>,
        base: Option<&T>,
    ) -> Option<T> {
        self.known.push(name);
        let path = format!("{}.{name}", self.path);
        let fallback =
            || base.cloned().or_else(|| default.and_then(|text| parse_default(text).ok())).or_else(T::absent);
        let Some((key, value)) = self.table.and_then(|table| table.get_key_value(name)) else {
            let value = fallback();
            if value.is_none() {
                self.missing.push(name);
            }
            return value;
        };
        self.reading.mark(path.clone(), key.span(), value.span());
        match T::read(value.get_ref(), self.reading.context) {
            Ok(read) => {
                if read.secret().is_some() && value.get_ref().is_str() {
                    self.reading.secret_in_text.get_or_insert(path);
                }
                Some(read)
            }
            Err(fault) => {
                self.reading.fault(&path, name, fault, T::is_secret());
                fallback()
            }
        }
    }

    /// Complains about every key that nobody asked for, then about those that are required and missing.
    pub(super) fn refuse_the_rest(&mut self) {
        for (name, _) in self.table.into_iter().flatten() {
            if !self.known.contains(&&**name.get_ref()) {
                self.reading.unknown(&self.path, name, &self.header, &self.known);
            }
        }
        for name in std::mem::take(&mut self.missing) {
            let path = format!("{}.{name}", self.path);
            self.reading.missing(
                &path,
                format!("`{name}` is missing in {}", self.header),
                format!("add `{name} = …`"),
            );
        }
    }
}

/// A default as it stands in a declaration.
fn parse_default<T: Value>(text: &str) -> Result<T, Fault> {
    let context = Context { folder: std::path::Path::new(""), environment: &|_| None };
    let value = DeValue::parse(text).map_err(|error| Fault::new(error.message()))?;
    T::read(value.get_ref(), context)
}

/// A name in a sentence; odd characters are escaped.
pub(super) fn shown_name(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("`{}`", short.escape_debug())
}

/// A name as a part of a dotted key: quoted where TOML asks for it.
pub(super) fn key_part(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quoted(name) }
}
