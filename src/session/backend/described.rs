//! What a server says of a statement that it has: what it says first is noted, and held against what the next one says.

use super::{ClientSide, refusal};
use crate::{
    server::conn::ServerConn,
    wire::{
        description::result,
        error::{ServerError, SqlState},
        frame::{HEADER_BYTES, Header},
        named::Serial,
        pipeline::{Described, Pipeline, Subject},
        statements::{Catalog, Statement},
    },
};

/// Whether a message tells something of a statement that is to be noted.
#[inline]
pub(super) fn describes(header: Header, pipeline: &Pipeline) -> bool {
    matches!(header.tag, b't' | b'T' | b'n') && pipeline.described().is_some()
}

/// The server describes a statement, or has a remark on it. Where it yields something else than where it was parsed first, it
/// is not used; nor where the description is too long to be true.
#[cold]
pub(super) fn note(
    header: Header,
    message: &[u8],
    pipeline: &Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
) {
    if header.tag == b'N' {
        remarked(pipeline, client);
        return;
    }
    let Some(described) = pipeline.described() else { return };
    let body = message.get(HEADER_BYTES..header.total);
    let statement = match described {
        Described::Again(statement) | Described::First(Subject::Statement(statement)) => statement,
        Described::First(Subject::Unnamed(number)) => {
            client.frontend.described(*number, header.tag, body.unwrap_or_default());
            return;
        }
    };
    if header.tag == b't' {
        if let Some(types) = body {
            statement.takes(types);
        }
        return;
    }
    let yields = body.and_then(|body| result(header.tag, body)).is_some_and(|it| statement.yields(it));
    if !yields {
        conn.statements.spoil(statement.id());
        client.catalog.retire(statement);
    }
    if let Described::Again(_) = described {
        client.tenancy.checked((!yields).then(|| statement.id()));
    }
}

/// The server refuses to bind or describe a statement, or a portal of it. Where that may be because it was parsed long ago,
/// it is shared no more: whoever parses its text from now on has it parsed.
#[cold]
pub(super) fn refused(
    message: &[u8],
    serial: Serial,
    statement: &Statement,
    conn: &mut ServerConn,
    catalog: &Catalog,
) {
    let body = message.get(HEADER_BYTES..).unwrap_or_default();
    let Some(error) = ServerError::decode(body).filter(refusal::is_of_age) else { return };
    if error.code != SqlState::INVALID_SQL_STATEMENT_NAME {
        catalog.retire(statement);
    } else if serial != 0 {
        // It has not what it was thought to have.
        conn.statements.spoil(statement.id());
    }
}

/// The statement that a server has parsed with something to say of it is not shared: others are to hear that, too.
fn remarked(pipeline: &Pipeline, client: &ClientSide<'_>) {
    let statement = match pipeline.parses() {
        Some(b"") => client.frontend.stand_in(),
        Some(name) => client.frontend.statements.get(name).map(|named| &named.statement),
        None => None,
    };
    if let Some(statement) = statement {
        client.catalog.retire(statement);
    }
}

/// Whether there is another try where a server refuses: what stands in another's place is parsed anew there.
pub(super) fn tries_again(
    pipeline: &mut Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
) -> bool {
    let Some(statement) = client.frontend.stand_in().filter(|_| pipeline.can_send_again()).cloned() else {
        return false;
    };
    let next = client.catalog.renewed(&statement);
    conn.statements.replace(statement.id(), next.id());
    pipeline.send_again(&statement, &next);
    client.frontend.replace_stand_in(next);
    true
}
