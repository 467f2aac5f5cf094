# make            set up and run the default study      make STUDY=mine   run another one
# make test       set up, lint and test                 make lint         linters only
# make slow       the tests that take a minute or more each
# make cluster    only the tests on a Slurm cluster, started here for them (root only, else skipped)
# make cluster-accounting    those on one with an accounting database
# make servers    fetching from real servers of MLflow and S3 that are started here
# make bench      side-by-side timings                  make lock         renew the lock files
# make generate   write anew what is made of options and formats: schema, config.yaml, tables of docs
# make ranges     the unit tests on the lowest versions of packages that pyproject.toml allows
# make site       the documentation as a site, in site/
# make audit      ask PyPI for known holes in the locked packages
# make holes OSV=all.zip   the same without a network, from an export of osv.dev
# make sbom       a software bill of materials, flopline.cdx.json
# make VERBOSE=1  show all that Snakemake says, too
# make pdf STUDY=mine      the study's report on paper, by an installed Chromium or Chrome
# make CACHE=folder    share tables and fits with other checkouts (docs/caching.md)
# make forecast STUDY=mine   seal what is predicted of runs still to be made (docs/forecasts.md)
# make judge STUDY=mine      score it, now that the runs are there
# make draft LOGS=folder    write a study file for a folder of logs (ARGS=--help for more)

.DEFAULT_GOAL := run
.PHONY: run pdf forecast judge draft test suite slow cluster cluster-accounting servers lint format \
    generate bench backtest audit holes sbom lock ranges site clean

ifneq ($(findstring :,$(CURDIR)),)
$(error The checkout lies in $(CURDIR), and a colon parts the paths in which programs are looked for: \
rename that folder, or move the checkout)
endif

PYTHON ?= python3
VENV := .venv
# The workflow's comes first.
LOCKS := requirements.lock requirements-dev.lock requirements-audit.lock
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/workflow
# BLAS threads that spin on tiny matrices cost three times the CPU.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
ifdef CACHE
export SNAKEMAKE_OUTPUT_CACHE := $(abspath $(CACHE))
endif

# Snakemake keeps copies of its sources in the home, which compute nodes and containers may not let
# anyone write.
ifneq ($(shell d="$${XDG_CACHE_HOME:-$$HOME/.cache}"; mkdir -p "$$d" 2>&1 && test -w "$$d" || echo no),)
export XDG_CACHE_HOME := $(CURDIR)/.snakemake/home
endif

# By its path, since Snakemake takes a name such as 2026_11 for a number.
STUDY_FILE = $(or $(wildcard config/studies/$(STUDY).yaml),$(STUDY))

# In steps, so that the chain stops where results come out the same; with ARGS as Snakemake does it,
# before --config, which would take a target for one of its own.
run: $(VENV)/ready
	@$(if $(CACHE),mkdir -p $(CACHE))
	@python $(if $(ARGS),-m snakemake $(ARGS),workflow/run.py) --cores all \
	    $(if $(VERBOSE),--quiet host) $(if $(STUDY),--config study=$(STUDY_FILE)) $(if $(CACHE),--cache)

# Without STUDY it is the study that config/config.yaml names, as for a run.
pdf: run
	@name=$(or $(STUDY),$$(sed -n 's/^study: *\([^ #]*\).*/\1/p' config/config.yaml)); \
	name=$${name##*/}; name=$${name%.yaml}; name=$${name%.yml}; \
	for page in report appendix; do \
	    python -m flopline.printing "results/$$name/$$page.html" "results/$$name/$$page.pdf" || exit; \
	done

# RUN="big 7e9 1.4e11" forecasts one run that the study file does not name.
forecast: run
	@python -m flopline.sealed forecast $(STUDY_FILE) $(if $(RUN),--run $(RUN)) \
	    $(if $(DATE),--date $(DATE)) $(if $(FILE),--file $(FILE))

# With RESULTS, a table of runs and losses, nothing is run.
judge: $(if $(RESULTS),$(VENV)/ready,run)
	@python -m flopline.sealed judge $(STUDY_FILE) $(if $(RESULTS),--results $(RESULTS)) \
	    $(if $(FILE),--file $(FILE))

draft: $(VENV)/ready
	@python -m flopline.drafting $(LOGS) $(if $(STUDY),--name $(STUDY)) $(ARGS)

# Side by side, since the linters keep one core busy and the other idle; either fails the whole.
test: $(VENV)/ready-dev
	@$(MAKE) --no-print-directory --jobs 2 lint suite

# A make that a test starts knows nothing of the two.
suite: $(VENV)/ready-dev
	@unset MAKEFLAGS MFLAGS MAKELEVEL; pytest -n 2 --dist worksteal -m "not accounting and not slow" $(ARGS)

# What would make `make test` too long to wait for.
slow: $(VENV)/ready-dev
	@pytest -n 2 -m slow $(ARGS)

cluster: $(VENV)/ready-dev
	@pytest -m "cluster and not accounting" tests/cluster $(ARGS)

cluster-accounting: $(VENV)/ready-dev
	@pytest -m accounting tests/cluster $(ARGS)

servers: $(VENV)/ready-dev $(VENV)/servers/ready
	@FLOPLINE_SERVERS=$(CURDIR)/$(VENV)/servers/bin \
	    PYTHONPATH=$(PYTHONPATH):$(CURDIR)/$(VENV)/clients pytest tests/servers $(ARGS)

# The servers pin versions of pandas and botocore that are not ours or those of their clients.
$(VENV)/servers/ready: pyproject.toml | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/servers
	@$(VENV)/servers/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(VENV)/servers/bin/python -m pip install --quiet --disable-pip-version-check --group servers
	@$(VENV)/servers/bin/python -m pip install --quiet --disable-pip-version-check --upgrade \
	    --target $(VENV)/clients --group clients
	@touch $@

lint: $(VENV)/ready-dev
	@ruff check .
	@ruff format --check .
	@snakefmt --check --compact-diff Snakefile workflow
	@snakemake --lint
	@mypy

format: $(VENV)/ready-dev
	@ruff check --fix .
	@ruff format .
	@snakefmt Snakefile workflow

# The options are fields of models in the library, the log formats entries of a table; a test fails
# while this is due.
generate: $(VENV)/ready
	@python -m flopline.option_files
	@python -m flopline.logs.formats_docs
	@python -m flopline.outputs.decision_schema

# bench_parametric.py also times the package chinchilla where it is installed:
#   .venv/bin/python -m pip install chinchilla==0.2.0
bench: $(VENV)/ready-dev
	@for script in benchmarks/bench_*.py; do echo "== $$script"; python $$script || exit 1; done

# Forecasts every step of the ladders of public studies and puts the gates of the headline to them, in
# three minutes of CPU; renews the prior of forecasts and the tables of docs/uncertainty.md. FLOPLINE_TEST_DATA names the studies' folder.
backtest: $(VENV)/ready-dev
	@python benchmarks/backtest.py --write
	@python benchmarks/outside_forms.py --write

# Fails at a known hole, which pip-audit prints as a table, and where PyPI does not answer for a
# package. The tool has an environment of its own, so that its packages stay out of ours.
audit: $(VENV)/audit/ready
	@for lock in $(LOCKS); do \
	    echo "== $$lock"; \
	    holes=$$($(VENV)/audit/bin/pip-audit --strict --require-hashes --disable-pip \
	        --progress-spinner off -r $$lock) && continue; \
	    if [ -n "$$holes" ]; then \
	        echo "$$holes"; echo "make audit: $$lock has known holes: raise these versions in" \
	            "pyproject.toml, then make lock."; \
	    else \
	        echo "make audit: PyPI gave no advisories for the packages of $$lock, so nothing is" \
	            "known of them: try again where https://pypi.org/pypi can be reached."; \
	    fi; exit 1; done

# OSV=file or folder: https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip, carried in.
holes: $(VENV)/ready
	@python -m supply_chain.known_holes "$(or $(OSV),all.zip)" $(LOCKS)

sbom: $(VENV)/ready
	@python -m supply_chain.bill_of_materials flopline.cdx.json $(LOCKS)

$(VENV)/audit/ready: requirements-audit.lock | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# The command `flopline` of this checkout; its library lies beside it and is not installed.
$(VENV)/bin/flopline: | $(VENV)/bin/python
	@printf '%s\n' '#!/bin/sh' 'export PYTHONPATH="$(CURDIR)/workflow"' \
	    'export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1' \
	    'exec "$(CURDIR)/$(VENV)/bin/python" -m flopline "$$@"' > $@
	@chmod +x $@

# Every installed file is checked against the hashes of the lock file.
$(VENV)/ready: requirements.lock | $(VENV)/bin/python $(VENV)/bin/flopline
	@echo "Installing the locked packages into $(VENV) (once, about a minute)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/ready-dev: requirements-dev.lock | $(VENV)/bin/python $(VENV)/bin/flopline
	@echo "Installing the locked packages and test tools into $(VENV) (once, about a minute)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@ $(VENV)/ready

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Flopline needs Python 3.11 or newer, and $(PYTHON) is older or missing:" \
	         "name another one, as in  make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	    echo "$(PYTHON) cannot make a virtual environment: install its venv package" \
	         "(Debian and Ubuntu: apt install python3-venv)"; exit 1; }

# The lock files hold for every supported Python and platform; needs `uv` on the PATH.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet \
	    -o requirements-dev.lock
	uv pip compile --group pyproject.toml:audit --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" --quiet \
	    -o requirements-audit.lock

# Figures are compared with baselines of the locked matplotlib, and how lazily packages import each
# other is theirs.
ranges:
	@mkdir -p $(VENV)
	@uv venv --quiet --clear $(VENV)/lowest
	@uv pip compile pyproject.toml --group dev --resolution lowest-direct --quiet \
	    --python $(VENV)/lowest/bin/python -o $(VENV)/lowest.txt
	@uv pip install --quiet --python $(VENV)/lowest/bin/python -r $(VENV)/lowest.txt
	@$(VENV)/lowest/bin/python -m pytest -n 2 tests/unit \
	    --ignore tests/unit/test_figures_regression.py --ignore tests/unit/test_versions.py \
	    -k "not loads_scipy" $(ARGS)

# Its tools have an environment of their own, without the workflow's packages: docstrings are read, not
# imported. No warning is let pass.
site: $(VENV)/site/ready
	@NO_MKDOCS_2_WARNING=1 $(VENV)/site/bin/mkdocs build --strict --quiet
	@echo "The documentation: $(CURDIR)/site/index.html"

$(VENV)/site/ready: pyproject.toml | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/site
	@$(VENV)/site/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@$(VENV)/site/bin/python -m pip install --quiet --disable-pip-version-check --group site
	@touch $@

clean:
	find results -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
	rm -rf .snakemake
