//! Which of several equal targets serves the next request.

/// The target whose turn it is: `turn` counts the requests of whoever asks, and each worker may count its own.
/// `None` if there is no target.
pub fn round_robin<T>(targets: &[T], turn: u64) -> Option<&T> {
    let count = u64::try_from(targets.len()).ok().filter(|n| *n > 0)?;
    targets.get(usize::try_from(turn % count).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{super::table::Target, *};
    use crate::{cluster::topology::MemberName, net::Address};

    #[test]
    fn each_in_turn() {
        let target = |name: &str| Target {
            member: MemberName::from(name),
            address: Address::tcp(name, 5432),
            term: 0,
        };
        let targets = [target("a"), target("b"), target("c")];
        let chosen: Vec<_> =
            (4..9).filter_map(|turn| round_robin(&targets, turn)).map(|t| t.member.as_str()).collect();
        assert_eq!(chosen, ["b", "c", "a", "b", "c"]);
        assert_eq!(round_robin::<Target>(&[], 1), None);
        assert_eq!(round_robin(&targets, u64::MAX).map(|t| t.member.as_str()), Some("a"));
    }
}
