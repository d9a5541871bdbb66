//! What a client without a server sends: whether it needs one, and what is dropped of it.

use super::{
    Frontend, Header, Opening, PgError, Rest,
    malformed::header,
    messages::{bytes_needed, invalid_type, is_of_client, is_request},
};
use crate::wire::frame::HEADER_BYTES;

impl Frontend {
    /// Whether more bytes must come before anything can be said of `input`.
    pub fn lacks(&self, input: &[u8], max_prepared_statements: usize) -> bool {
        let needs = |header: Header| {
            is_request(header.tag).then(|| bytes_needed(header, input, max_prepared_statements))
        };
        let needed = header(input).ok().flatten().and_then(needs);
        self.rest == Rest::None && needed.is_some_and(|needed| input.len() < needed)
    }

    /// Looks at what a client without a server sends: is a server needed? One is asked for only when the first
    /// message can be dealt with, so that no server is held for a client that is slow to say what it wants.
    pub fn opening(&mut self, input: &[u8], max_prepared_statements: usize) -> Result<Opening, PgError> {
        match self.rest {
            Rest::Pass(_) => return Ok(Opening::Request),
            Rest::Skip(left) => {
                let dropped = left.min(input.len());
                self.set_rest(Rest::Skip(left - dropped));
                return Ok(Opening::Noise(dropped));
            }
            Rest::None => {}
        }
        let Some(header) = header(input)? else { return Ok(Opening::Incomplete) };
        match header.tag {
            b'X' => Ok(Opening::Goodbye),
            // Refused, with all that follows up to Sync.
            b'H' if header.total > HEADER_BYTES => Ok(Opening::Request),
            // Left over from a copy that has ended, or a Flush with nothing to flush: PostgreSQL ignores them too.
            b'd' | b'c' | b'f' | b'H' => {
                let dropped = header.total.min(input.len());
                self.set_rest(Rest::Skip(header.total - dropped));
                Ok(Opening::Noise(dropped))
            }
            tag if !is_request(tag) => Err(invalid_type(tag)),
            _ if input.len() < header.total
                && input.len() < bytes_needed(header, input, max_prepared_statements) =>
            {
                Ok(Opening::Incomplete)
            }
            _ => Ok(Opening::Request),
        }
    }

    /// Drops the client's messages up to where an error of ours ends: a Query alone, otherwise everything to Sync.
    /// Returns the bytes dropped and whether the end was reached; with it ReadyForQuery is due.
    pub fn reject(&mut self, input: &[u8], sequence: &mut bool) -> Result<(usize, bool), PgError> {
        let mut taken = 0;
        while taken < input.len() {
            if let Rest::Skip(left) | Rest::Pass(left) = self.rest {
                let dropped = left.min(input.len() - taken);
                self.set_rest(Rest::Skip(left - dropped));
                taken += dropped;
                continue;
            }
            let Some(header) = header(&input[taken..])? else { break };
            if header.tag == b'X' {
                break;
            }
            let dropped = header.total.min(input.len() - taken);
            self.set_rest(Rest::Skip(header.total - dropped));
            taken += dropped;
            match header.tag {
                b'Q' | b'F' if !*sequence => return Ok((taken, true)),
                b'S' => return Ok((taken, true)),
                tag if !is_of_client(tag) => return Err(invalid_type(tag)),
                _ => *sequence = true,
            }
        }
        Ok((taken, false))
    }
}
