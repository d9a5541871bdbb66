//! The etcd v3 store.
