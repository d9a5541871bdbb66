//! A client's statement without a name.

use std::sync::Arc;

use super::{
    super::{
        conduct::{Conduct, Form},
        frame::{HEADER_BYTES, cstr},
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
    /// One that servers hold for whoever sends the same.
    Shared(Arc<Statement>),
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

    /// The text and the parameter types.
    pub fn parts(&self) -> Option<(&[u8], &[u8])> {
        let (_, rest) = cstr(self.message.get(HEADER_BYTES..)?)?;
        cstr(rest)
    }
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
