# What one does with Bellwire: one line each. Anything with a branch in it is a script in scripts/.
# CONTRIBUTING.md explains the order of `make test`.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-test build console pictures demo bench schemathesis deb sbom advisories test fmt fmt-check lint clippy doc deny console-test timescale-test doctest nextest clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: console ## Build the console and the release binary
	cargo build --release --locked

console: ## Build the operators' console, if its sources changed
	scripts/console build

pictures: console ## Draw the guides' pictures of the console anew
	cargo build --locked && cd api/console && npm run --silent pictures

demo: setup console build ## Run everything embedded with a fleet of freezers; ARGS="--duration 20s"
	target/release/bellwire demo $(ARGS)

test: setup-test fmt-check clippy doc deny console-test timescale-test doctest nextest ## Check and test everything, as CI does

lint: fmt-check clippy doc deny ## Check formatting, lints, documentation, licences

fmt: ## Format the Rust sources
	cargo fmt --all

doc: ## Build the Rust documentation, broken links denied
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet

bench: setup build ## Measure rate, CPU and latency on this machine; ARGS="…"
	target/release/bellwire bench $(ARGS)

schemathesis: ## Ask the API whatever its document allows; BELLWIRE_TEST_EXAMPLES=200
	scripts/interop fetch && cargo nextest run -p bellwire --locked -E 'test(schemathesis)'

deb: build ## Make a Debian package of the release binary
	scripts/deb target/release/bellwire target

sbom: ## Say in target/sbom.json what Bellwire is made of (CycloneDX)
	scripts/sbom >target/sbom.json

advisories: ## Ask RustSec's database about the dependencies
	cargo deny --locked check advisories

clean: ## Remove everything that was built
	rm -rf target api/console/dist api/console/node_modules store/tests/timescale/node_modules tests/interop/node_modules tests/interop/python tests/interop/schemathesis

setup:
	scripts/setup run

setup-test:
	scripts/setup test

fmt-check:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings

deny:
	scripts/deny

console-test:
	scripts/console test

timescale-test:
	scripts/timescale test

doctest:
	cargo test --doc --workspace --locked --quiet

nextest:
	scripts/nextest
