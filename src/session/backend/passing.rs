//! Messages that pass without another look, and those that are looked at only when they are whole.

use super::{Pipeline, Splice, Tenancy, WHOLE_BYTES_MAX, own_answer};
use crate::wire::{
    description::DESCRIPTION_BYTES_MAX,
    frame::{Header, Malformed},
};

/// Passes whole messages that are the client's as they are and tell nothing that is to be noted; the header of the next one,
/// if it is there. Answers of our own are put in where they are due.
#[inline]
pub(super) fn pass_plain(
    splice: &mut Splice<'_>,
    pipeline: &mut Pipeline,
    tenancy: &Tenancy,
) -> Result<Option<Header>, Malformed> {
    put_own_answers(splice, pipeline);
    loop {
        let left = splice.rest();
        let Some(header) = Header::read(left)? else { return Ok(None) };
        if left.len() < header.total || (header.tag == b'C' && completing_matters(tenancy)) {
            return Ok(Some(header));
        }
        if pipeline.is_unmoved_by(header.tag) {
            splice.pass(header.total);
        } else if pipeline.settles_with(header.tag) {
            splice.pass(header.total);
            put_own_answers(splice, pipeline);
        } else {
            return Ok(Some(header));
        }
    }
}

#[inline]
fn put_own_answers(splice: &mut Splice<'_>, pipeline: &mut Pipeline) {
    if pipeline.owes_own_answer() {
        put_those_due(splice, pipeline);
    }
}

#[inline(never)]
fn put_those_due(splice: &mut Splice<'_>, pipeline: &mut Pipeline) {
    while let Some(answer) = pipeline.own_answer_due() {
        splice.insert().extend_from_slice(own_answer(answer));
    }
}

/// Whether it is to be noted that a statement has come to its end.
#[inline]
fn completing_matters(tenancy: &Tenancy) -> bool {
    tenancy.awaits_answer() || tenancy.fate.is_given() || tenancy.placing.is_on()
}

/// Whether a message is waited for whole, because it must be understood.
#[cold]
pub(super) fn must_be_whole(header: Header, describes: bool, pipeline: &Pipeline) -> bool {
    match header.tag {
        _ if describes => header.total <= DESCRIPTION_BYTES_MAX,
        b'Z' | b'S' | b'E' | b'C' | b'A' => header.total <= WHOLE_BYTES_MAX,
        b'D' => pipeline.awaits_row() && header.total <= WHOLE_BYTES_MAX,
        _ => false,
    }
}
