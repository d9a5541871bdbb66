# What people type. Everything installs what it needs first (deploy/install.sh) and is quiet about what is there.

# An error already says what was attempted; its stack of futures only hides that.
export RUST_LIB_BACKTRACE = 0

.PHONY: help demo test bench build lint tools

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

demo: tools ## a Patroni cluster, pgsteer in front of it, a killed leader, and what clients saw of it (KEEP=1: leave it running)
	@cargo build --quiet --release --bin pgsteer --example demo
	@exec target/release/examples/demo

test: tools lint ## everything that must hold: lints, unit and integration tests, the simulation, a real cluster
	@deploy/install.sh nextest
	cargo nextest run --workspace --profile all

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
