# The commands of this repository. Each one sets up what it needs by itself, on a machine with python3 >= 3.11 and make.

MAKEFLAGS += --no-print-directory
PROJECTS  := $(wildcard libs/*/pyproject.toml services/*/pyproject.toml)
SOURCES   := requirements.lock pyproject.toml $(PROJECTS) deploy/bootstrap
READY     := .venv/.ready

# A suite that is still empty is no failure: pytest then exits with 5.
SUITE = .venv/bin/pytest -m $@ || test $$? -eq 5

FAULTS    := .pytest_cache/faults.xml

# What `make restore-drill` takes.
DATA      := .vekha
BACKUPS   := backups

.PHONY: demo test check revision release-contracts approve lint-fix slow test-faults faults docs/faults.md containers bench lock clean secrets restore-drill

demo: $(READY)        # a real school walks through its plan
	@.venv/bin/vekha demo

test: $(READY)        # the fast suites of every library and service, in two processes with servers of their own
	@.venv/bin/pytest -n 2 --dist loadfile -m "not slow and not faults and not containers"

check: $(READY)       # style, format, types, who may import whom, whether the contracts hold what was released
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/basedpyright
	.venv/bin/lint-imports
	.venv/bin/python -m contracts.compatibility

release-contracts: $(READY)  # what events and calls promise from now on; refused where it breaks what was released
	.venv/bin/python -m contracts.compatibility --release

approve: $(READY)     # write the boards of the sample histories anew, to be read and committed
	VEKHA_APPROVE=1 .venv/bin/pytest -q tests/test_approved.py tests/test_simulation.py

# SERVICE is roster, consent, identity, plan or notifier; NAME is the file's, WHAT says what holds from then on.
revision: $(READY)    # draft the next revision of a service's tables, after they were changed
	.venv/bin/python -m vekha.deployment.revising "$(SERVICE)" "$(NAME)" "$(WHAT)"

lint-fix: $(READY)    # mend what ruff can mend
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

slow: $(READY)        # the suites that take minutes
	@$(SUITE)

test-faults: $(READY) # processes killed and frozen, files damaged, networks cut, in two processes
	@.venv/bin/pytest -n 2 --dist worksteal -m faults --junitxml=$(FAULTS)

faults: test-faults   # the same

restore-drill: $(READY) # restore the last backup in BACKUPS on trial: of the containers, or with the secrets of the instance in DATA
	@file=$$(ls -t $(BACKUPS)/*.zip $(BACKUPS)/*.dump 2>/dev/null | head -1); \
	 case "$$file" in \
	     *.dump) deploy/drill "$$file" ;; \
	     *.zip) .venv/bin/vekha drill "$$file" --data $(DATA) ;; \
	     *) echo "No backup yet. Type: .venv/bin/vekha backup --data $(DATA) --out $(BACKUPS)/FILE.zip, or: deploy/backup" >&2; exit 1 ;; \
	 esac

docs/faults.md: test-faults # the table of faults, written anew from a run
	@.venv/bin/python -m tests.faults_table $(FAULTS) >$@.new && mv $@.new $@

containers: $(READY)  # the same code as five containers; needs docker
	@$(SUITE)

bench: $(READY)       # the figures, side by side with a peer
	@.venv/bin/python -m bench

# An added dependency enters the lock, all others stay as they are. To raise one, delete its lines from the lock first.
lock:                 # resolve every pyproject.toml into requirements.lock
	@test -x .venv/bin/uv || deploy/bootstrap
	UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true .venv/bin/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate $(PROJECTS) --group dev \
	    $(shell sed -n 's/^name = "\(.*\)"/--no-emit-package \1/p' $(PROJECTS)) --output-file requirements.lock

# Who is not root runs the containers as who they are: nobody else may read their files.
secrets: $(READY)     # make the secrets of a deployment with containers, once, in deploy/secrets
	@.venv/bin/vekha deploy secrets $(if $(filter 0,$(shell id -u)),--owner 10001:10001)
	@test "$$(id -u)" = 0 || printf 'VEKHA_USER=%s:%s\n' "$$(id -u)" "$$(id -g)" >>.env

clean:                # leave only what is in the repository; the demo's data folder and .vekha stay
	rm -rf .venv .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find libs services tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): $(SOURCES)
	@deploy/bootstrap

# A .venv that was moved or copied together with its folder would go on running the old folder's code.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif
