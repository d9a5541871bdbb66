# What people type. Everything installs what it needs first (deploy/install.sh) and is quiet about what is there.

# An error already says what was attempted; its stack of futures only hides that.
export RUST_LIB_BACKTRACE = 0

.PHONY: help demo test test-all sqlx regress chaos bench build lint tools

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: tools ## a Patroni cluster, pgsteer in front of it, a killed leader, and what clients saw of it (KEEP=1: leave it running)
	@cargo build --quiet --release --bin pgsteer --example demo
	@exec target/release/examples/demo

# Cases made at random are the same ones each time here, so that what fails is due to what was changed; `make test-all` and a
# bare `cargo nextest run` look for new ones.
test: tools lint ## everything that must hold: lints, unit and integration tests, the simulation, a real cluster
	@deploy/install.sh nextest
	PROPTEST_RNG_SEED=20 PGSTEER_FUZZ_SEED=20 PGSTEER_FUZZ_ROUNDS=400 cargo nextest run --workspace --profile all

test-all: tools lint sqlx ## that, every driver against PostgreSQL 15 and 18, and PostgreSQL's own regression suite (30 minutes)
	@deploy/install.sh nextest pg18 pg19 patroni3 stores drivers directory pam regress
	cargo nextest run --workspace --features pgsteer/pam --profile full

sqlx: ## the crate that plays sqlx's part in `make test-all`; its dependencies are nobody else's
	@cargo build --quiet --manifest-path tests/drivers/sqlx/Cargo.toml --target-dir target/sqlx

regress: tools ## PostgreSQL's own regression suite alone; differences are in target/regress
	@deploy/install.sh nextest regress
	cargo nextest run --profile full --no-capture -E 'binary(regression)'

chaos: tools ## crashes, freezes, partitions and restarts on a real cluster in namespaces, a ledger of every write, and a table (as root, 30 minutes; CHAOS='--only kill')
	@deploy/install.sh network
	@[ -x target/peers/pgbouncer ] || benches/fetch-peers.sh target/peers
	@cargo build --quiet --release --bin pgsteer --example chaos
	@PGBOUNCER=$(CURDIR)/target/peers/pgbouncer HAPROXY=$(CURDIR)/target/peers/haproxy exec target/release/examples/chaos $(CHAOS)

bench: tools ## pgsteer beside current PgBouncer and HAProxy, as ratios (90 minutes; BENCH='--rounds 1' for a look)
	@[ -x target/peers/pgbouncer ] || benches/fetch-peers.sh target/peers
	@cargo build --quiet --release
	PGBOUNCER=$(CURDIR)/target/peers/pgbouncer HAPROXY=$(CURDIR)/target/peers/haproxy cargo bench --bench compare -- $(BENCH)

build: ## target/release/pgsteer
	@deploy/install.sh build
	cargo build --release

lint: ## format, clippy, documentation, licences
	@deploy/install.sh build parser deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --workspace --no-deps --document-private-items
	cargo deny --log-level warn check bans licenses sources

tools: ## only install what is missing
	@deploy/install.sh build cluster
