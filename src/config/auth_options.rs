//! Options of a method, among which may be a password.

use toml::de::DeValue;

use super::{
    secret::Secret,
    value::{Context, Fault, Value, quoted},
};

/// What all options that hold a password have in their names (`ldapbindpasswd`).
const BETRAYING: &str = "passwd=";

/// The options of `auth_type`, as they would stand in a rule. Whatever stands behind a password in them is not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions(Secret);

impl AuthOptions {
    /// All of them, for whoever reads them.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Up to where they may be seen, if not to the end.
    fn shown_up_to(&self) -> Option<usize> {
        let text = self.expose().to_ascii_lowercase();
        text.find(BETRAYING).map(|at| at + BETRAYING.len())
    }
}

impl Value for AuthOptions {
    fn kind() -> String {
        String::kind()
    }
    fn read(value: &DeValue<'_>, context: Context<'_>) -> Result<Self, Fault> {
        String::read(value, context).map(|text| Self(Secret::new(&text)))
    }
    fn show(&self) -> String {
        match self.shown_up_to() {
            Some(end) => quoted(&format!("{}<secret>", self.expose().get(..end).unwrap_or_default())),
            None => quoted(self.expose()),
        }
    }
    fn secret(&self) -> Option<&Secret> {
        self.shown_up_to().map(|_| &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown, secret) in [
            ("map=people", "\"map=people\"", false),
            (
                "ldapserver=a ldapbindpasswd=hunter2 ldapbasedn=b",
                "\"ldapserver=a ldapbindpasswd=<secret>\"",
                true,
            ),
            ("LDAPBINDPASSWD=\"hunter2 hunter3\"", "\"LDAPBINDPASSWD=<secret>\"", true),
        ] {
            let options = AuthOptions(Secret::new(text));
            assert_eq!((options.show().as_str(), options.secret().is_some()), (shown, secret), "{text}");
            assert!(!format!("{options:?}").contains("hunter"), "{text}");
        }
    }
}
