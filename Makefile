# One word for each job, the same by hand and in CI. Every job sets up what it needs in .venv, once for each pyproject.toml.
#
#   make demo    a tour of the client against a server on this machine
#   make test    all tests but the slow ones; ARGS="-k cookies" narrows, LOOP=uvloop runs them on uvloop
#   make check   ruff and mypy --strict
#   make bench   what a request costs, next to other clients; ARGS goes to the benchmark
#   make bench-server  what a request costs a server, next to other servers; needs wrk
#   make bench-ws  what a WebSocket message costs at either end, next to other libraries
#   make autobahn  the Autobahn test suite against both ends of a WebSocket; PYTHON2=... names a Python 2.7 for it
#   make docs    every code block and link of the documentation
#   make fuzz    the property tests with new random examples, a hundred times as many
#   make soak    the slow tests; SECONDS=600 makes the soak test take that long
#   make clean   remove .venv and what the tools left

PYTHON ?= python3
PYTHON2 ?= python2.7
VENV := .venv
BIN := $(VENV)/bin
AUTOBAHN := .venv-autobahn
ARGS ?=
LOOP ?= asyncio
SECONDS ?= 60

.DEFAULT_GOAL := test
.PHONY: demo test check bench bench-server bench-ws autobahn docs fuzz soak clean

$(VENV)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[speedups,cli]" --group dev
	touch $@

# The other clients are no part of the development set-up: some have wheels for few platforms only.
$(VENV)/.stamp-bench: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet --group bench
	touch $@

$(VENV)/.stamp-bench-server: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet --group bench-server
	touch $@

$(VENV)/.stamp-bench-ws: $(VENV)/.stamp
	$(BIN)/python -m pip install --quiet --group bench-ws
	touch $@

# The suite needs Python 2.7, which pip and virtualenv have left behind: an older virtualenv makes its environment.
$(AUTOBAHN)/.stamp:
	@command -v $(PYTHON2) >/dev/null || { echo "$(PYTHON2) is missing: make autobahn PYTHON2=/path/to/python2.7" >&2; exit 1; }
	$(PYTHON) -m venv $(AUTOBAHN)/make
	$(AUTOBAHN)/make/bin/python -m pip install --quiet "virtualenv<20.22"
	$(AUTOBAHN)/make/bin/virtualenv --quiet -p $(PYTHON2) $(AUTOBAHN)/suite
	$(AUTOBAHN)/suite/bin/python -m pip install --quiet autobahntestsuite==25.10.1
	touch $@

demo: $(VENV)/.stamp
	$(BIN)/python demo/demo.py $(ARGS)

test: $(VENV)/.stamp
	FAIRLEAD_LOOP=$(LOOP) $(BIN)/python -m pytest -n auto -m "not slow" $(ARGS)

check: $(VENV)/.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.stamp-bench
	$(BIN)/python -m bench $(ARGS)

bench-server: $(VENV)/.stamp-bench-server
	@command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk (Debian, Ubuntu) or brew install wrk" >&2; exit 1; }
	$(BIN)/python -m bench.web $(ARGS)

bench-ws: $(VENV)/.stamp-bench-ws
	$(BIN)/python -m bench.ws $(ARGS)

autobahn: $(VENV)/.stamp $(AUTOBAHN)/.stamp
	$(BIN)/python -m tests.autobahn --wstest $(AUTOBAHN)/suite/bin/wstest $(ARGS)

docs: $(VENV)/.stamp
	$(BIN)/python -m pytest -q tests/test_docs.py $(ARGS)

fuzz: $(VENV)/.stamp
	$(BIN)/python fuzz/fuzz_http1.py --count 200000
	$(BIN)/python fuzz/fuzz_ws.py --count 100000
	FAIRLEAD_HYPOTHESIS=fuzz $(BIN)/python -m pytest -n auto -m hypothesis $(ARGS)

soak: $(VENV)/.stamp
	FAIRLEAD_SOAK_SECONDS=$(SECONDS) FAIRLEAD_TEST_TIMEOUT=$$(($(SECONDS) + 600)) FAIRLEAD_LOOP=$(LOOP) \
		$(BIN)/python -m pytest -m slow $(ARGS)

clean:
	rm -rf $(VENV) $(AUTOBAHN) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
