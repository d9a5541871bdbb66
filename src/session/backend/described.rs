//! What a server says of a statement that it has: what it says first is noted, and held against what the next one says.

use super::{ClientSide, refusal};
use crate::{
    server::conn::ServerConn,
    wire::{
        description::result,
        error::{ServerError, SqlState},
        frame::{HEADER_BYTES, Header},
        named::Serial,
        pipeline::{Described, Pipeline, Subject, Whose},
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
    pipeline: &mut Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
) {
    if header.tag == b'N' {
        remarked(pipeline, client);
        return;
    }
    let body = message.get(HEADER_BYTES..header.total);
    match pipeline.described() {
        None => {}
        Some(Described::First(Subject::Unnamed(number))) => {
            client.frontend.described(*number, header.tag, body.unwrap_or_default());
        }
        Some(Described::First(Subject::Statement(statement, whose))) => {
            let (statement, whose) = (statement.clone(), *whose);
            if agrees(&statement, header.tag, body) {
                return;
            }
            conn.statements.spoil(statement.id());
            let next = client.catalog.renewed(&statement);
            if let Whose::Clients(serial) = whose {
                if let Some(types) = statement.found().filter(|_| header.tag != b't') {
                    next.takes(types);
                }
                agrees(&next, header.tag, body);
                client.frontend.replace(serial, &statement, &next);
                pipeline.describes_instead(&next);
            }
        }
        Some(Described::Again(_) | Described::Copy(..)) if header.tag == b't' => {}
        Some(Described::Copy(name, statement)) => {
            let agrees = agrees(statement, header.tag, body);
            if !agrees {
                client.catalog.retire(statement);
            }
            let renew = || client.catalog.renewed(statement);
            let alike = agrees || client.frontend.replace_unused(statement.id(), renew);
            client.tenancy.copy_described(name, alike);
        }
        Some(Described::Again(statement)) => {
            let agrees = agrees(statement, header.tag, body);
            if !agrees {
                conn.statements.spoil(statement.id());
                client.catalog.retire(statement);
            }
            // What nobody has parsed for the client so far is what a server makes of it now.
            let renew = || client.catalog.renewed(statement);
            let held = !agrees && !client.frontend.replace_unused(statement.id(), renew);
            client.tenancy.checked(held.then(|| statement.id()));
        }
    }
}

/// Whether a statement is what a server describes, if it was not known before what it is.
fn agrees(statement: &Statement, tag: u8, body: Option<&[u8]>) -> bool {
    match (tag, body) {
        (b't', Some(types)) => statement.takes(types),
        (_, Some(body)) => result(tag, body).is_some_and(|it| statement.yields(it)),
        (b't', None) => true,
        (_, None) => false,
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

/// Whether there is another try where a server refuses: what stands in another's place, or was parsed for another, is parsed
/// anew there.
pub(super) fn tries_again(
    pipeline: &mut Pipeline,
    conn: &mut ServerConn,
    client: &mut ClientSide<'_>,
) -> bool {
    let Some(serial) = pipeline.can_send_again() else { return false };
    let frontend = &mut *client.frontend;
    let statement = if serial == 0 { frontend.stand_in() } else { frontend.statements.of(serial) };
    let Some(statement) = statement.cloned() else { return false };
    let next = client.catalog.renewed(&statement);
    conn.statements.replace(statement.id(), next.id());
    pipeline.send_again(&statement, &next);
    client.frontend.replace(serial, &statement, &next);
    true
}
