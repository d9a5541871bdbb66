//! The secrets of users, and what can be made of them.

use super::*;

/// A user and a secret's kind, for each user of the file, or what is wrong with it.
fn read(text: &str) -> Result<Vec<(String, SecretKind)>, String> {
    let users = Users::parse(text).map_err(|error| error.to_string())?;
    Ok(users.kinds().into_iter().map(|(user, kind)| (user.to_owned(), kind)).collect())
}

#[test]
fn files() {
    use SecretKind as K;
    let scram = postgres_protocol::password::scram_sha_256(b"x");
    let md5 = postgres_protocol::password::md5(b"x", "u");
    for (text, expected) in [
        (String::new(), vec![]),
        ("; nobody\n\n   \n".to_owned(), vec![]),
        (format!("\"a\" \"{scram}\"\n\"b\" \"{md5}\""), vec![("a", K::Scram), ("b", K::Md5)]),
        (
            "  \"a\"\t\"pw\" what follows\r\n\"b\" \"\"\r\n".to_owned(),
            vec![("a", K::Password), ("b", K::Missing)],
        ),
        ("\"a\"\"b\" \"p\"\"w\"".to_owned(), vec![("a\"b", K::Password)]),
        (format!("\"a\" \"x\"\n\"a\" \"{md5}\""), vec![("a", K::Md5)]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(user, kind)| (user.to_owned(), kind)).collect();
        assert_eq!(read(&text), Ok(expected), "{text}");
    }
    for (text, expected) in [
        ("a b", "line 1: expected a user name in double quotes"),
        ("\n\"a\" b", "line 2: expected a secret in double quotes behind the user name"),
        ("\"a\" \"b", "line 1: expected a secret in double quotes behind the user name"),
        ("\"a", "line 1: expected a user name in double quotes"),
        ("\"\" \"b\"", "line 1: the user name is empty"),
    ] {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
    let users = Users::parse("\"a\"\"b\" \"p\"\"w\"").unwrap();
    let expected = UserSecret::Password(Password::new(b"p\"w".as_slice()));
    assert_eq!(users.lookup("a\"b").as_deref(), Some(&expected));
    assert_eq!(users.lookup("a"), None);
}

#[test]
fn an_unknown_user_seems_to_have_what_most_have() {
    let scram = |rounds: u32| {
        let stretch = Stretch { salt: b"s".as_slice().into(), iterations: NonZeroU32::new(rounds).unwrap() };
        ScramVerifier::derive(b"x", stretch)
    };
    let [one, two] = [scram(5), scram(9)];
    for (file, kind, iterations) in [
        (String::new(), SecretKind::Scram, 4096),
        (format!("\"a\" \"{one}\"\n\"b\" \"{two}\"\n\"c\" \"{two}\"\n\"d\" \"x\""), SecretKind::Scram, 9),
        ("\"a\" \"x\"\n\"b\" \"y\"".to_owned(), SecretKind::Password, 4096),
    ] {
        let typical = Users::parse(&file).unwrap().typical();
        assert_eq!((typical.kind, typical.iterations.get()), (kind, iterations), "{file}");
    }
}

#[test]
fn a_password_is_stretched_once_and_never_shown() {
    let password = Password::new(b"pencil".as_slice());
    let stretch = |salt: &[u8]| Stretch { salt: salt.into(), iterations: NonZeroU32::new(3).unwrap() };
    assert!(password.verifier().is_none());
    let first = password.derive_verifier(stretch(b"a"));
    assert!(Arc::ptr_eq(&first, &password.clone().derive_verifier(stretch(b"b"))));
    assert!(password.keys_for(&stretch(b"a")).is_none());
    let keys = password.derive_keys(stretch(b"a"));
    assert_eq!(password.keys_for(&stretch(b"a")), Some(keys));
    assert!(password.keys_for(&stretch(b"b")).is_none());
    assert_eq!(format!("{:?}", UserSecret::parse("pencil")), "Password(Password(…))");
}

#[test]
fn a_file_read_again_keeps_what_was_derived() {
    let before = Users::parse("\"a\" \"x\"\n\"b\" \"y\"").unwrap();
    before.derive_all(&Mock::new([1; 32]));
    let mut after = Users::parse("\"a\" \"x\"\n\"b\" \"new\"\n\"c\" \"y\"").unwrap();
    after.inherit(&before);
    let derived = |user| match after.lookup(user).as_deref() {
        Some(UserSecret::Password(password)) => password.verifier().is_some(),
        other => panic!("{other:?}"),
    };
    assert_eq!(["a", "b", "c"].map(derived), [true, false, false]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = Users::parse(&text);
        let _ = Users::parse(&format!("\"a\" \"{text}\""));
    }
}
