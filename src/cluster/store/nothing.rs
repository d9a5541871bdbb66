//! What to say when a store answers and nothing stands under the scope.

use super::policy::StorePolicy;

/// A sentence that names what was found instead.
pub(super) fn found(store: &str, policy: &StorePolicy, scopes: &[String]) -> String {
    let (prefix, namespace) = (policy.prefix(), policy.namespace_path());
    let instead = if scopes.is_empty() {
        format!("nor any other scope under {namespace}")
    } else {
        format!("but under {namespace} the scopes {}", scopes.join(", "))
    };
    format!(
        "{store} answers and holds nothing under {prefix}, {instead}. Is Patroni running with this scope and namespace?"
    )
}
