//! The known name that a misspelt one probably stands for.

/// How far off a part of a name counts.
const PART: usize = 2;

/// The candidate most like `text`, if one is like it at all.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_lowercase();
    let allowed = (text.chars().count() / 3).max(1);
    let distance = |c: &str| strsim::damerau_levenshtein(&text, c);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        // Half a name is as telling as a misspelt one: `lifetime` for `server_lifetime`.
        let part = text.len() >= 5
            && (candidate.contains(&text) || text.contains(candidate) && candidate.len() >= 5);
        let distance = if part { distance(candidate).min(PART).min(allowed) } else { distance(candidate) };
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_else() {
        let names =
            ["pool_mode", "default_pool_size", "server_lifetime", "query_timeout", "query_wait_timeout"];
        for (text, meant) in [
            ("pool_mod", Some("pool_mode")),
            ("poolmode", Some("pool_mode")),
            ("Pool_Mode", Some("pool_mode")),
            ("defualt_pool_size", Some("default_pool_size")),
            ("pool_size", Some("default_pool_size")),
            ("lifetime", Some("server_lifetime")),
            ("query_timeuot", Some("query_timeout")),
            ("hello", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, names), meant, "{text}");
        }
    }
}
