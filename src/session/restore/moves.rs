//! Statements prepared by SQL on their way to another server: there they are to take and to yield what they did where their
//! client prepared them.
//!
//! Most do, and are prepared and described in the same packet with everything else. One whose parameters come out otherwise
//! is parsed with the types it had; one that still yields something else, or cannot be parsed, gets a [`StandIn`].

use std::sync::Arc;

use crate::{
    server::{Questions, Told},
    sql::prepared::body,
    wire::{
        description::Shape,
        error::{ServerError, SqlState},
        state::{Prepared, StandIn, Substitute},
        statements::{put_close_as, put_describe_as, put_parse_as},
    },
};

/// Statements on their way.
#[derive(Default)]
pub(super) struct Moves {
    under_way: Vec<Move>,
    substitutes: Vec<(Box<[u8]>, Substitute)>,
}

/// One statement on its way.
struct Move {
    name: Box<[u8]>,
    wanted: Arc<Prepared>,
    number: usize,
    attempt: Attempt,
    /// The place of the last question for it, and whether it was the only one.
    asked: (usize, Asked),
}

/// How a statement is tried.
enum Attempt {
    /// As its client has prepared it.
    AsItIs,
    /// With the types of parameters that it had then.
    Typed,
    /// By something in its place.
    StandIn(StandIn),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Once,
    Twice,
}

/// What became of an attempt.
enum Outcome {
    Arrived,
    Instead(Substitute),
    Next(Attempt),
}

impl Moves {
    pub(super) fn new(statements: Vec<(Box<[u8]>, Arc<Prepared>)>) -> Self {
        let moves = statements.into_iter().enumerate().map(|(number, (name, wanted))| Move {
            name,
            wanted,
            number,
            attempt: Attempt::AsItIs,
            asked: (0, Asked::Once),
        });
        Self { under_way: moves.collect(), substitutes: Vec::new() }
    }

    /// Adds what is to be asked for them now.
    pub(super) fn put(&mut self, questions: &mut Questions) {
        self.under_way.iter_mut().for_each(|one| one.put(questions));
    }

    /// What is to be asked for them next; nothing when all have arrived.
    pub(super) fn questions(&mut self) -> Questions {
        let mut questions = Questions::default();
        self.put(&mut questions);
        questions
    }

    /// Whether a question is one of theirs.
    pub(super) fn have_asked(&self, question: usize) -> bool {
        self.under_way.iter().any(|one| one.has_asked(question))
    }

    /// Hears what was answered. The error does not lie in a statement, and may be another one next time.
    pub(super) fn hear(&mut self, told: &Told) -> Result<(), ServerError> {
        for mut one in std::mem::take(&mut self.under_way) {
            match one.hear(told)? {
                Outcome::Arrived => {}
                Outcome::Instead(substitute) => self.substitutes.push((one.name, substitute)),
                Outcome::Next(attempt) => {
                    one.attempt = attempt;
                    self.under_way.push(one);
                }
            }
        }
        Ok(())
    }

    /// What there is instead of those that could not arrive.
    pub(super) fn substitutes(self) -> Vec<(Box<[u8]>, Substitute)> {
        self.substitutes
    }
}

impl Move {
    fn put(&mut self, questions: &mut Questions) {
        let (name, wanted) = (&self.name, &self.wanted);
        self.asked = match &self.attempt {
            Attempt::AsItIs => {
                questions.query(&wanted.text);
                (questions.sequence(|out| put_describe_as(name, out)), Asked::Twice)
            }
            Attempt::Typed => {
                let body = body(&wanted.text).unwrap_or_default();
                let sequence = questions.sequence(|out| {
                    put_close_as(name, out);
                    put_parse_as(name, body, &wanted.shape.types, out);
                    put_describe_as(name, out);
                });
                (sequence, Asked::Once)
            }
            Attempt::StandIn(stand_in) => {
                let sequence = questions.sequence(|out| {
                    put_close_as(name, out);
                    stand_in.put(name, &wanted.shape.types, out);
                });
                (sequence, Asked::Once)
            }
        };
    }

    fn has_asked(&self, question: usize) -> bool {
        let (last, asked) = self.asked;
        question == last || (asked == Asked::Twice && question + 1 == last)
    }

    fn hear(&self, told: &Told) -> Result<Outcome, ServerError> {
        let (last, asked) = self.asked;
        let first = if asked == Asked::Twice { told.refusal(last - 1) } else { None };
        let refused = first.or_else(|| told.refusal(last));
        if let Attempt::StandIn(stand_in) = &self.attempt {
            return Ok(Outcome::Instead(match refused {
                None => Substitute::StandIn(stand_in.clone()),
                Some(_) => Substitute::None,
            }));
        }
        if let Some((error, words)) = refused {
            let lies_in_it = lies_in_statement(error);
            let stand_in = || Outcome::Next(Attempt::StandIn(StandIn::for_refused(self.number, words)));
            return if lies_in_it { Ok(stand_in()) } else { Err(error.clone()) };
        }
        let Shape { types, result } = &self.wanted.shape;
        Ok(match (told.shape(last), &self.attempt) {
            (Some(shape), _) if shape.result == *result && shape.types == *types => Outcome::Arrived,
            (Some(shape), Attempt::AsItIs) if shape.types != *types => Outcome::Next(Attempt::Typed),
            _ => Outcome::Next(Attempt::StandIn(StandIn::for_changed(self.number))),
        })
    }
}

/// Whether what was refused now would be refused later, too: it names what is not there, or yields something else.
fn lies_in_statement(error: &ServerError) -> bool {
    error.code.as_str().starts_with("42") || error.code == SqlState::FEATURE_NOT_SUPPORTED
}
