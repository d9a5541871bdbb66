//! Memberships in roles, which only servers know: a rule whose fit depends on one (`+role`, `samerole`) says which, and is
//! looked at again when that is known.

use std::collections::BTreeMap;

/// What is known of the memberships of one user.
#[derive(Clone, Debug, Default)]
pub struct Members(BTreeMap<Box<str>, bool>);

impl Members {
    /// The user is a member of this role, or not.
    pub fn learn(&mut self, role: &str, is_member: bool) {
        self.0.insert(role.into(), is_member);
    }

    pub(super) fn fit<'r>(&self, role: &'r str) -> Fit<'r> {
        self.0.get(role).map_or(Fit::IfMember(role), |is_member| (*is_member).into())
    }
}

/// Whether something fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::auth) enum Fit<'r> {
    Yes,
    No,
    /// It does if the user is a member of this role.
    IfMember(&'r str),
}

impl From<bool> for Fit<'_> {
    fn from(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }
}

impl Fit<'_> {
    /// Whether any of them fits: nobody is asked where one does for certain.
    pub(super) fn any(fits: impl IntoIterator<Item = Self>) -> Self {
        let mut open = Self::No;
        for fit in fits {
            match (fit, open) {
                (Self::Yes, _) => return fit,
                (Self::IfMember(_), Self::No) => open = fit,
                _ => {}
            }
        }
        open
    }

    /// Whether both fit: nobody is asked where one does not.
    pub(super) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Self::No => Self::No,
            Self::Yes => other(),
            Self::IfMember(_) => match other() {
                Self::No => Self::No,
                _ => self,
            },
        }
    }
}
