# Boss: build, check, test and try it. `make` alone lists the targets.

# One target folder for all checkouts of this user: a fresh clone then builds in seconds.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/boss/target
BOSS_DEV_DIR ?= $(CURDIR)/.boss-dev
EXAMPLE ?= docs/examples/process-pod.yaml
POD ?= $(shell sed -n 's/^  name: //p' $(EXAMPLE) | head -n 1)
N ?= 1
NAME ?= node-1
FUZZ_SECONDS ?= 600
FUZZ ?=
MINUTES ?= 10
HOURS ?= 1
SEED ?=
ONLY ?=
SEEDS ?= 1000
FIRST ?= 1

RELEASE := $(CARGO_TARGET_DIR)/release
BOSSCTL = BOSS_CONFIG=$(BOSS_DEV_DIR)/bossctl.toml $(RELEASE)/bossctl
CARGO := cargo

.DEFAULT_GOAL := help
.PHONY: help deps build run test check fix fmt security clippy doc run-server run-node \
        apply-example get-example get-pods watch-pods delete-example bench bench-etcd bench-log bench-judging chaos simulate soak bugs bugged points fuzz clean-dev

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: BOSS_DEV_DIR (state folder, now $(BOSS_DEV_DIR)), EXAMPLE, N (server), NAME (node),"
	@echo "           BOSS_BIND, BOSS_API_SERVER, BOSS_NODE_NAME (override what the configuration says)"

deps: ## Install what the build and the tests need
	@./.ci/deps

build: deps ## Build the release binaries
	$(CARGO) build --locked --release --bins

run: build ## Start 3 servers and a node here, run the example pod, stay up until Ctrl-C
	$(RELEASE)/bossctl dev up --dir $(BOSS_DEV_DIR) --servers 3 --nodes 1 --example $(EXAMPLE)

test: deps ## Everything that must pass, the whole-system tests too
	$(CARGO) build --locked --workspace --bins
	$(CARGO) nextest run --locked --workspace
	$(CARGO) test --locked --workspace --doc

check: fmt security clippy doc ## Formatting, lints and documentation, without writing anything

fmt: ## Check the formatting
	$(CARGO) fmt --all -- --check

security: ## Check that the tests exist which docs/security.md names
	./.ci/check-security

clippy: ## Lints, warnings are errors
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: ## Build the documentation, warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items

fix: ## Format, and apply what clippy can repair
	$(CARGO) clippy --fix --locked --workspace --all-targets --allow-dirty --allow-staged
	$(CARGO) fmt --all

run-server: build ## Run server N of the state folder in the foreground
	@test -d $(BOSS_DEV_DIR) || $(RELEASE)/bossctl dev init --dir $(BOSS_DEV_DIR) --servers 1 --nodes 1
	$(RELEASE)/boss-server --config $(BOSS_DEV_DIR)/servers/$(N)/server.toml $(if $(filter 1,$(N)),--initialize)

run-node: build ## Run node NAME of the state folder in the foreground
	$(RELEASE)/boss-node --config $(BOSS_DEV_DIR)/nodes/$(NAME)/node.toml

apply-example: ## Apply the example
	$(BOSSCTL) apply -f $(EXAMPLE)

get-example: ## Show the example pod as YAML
	$(BOSSCTL) get pod $(POD) -o yaml

get-pods: ## List all pods
	$(BOSSCTL) get pods -A -o wide

watch-pods: ## List all pods and follow their changes
	$(BOSSCTL) get pods -A -w

delete-example: ## Delete the example
	$(BOSSCTL) delete -f $(EXAMPLE)

bench: build ## Measure failover, pod start and idle cost on this machine
	$(RELEASE)/boss-bench all

bench-log: deps ## Measure the log beside raft-log and a bare fdatasync, then with 4 ms more per sync
	mkdir -p $(CARGO_TARGET_DIR)
	cc -shared -fPIC -O2 -o $(CARGO_TARGET_DIR)/slow_sync.so raft/benches/log/slow_sync.c -ldl
	$(CARGO) bench --locked -p boss-raft --bench log
	SLOW_SYNC_US=4000 LD_PRELOAD=$(CARGO_TARGET_DIR)/slow_sync.so $(CARGO) bench --locked -p boss-raft --bench log

bench-judging: deps ## Measure what knowing a caller, asking for his rights and asking policies cost
	$(CARGO) bench --locked -p boss-server --bench judging

chaos: build ## Break clusters for MINUTES and judge what was seen, or repeat one SEED; needs root
	$(if $(SEED),$(RELEASE)/boss-chaos sprint --seed $(SEED) --keep,$(RELEASE)/boss-chaos run --minutes $(MINUTES))

simulate: ## Simulate the whole control plane SEEDS times from seed FIRST on, or one SEED with its log
	$(CARGO) build --locked --release -p boss-chaos-tests --bin boss-chaos --bin boss-simulate
	$(if $(SEED),$(RELEASE)/boss-simulate --seed $(SEED) --log,$(RELEASE)/boss-chaos simulate --seeds $(SEEDS) --first $(FIRST) --jobs $$(nproc))

# With the feature everything but our own crates is the same, so both builds share a folder; what is made with bugs is
# moved out of it before the next one is made without.
bugged: deps
	$(CARGO) build --locked --workspace --bins --features boss-base/deliberate-bugs
	mkdir -p $(CARGO_TARGET_DIR)/bugs
	cp -f $(addprefix $(CARGO_TARGET_DIR)/debug/,boss-server boss-node boss-simulate) $(CARGO_TARGET_DIR)/bugs/
	$(CARGO) build --locked --workspace --bins

bugs: bugged ## Show that each deliberate bug is found, ONLY=name for one of them; needs no root
	$(CARGO_TARGET_DIR)/debug/boss-chaos bugs $(addprefix --only ,$(ONLY))

points: bugged ## Kill servers and agents at each point of theirs, ONLY=name for one of them; needs no root
	$(CARGO_TARGET_DIR)/debug/boss-chaos points $(addprefix --only ,$(ONLY))

soak: build ## The same for HOURS; needs root
	$(RELEASE)/boss-chaos run --minutes $$(( 60 * $(HOURS) ))

fuzz: deps ## Feed every reader with damaged bytes, FUZZ_SECONDS for each; FUZZ=log_recovery for one of them
	BOSS_FUZZ_SECONDS=$(FUZZ_SECONDS) BOSS_FUZZ_SEED=$${BOSS_FUZZ_SEED:-$$(date +%s)} \
	    $(CARGO) test --locked --release -p boss-base -p boss-raft -p boss-server -p bossctl --lib -- --nocapture --test-threads 1 fuzz::tests::$(FUZZ)

bench-etcd: build ## Compare the registry with etcd, which must be installed
	$(RELEASE)/boss-bench etcd

clean-dev: ## Stop the cluster of the state folder and delete it
	-$(RELEASE)/bossctl dev down --dir $(BOSS_DEV_DIR)
	rm -rf $(BOSS_DEV_DIR)
