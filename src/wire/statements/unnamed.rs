//! A client's statement without a name.

use std::sync::Arc;

use super::{
    super::{
        conduct::{Conduct, Form},
        frame::{HEADER_BYTES, cstr},
        named::Parsed,
    },
    Statement,
};

/// A client's unnamed statement.
#[derive(Clone, Debug, Default)]
pub enum Unnamed {
    /// It has none.
    #[default]
    None,
    /// What it has sent.
    Text(Box<UnnamedText>),
    /// One that servers hold for whoever sends the same, and who has parsed it.
    Shared(Arc<Statement>, Parsed),
}

/// An unnamed statement as a client has sent it.
#[derive(Clone, Debug)]
pub struct UnnamedText {
    /// The Parse message.
    pub message: Box<[u8]>,
    /// What running it may do.
    pub conduct: Conduct,
    /// What it is to the parser.
    pub form: Form,
    /// Its number among those of its client.
    pub number: u32,
    /// What is known of what it takes and yields.
    pub description: Description,
}

/// What is known of what a client's unnamed statement takes and yields.
#[derive(Clone, Debug, Default)]
pub enum Description {
    /// Nothing, and the server that has parsed it was not asked.
    #[default]
    Unasked,
    /// It was asked; what it has said of the parameters, as it stands on the wire.
    Asked(Option<Box<[u8]>>),
    /// The same, and a number for what it yields.
    Told(Option<Box<[u8]>>, u64),
    /// The same as the statement that it must be, wherever it is parsed again.
    Must(Arc<Statement>),
}

impl UnnamedText {
    /// Whether what it yields is settled when it is parsed, and nobody has asked for it.
    #[inline]
    pub fn is_unasked(&self) -> bool {
        self.form == Form::Planned && matches!(self.description, Description::Unasked)
    }

    /// Whether what it yields was asked for in vain.
    #[inline]
    pub fn is_unanswered(&self) -> bool {
        self.form == Form::Planned && matches!(self.description, Description::Asked(_))
    }

    /// Its sequence is over: asked later, the server could refuse to say it.
    pub fn ends_unasked(&mut self) {
        if matches!(self.description, Description::Unasked) {
            self.description = Description::Asked(None);
        }
    }

    /// It is described as having these parameter types, as they stand on the wire.
    pub fn takes(&mut self, types: &[u8]) {
        if let Description::Asked(found @ None) = &mut self.description {
            *found = Some(types.into());
        }
    }

    /// It is described as yielding this.
    pub fn yields(&mut self, result: u64) {
        if let Description::Asked(types) = &mut self.description {
            self.description = Description::Told(types.take(), result);
        }
    }

    /// Whether the server has to find out of what type a parameter is, as far as the text shows.
    #[cold]
    pub fn infers_types(&self) -> bool {
        let Some((query, types)) = self.parts() else { return true };
        let (declared, _) = types.get(2..).unwrap_or_default().as_chunks::<4>();
        highest_parameter(query) > declared.len() || declared.contains(&[0; 4])
    }

    /// The text and the parameter types.
    pub fn parts(&self) -> Option<(&[u8], &[u8])> {
        let (_, rest) = cstr(self.message.get(HEADER_BYTES..)?)?;
        cstr(rest)
    }
}

/// The highest number behind a dollar sign; 0: there is none. In a literal or a comment it is none of a parameter.
fn highest_parameter(query: &[u8]) -> usize {
    let number = |dollar: usize| {
        let digits = query[dollar + 1..].iter().map_while(|byte| char::from(*byte).to_digit(10));
        digits.fold(0, |number: usize, digit| number.saturating_mul(10).saturating_add(digit as usize))
    };
    memchr::memchr_iter(b'$', query).map(number).max().unwrap_or_default()
}

/// Whose the server's own unnamed statement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnnamedAt {
    /// Anybody's.
    #[default]
    Unknown,
    /// The client's.
    Ours,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_the_server_must_infer() {
        for (query, types, expected) in [
            ("select 1", &[][..], false),
            ("select $1", &[], true),
            ("select $1", &[23], false),
            ("select $1", &[0], true),
            ("select $1, $2", &[23], true),
            ("select $1, $12", &[23, 23], true),
            ("select $2, $1", &[23, 25], false),
            ("select $$a$$", &[], false),
            ("select $", &[], false),
            ("select $99999999999999999999999", &[23], true),
        ] {
            let mut message = b"P\0\0\0\0\0".to_vec();
            message.extend_from_slice(query.as_bytes());
            message.extend_from_slice(&[0, 0, types.len() as u8]);
            types.iter().for_each(|oid: &i32| message.extend_from_slice(&oid.to_be_bytes()));
            let text = UnnamedText {
                message: message.into(),
                conduct: Conduct::default(),
                form: Form::Planned,
                number: 0,
                description: Description::Unasked,
            };
            assert_eq!(text.infers_types(), expected, "{query} {types:?}");
        }
    }
}
