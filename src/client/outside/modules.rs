//! PAM: a password is right if the modules of a service take it, and the account may be used.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt as _,
};

use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, Result as PamResult, Transaction as _, TransactionBuilder,
};

/// Answers every question that wants a password by the one that the client has sent, and no other.
struct Conversation(OsString);

impl ConversationAdapter for Conversation {
    fn prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
        Err(ErrorCode::ConversationError)
    }

    fn masked_prompt(&self, _: impl AsRef<OsStr>) -> PamResult<OsString> {
        Ok(self.0.clone())
    }

    fn error_msg(&self, _: impl AsRef<OsStr>) {}

    fn info_msg(&self, _: impl AsRef<OsStr>) {}
}

/// Whether the modules take the password; they may take their time. The error is theirs.
pub(super) fn judge(service: &str, user: &str, password: &[u8]) -> Result<(), String> {
    let conversation = Conversation(OsString::from_vec(password.to_vec())).into_conversation();
    let asked = TransactionBuilder::new_with_service(service).username(user).build(conversation);
    let mut asked = asked.map_err(|error| error.to_string())?;
    asked.authenticate(AuthnFlags::empty()).map_err(|error| error.to_string())?;
    asked.account_management(AuthnFlags::empty()).map_err(|error| error.to_string())
}
