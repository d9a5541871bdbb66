//! What a key's value may be: each kind reads itself from TOML, strictly, and shows itself again.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::de::DeValue;

use super::{secret::Secret, units};

/// No count in a configuration is larger.
const COUNT_MAX: u32 = 10_000_000;
/// No text in a configuration is longer, in bytes.
const TEXT_MAX: usize = 4096;

/// What a key shows that has neither a value nor a default.
pub(super) const UNSET: &str = "unset";

/// Reads an environment variable: the process's own, or a test's.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a value may refer to outside its own text.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Relative paths start here: the configuration file's folder.
    pub(super) folder: &'a Path,
    /// Where `{ env = "NAME" }` looks.
    pub(super) environment: Environment<'a>,
}

/// What is wrong with a value, and how to put it right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Goes on after the key's name and a colon.
    pub(super) what: String,
    /// Empty: nothing to say.
    pub(super) help: String,
    /// Where, if not the whole value.
    pub(super) at: Option<Range<usize>>,
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: String::new(), at: None }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: help.into(), ..self }
    }

    /// Another type of TOML value than the one that is needed.
    pub(super) fn not_a(kind: &str, value: &DeValue<'_>) -> Self {
        Self::new(format!("expected {kind}, found {}", article(value.type_str())))
    }
}

/// A kind of value that a key may have.
pub(super) trait Value: Sized + Clone + PartialEq {
    /// What the reference calls it.
    fn kind() -> String;

    /// Reads it. The fault names neither file nor key: the caller knows them.
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault>;

    /// As a person would write it in TOML; never the content of a secret.
    fn show(&self) -> String;

    /// The value of a key that is neither written nor has a default; `None` makes the key required.
    fn absent() -> Option<Self> {
        None
    }

    /// The secret in it, whose change counts although it does not show.
    fn secret(&self) -> Option<&Secret> {
        None
    }

    /// Whether it is a secret: then an error shows nothing of it.
    fn is_secret() -> bool {
        false
    }
}

/// A value for which zero means something of its own: no limit, switched off.
pub(super) trait Zeroable: Value {
    /// Whether this is how one writes zero.
    fn reads_zero(value: &DeValue<'_>) -> bool;
}

/// A value, or `0` for "off": no limit, no timeout, not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrOff<T>(pub Option<T>);

/// A duration that may be zero, where zero means "at once" rather than "off".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

pub(super) fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

/// Text between double quotes, escaped as TOML has it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A number as TOML has it, or the text of a string.
pub(super) fn text_or_number<'v>(value: &'v DeValue<'_>, kind: &str) -> Result<&'v str, Fault> {
    match value {
        DeValue::String(text) => Ok(text),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str()),
        DeValue::Float(number) => Ok(number.as_str()),
        other => Err(Fault::not_a(kind, other)),
    }
}

fn count(value: &DeValue<'_>, least: u32) -> Result<u32, Fault> {
    let DeValue::Integer(number) = value else {
        return Err(Fault::not_a("a whole number", value));
    };
    let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok();
    parsed.filter(|n| (least..=COUNT_MAX).contains(n)).ok_or_else(|| {
        Fault::new(format!("{number} is out of range: it must lie between {least} and {COUNT_MAX}"))
    })
}

impl Value for bool {
    fn kind() -> String {
        "true or false".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        value.as_bool().ok_or_else(|| Fault::not_a("true or false (without quotes)", value))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    fn kind() -> String {
        "number".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        count(value, 0)
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for NonZeroU32 {
    fn kind() -> String {
        "number, at least 1".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        Self::new(count(value, 1)?).ok_or_else(|| Fault::new("must be at least 1"))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Zeroable for NonZeroU32 {
    fn reads_zero(value: &DeValue<'_>) -> bool {
        count(value, 0) == Ok(0)
    }
}

impl Value for Duration {
    fn kind() -> String {
        "duration".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = text_or_number(value, "a duration like \"500ms\" or \"10s\"")?;
        let duration = units::duration(text).map_err(Fault::new)?;
        if duration.is_zero() {
            return Err(Fault::new("must be longer than zero"));
        }
        Ok(duration)
    }
    fn show(&self) -> String {
        quoted(&units::show_duration(*self))
    }
}

impl Zeroable for Duration {
    fn reads_zero(value: &DeValue<'_>) -> bool {
        text_or_number(value, "").is_ok_and(|text| units::duration(text) == Ok(Self::ZERO))
    }
}

impl Value for Delay {
    fn kind() -> String {
        "duration, may be 0".to_owned()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        if Duration::reads_zero(value) {
            return Ok(Self(Duration::ZERO));
        }
        Duration::read(value, context).map(Self)
    }
    fn show(&self) -> String {
        self.0.show()
    }
}

impl Value for Size {
    fn kind() -> String {
        "size".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = text_or_number(value, "a size like \"64kB\" or \"32MB\"")?;
        match units::size(text).map_err(Fault::new)? {
            0 => Err(Fault::new("must be larger than zero")),
            bytes => Ok(Self(bytes)),
        }
    }
    fn show(&self) -> String {
        quoted(&units::show_size(self.0))
    }
}

impl Zeroable for Size {
    fn reads_zero(value: &DeValue<'_>) -> bool {
        text_or_number(value, "").is_ok_and(|text| units::size(text) == Ok(0))
    }
}

impl Value for String {
    fn kind() -> String {
        "text".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("text between quotes", value))?;
        match text {
            "" => Err(Fault::new("must not be empty")),
            text if text.len() > TEXT_MAX => Err(Fault::new(format!("is longer than {TEXT_MAX} bytes"))),
            text if text.contains('\0') => Err(Fault::new("must not contain a zero byte")),
            text => Ok(text.to_owned()),
        }
    }
    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for PathBuf {
    fn kind() -> String {
        "path".to_owned()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        Ok(context.folder.join(String::read(value, context)?))
    }
    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for SocketAddr {
    fn kind() -> String {
        "IP address and port".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("an address like \"127.0.0.1:6432\"", value))?;
        text.parse().map_err(|_| {
            Fault::new(format!("`{text}` is no IP address with a port"))
                .help("write \"127.0.0.1:6432\" for this machine only, \"0.0.0.0:6432\" for every IPv4 address, \"[::]:6432\" for all")
        })
    }
    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Zeroable for SocketAddr {
    fn reads_zero(value: &DeValue<'_>) -> bool {
        matches!(value, DeValue::Integer(n) if n.as_str() == "0") || matches!(value.as_str(), Some("0"))
    }
}

impl Value for Secret {
    fn kind() -> String {
        "secret".to_owned()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        let expected = "expected text between quotes, or { env = \"NAME\" } for an environment variable";
        match value {
            DeValue::String(text) if text.contains('\0') => Err(Fault::new("must not contain a zero byte")),
            DeValue::String(text) => Ok(Self::new(text)),
            DeValue::Table(table) if table.len() == 1 => {
                let name = table
                    .get("env")
                    .and_then(|name| name.get_ref().as_str())
                    .ok_or_else(|| Fault::new(expected))?;
                let found = (context.environment)(name);
                found.map(|text| Self::new(&text)).ok_or_else(|| {
                    Fault::new(format!("the environment variable `{name}` is not set"))
                        .help("set it, or use the key's `_file` sibling")
                })
            }
            _ => Err(Fault::new(expected)),
        }
    }
    fn show(&self) -> String {
        "<secret>".to_owned()
    }
    fn secret(&self) -> Option<&Self> {
        Some(self)
    }
    fn is_secret() -> bool {
        true
    }
}

impl<T: Value> Value for Option<T> {
    fn kind() -> String {
        T::kind()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        T::read(value, context).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| UNSET.to_owned(), T::show)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn secret(&self) -> Option<&Secret> {
        self.as_ref().and_then(T::secret)
    }
    fn is_secret() -> bool {
        T::is_secret()
    }
}

impl<T: Zeroable> Value for OrOff<T> {
    fn kind() -> String {
        format!("{}; 0 = off", T::kind().trim_end_matches(", at least 1"))
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        if T::reads_zero(value) {
            return Ok(Self(None));
        }
        T::read(value, context).map(Some).map(Self)
    }
    fn show(&self) -> String {
        self.0.as_ref().map_or_else(|| "0".to_owned(), T::show)
    }
}

impl<T: Value> Value for Vec<T> {
    fn kind() -> String {
        format!("list of {}", T::kind())
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        let items = value.as_array().ok_or_else(|| Fault::not_a("a list between [ and ]", value))?;
        let read = |item: &toml::Spanned<DeValue<'_>>| {
            T::read(item.get_ref(), context).map_err(|fault| Fault { at: Some(item.span()), ..fault })
        };
        items.iter().map(read).collect()
    }
    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}
