//! The options behind a method: `name=value`.

use super::lines::{Line, Word};

/// Options that no method has used yet.
#[derive(Debug)]
pub(in crate::auth) struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// What stands in these fields.
    pub(super) fn of(fields: &[Vec<Word>]) -> Result<Self, String> {
        let mut options = Self { given: Vec::new() };
        for word in fields.iter().flatten() {
            let (name, value) = word
                .text
                .split_once('=')
                .ok_or_else(|| format!("authentication option not in name=value format: {}", word.text))?;
            options.give(name, value)?;
        }
        Ok(options)
    }

    /// Adds an option.
    pub(in crate::auth) fn give(&mut self, name: &str, value: &str) -> Result<(), String> {
        if self.given.iter().any(|(known, _)| known == name) {
            return Err(format!("authentication option \"{name}\" is given twice"));
        }
        self.given.push((name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Options as they stand in a test: blanks between them, commas for blanks within.
    #[cfg(test)]
    pub(in crate::auth) fn parse(text: &str) -> Result<Self, String> {
        use super::lines::Quoting;
        let word = |option: &str| Word { text: option.to_owned(), quoting: Quoting::Bare };
        let value = |option: &str| match option.split_once('=') {
            Some(("ldapserver", servers)) => word(&format!("ldapserver={}", servers.replace(',', " "))),
            _ => word(option),
        };
        Self::of(&[text.split_ascii_whitespace().map(value).collect()])
    }

    /// Takes the value of an option.
    pub(in crate::auth) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.given.iter().position(|(known, _)| known == name)?;
        Some(self.given.swap_remove(place).1)
    }

    /// Complains about what nobody has taken.
    pub(in crate::auth) fn none_is_left(self, method: &str) -> Result<(), String> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(format!("authentication option \"{name}\" is not known for the method {method}"))
            }
        }
    }
}

/// The only word of a field.
pub(super) fn single<'l>(line: &'l Line, field: usize, what: &str) -> Result<&'l Word, String> {
    match line.fields.get(field).map(|words| &**words) {
        Some([word]) => Ok(word),
        Some([]) => Err(format!("the list of the {what} is empty")),
        Some(_) => Err(format!("multiple values specified for {what}")),
        None => Err(format!("end-of-line before {what} specification")),
    }
}
