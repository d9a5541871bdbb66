//! The options behind a method: `name=value`.

use super::lines::{Line, Word};

/// Options that no method has used yet.
pub(super) struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// What stands in these fields.
    pub(super) fn of(fields: &[Vec<Word>]) -> Result<Self, String> {
        let mut given: Vec<(String, String)> = Vec::new();
        for word in fields.iter().flatten() {
            let (name, value) = word
                .text
                .split_once('=')
                .ok_or_else(|| format!("authentication option not in name=value format: {}", word.text))?;
            if given.iter().any(|(known, _)| known == name) {
                return Err(format!("authentication option \"{name}\" is given twice"));
            }
            given.push((name.to_owned(), value.to_owned()));
        }
        Ok(Self { given })
    }

    /// Takes the value of an option.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.given.iter().position(|(known, _)| known == name)?;
        Some(self.given.swap_remove(place).1)
    }

    /// Complains about what nobody has taken.
    pub(super) fn none_is_left(self, method: &str) -> Result<(), String> {
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
