//! Tags that a member must have, as `name` or `name=value`.

use std::str::FromStr;

use toml::de::DeValue;

use super::value::{Context, Fault, Value, quoted};

/// A tag of a member (Patroni's `tags`), and its value; without one, any that means yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Its name.
    pub name: String,
    /// Its value as text.
    pub value: Option<String>,
}

impl FromStr for Tag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let is_word =
            |word: &str| !word.is_empty() && word.trim() == word && !word.contains(char::is_control);
        if is_word(name) && value.is_none_or(is_word) {
            Ok(Self { name: name.to_owned(), value: value.map(str::to_owned) })
        } else {
            Err(())
        }
    }
}

impl Value for Tag {
    fn kind() -> String {
        "tag".to_owned()
    }
    fn read(value: &DeValue<'_>, _: Context<'_>) -> Result<Self, Fault> {
        let text =
            value.as_str().ok_or_else(|| Fault::not_a("a tag like \"reports\" or \"disk=ssd\"", value))?;
        text.parse().map_err(|()| {
            Fault::new(format!("{} is no tag", quoted(text))).help("write \"name\" or \"name=value\"")
        })
    }
    fn show(&self) -> String {
        match &self.value {
            Some(value) => quoted(&format!("{}={value}", self.name)),
            None => quoted(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        for (text, name, value) in
            [("reports", "reports", None), ("disk=ssd", "disk", Some("ssd")), ("a=b=c", "a", Some("b=c"))]
        {
            let tag: Tag = text.parse().unwrap();
            assert_eq!((tag.name.as_str(), tag.value.as_deref()), (name, value));
            assert_eq!(tag.show(), quoted(text));
        }
        for text in ["", "=x", "x=", " x", "x =y", "x= y", "x\n"] {
            assert!(text.parse::<Tag>().is_err(), "{text:?}");
        }
    }
}
