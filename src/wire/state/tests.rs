//! What leads from one state to another.

use super::*;

/// `name=value` for settings, `name:text` for statements.
fn of(entries: &[&str]) -> Carried {
    let mut state = SessionState::default();
    let mut statements = Vec::new();
    for entry in entries {
        if let Some((name, text)) = entry.split_once(':') {
            let shape = Shape { types: [0, 0].into(), result: 0 };
            let prepared = Prepared { text: text.as_bytes().into(), scope: "".into(), shape, stand_in: None };
            statements.push((name.as_bytes().into(), Arc::new(prepared)));
        } else {
            let (name, value) = entry.split_once('=').unwrap();
            let definition = if name.contains('.') { Definition::Placeholder } else { Definition::Server };
            state.set(name.as_bytes(), Some(Setting { value: value.as_bytes().into(), definition }));
        }
    }
    state.set_statements(statements.into_iter());
    Carried::NOTHING.become_or_stay(state)
}

#[test]
fn what_leads_from_one_state_to_another() {
    for (have, want, left, entered) in [
        (&[][..], &[][..], "", ""),
        (&["a=1"], &["a=1"], "", ""),
        (&["a=1"], &[], "RESET \"a\";", ""),
        (&[], &["a=1"], "", "SELECT pg_catalog.set_config('a','1',false)"),
        (&["a=1"], &["a=2"], "", "SELECT pg_catalog.set_config('a','2',false)"),
        (
            &["app.user=x"],
            &["b=it's", "c=\\"],
            "RESET \"app\".\"user\";",
            "SELECT pg_catalog.set_config('b','it''s',false),pg_catalog.set_config('c', E'\\\\',false)",
        ),
        (&["app.user="], &[], "", ""),
        // Roles are left first and entered last, also where both have the same one.
        (
            &["role=x", "session_authorization=y", "a=1"],
            &["role=x"],
            "RESET ROLE;RESET SESSION AUTHORIZATION;RESET \"a\";",
            "SELECT pg_catalog.set_config('role','x',false)",
        ),
        (
            &["p:PREPARE p AS select 1", "q:PREPARE q AS select 2"],
            &["q:PREPARE q AS select 3 --", "statement_timeout=1ms", "role=r", "b=1"],
            "DEALLOCATE \"p\";DEALLOCATE \"q\";",
            "SELECT pg_catalog.set_config('b','1',false)|PREPARE q AS select 3 --|\
             SELECT pg_catalog.set_config('statement_timeout','1ms',false),\
             pg_catalog.set_config('role','r',false)",
        ),
        (
            &["p:PREPARE p AS select 1"],
            &["p:PREPARE p AS select 1", "a=1"],
            "",
            "SELECT pg_catalog.set_config('a','1',false)",
        ),
    ] {
        let (have, want) = (of(have), of(want));
        assert_eq!(String::from_utf8(leave(&have, &want)).unwrap(), left, "{have:?} {want:?}");
        let Entry { settings, statements, last } = enter(&have, &want);
        let statements = statements.into_iter().map(|(_, prepared)| prepared.text.to_vec());
        let queries: Vec<_> = [settings].into_iter().chain(statements).chain([last]).collect();
        let queries = queries.into_iter().filter(|query| !query.is_empty()).collect::<Vec<_>>();
        let queries = queries.join(&b"|"[..]);
        assert_eq!(String::from_utf8(queries).unwrap(), entered, "{have:?} {want:?}");
    }
}

#[test]
fn what_is_the_same_stays_the_same() {
    let one = of(&["a=1"]);
    let same = one.become_or_stay(one.get().unwrap().clone());
    assert!(std::ptr::eq(one.get().unwrap(), same.get().unwrap()));
    assert!(one.is_like(&of(&["a=1"])) && !one.is_like(&of(&["a=2"])) && !one.is_like(&Carried::NOTHING));
    assert!(one.become_or_stay(SessionState::default()).get().is_none());
}

#[test]
fn what_bears_on_parsing() {
    let key = |entries: &[&str]| of(entries).get().unwrap().parse_key();
    assert_eq!(key(&["search_path=a", "work_mem=1MB", "app.user=x"]), "search_path=a\0");
    assert_ne!(key(&["role=a"]), key(&["role=b"]));
}

#[test]
fn there_is_a_limit() {
    let mut state = SessionState::default();
    let value = |bytes: usize| Setting { value: vec![b'x'; bytes].into(), definition: Definition::Server };
    state.set(b"a", Some(value(CARRIED_BYTES_MAX - 1)));
    assert!(!state.is_too_much());
    state.set(b"b", Some(value(0)));
    assert!(state.is_too_much());
    state.set(b"a", None);
    for n in 0..CARRIED_MAX {
        state.set(format!("n{n}").as_bytes(), Some(value(0)));
    }
    assert!(state.is_too_much());
}
