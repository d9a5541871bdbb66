//! Names of functions, as SQL writes them.

use std::str::FromStr;

use toml::de::DeValue;

use super::value::{Context, Fault, Value, quoted};

/// The name of a function: `name`, `schema.name` or `"Name"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName(String);

impl FunctionName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FunctionName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut rest = text;
        loop {
            rest = behind_part(rest).ok_or(())?;
            if rest.is_empty() {
                return Ok(Self(text.to_owned()));
            }
            rest = rest.strip_prefix('.').ok_or(())?;
        }
    }
}

/// What stands behind one part of a name, which must be there.
fn behind_part(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').filter(|end| *end > 0)?;
        return Some(&quoted[end + 1..]);
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let begins = text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (begins && end > 0).then(|| &text[end..])
}

impl Value for FunctionName {
    fn kind() -> String {
        "name of a function".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text = value.as_str().ok_or_else(|| Fault::not_a("the name of a function", value))?;
        text.parse().map_err(|()| {
            Fault::new(format!("{} is not the name of a function", quoted(text)))
                .help("write name, schema.name or \"Name\", without arguments")
        })
    }
    fn show(&self) -> String {
        quoted(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_things() {
        for name in ["f", "app.set_tenant", "\"F x\"", "a.\"B\".c", "_f$1"] {
            assert!(name.parse::<FunctionName>().is_ok(), "{name}");
        }
        for other in ["", ".", "f()", "a.", ".a", "1f", "\"\"", "\"a", "a b", "a-b", "\"a\"b"] {
            assert!(other.parse::<FunctionName>().is_err(), "{other}");
        }
    }
}
