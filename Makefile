# The book's commands. `make help` lists them; README.md says the same without make.
# The first `make book` or `make test` makes .venv and installs everything pinned in requirements.lock.

PYTHON ?= python3
PORT ?= 8000
# `make book LOCK=none` installs from pyproject.toml's lower bounds instead, and so keeps a build of
# PyTorch that is already in .venv.
LOCK ?= requirements.lock

BIN := .venv/bin
PAGE := _build/html/index.html

# Notebooks and files of tests run side by side, each on one core: JOBS=1 for one after another.
JOBS ?= 2
export JOBS

# Everything runs in an environment that no setting of the reader's reaches but those which say where
# things are and how the network is reached; book/_ext/surroundings.py has the list. -I: nor Python's.
OWN := $(BIN)/python -I book/_ext/surroundings.py
RUN := $(OWN) $(BIN)/
BESIDE := $(OWN) OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup zoo book quick page preview pdf serve test check lint types unit nbval browser access \
	notebooks editions bench lock repository records mutants clean distclean zip lab colab classroom \
	classroom-test live faults

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

# --- set-up: two stamps, so that it is skipped when nothing it depends on has changed -------------

.venv/.made:
	@$(PYTHON) -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "The book needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make book PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -I -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' lacks the venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -I -m venv .venv
	@touch $@

ifeq ($(LOCK),none)
.venv/.installed: .venv/.made pyproject.toml
	@echo "Installing from pyproject.toml"
	@$(RUN)python -m pip install --quiet --editable ".[book,test]"
	@touch $@
else
.venv/.installed: .venv/.made pyproject.toml $(LOCK)
	@echo "Installing from $(LOCK): about 3 minutes the first time"
	@$(RUN)python -m pip install --quiet --require-hashes --requirement $(LOCK)
	@$(RUN)python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endif

# The settings of the book's own programs, in place of the reader's.
_build/.ipython: | .venv/.installed
	@$(RUN)python -c ''

setup: .venv/.installed | _build/.ipython ## make .venv and install

# --- the book --------------------------------------------------------------------------------------

zoo: setup
	@$(RUN)python -m vae_core.zoo fill

book: zoo ## execute every chapter and build the book in _build/html
	@$(RUN)jupyter-book build . -W -n --keep-going
	@echo "The book: $(CURDIR)/$(PAGE)"

# Pages alone, from results that exist: the engine may have changed since. QUICK=yes or a chapter's number.
QUICK ?= yes
SHOWN := _build/quick/_build/html

quick: setup ## build the pages in a minute from the stored results, executing no chapter
	@$(OWN) VAE_CORE_QUICK=$(QUICK) $(BIN)/jupyter-book build . -n --path-output _build/quick
	@echo "Pages with results of earlier runs: $(CURDIR)/$(SHOWN)/index.html"

page: ## execute one chapter (N=12; 0: the front page) and build the pages, the others as in `make quick`
	@test -n "$(N)" || { echo "Which chapter? make page N=12" >&2; exit 1; }
	@$(MAKE) --no-print-directory quick QUICK=$(N)

# Apart from _build/html: what the book shows comes from its own trainings. WEIGHTS: another address.
FETCH = $(OWN) VAE_CORE_PASS="$(VAE_CORE_PASS) VAE_CORE_WEIGHTS" VAE_CORE_WEIGHTS=fetch \
  $(if $(WEIGHTS),VAE_CORE_WEIGHTS_FROM="$(WEIGHTS)") $(BIN)/

preview: setup ## the whole book from published weights, nothing trained (WEIGHTS=https://...)
	@$(FETCH)python book/_tools/fetch_models.py
	@$(FETCH)jupyter-book build . -W -n --keep-going --path-output _build/preview
	@echo "The preview: $(CURDIR)/_build/preview/_build/html/index.html"

serve: book ## build, then serve the book on this machine (PORT=8000)
	@echo "http://localhost:$(PORT) (stop with Ctrl-C)"
	@$(RUN)python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# As the reader has set JupyterLab up: without the environment above.
lab: setup ## open copies of the editions and assignments in JupyterLab (my-notebooks/)
	@$(BIN)/python book/_tools/lab.py

# Printed by the browser that the tests use too; nothing is executed again.
pdf: book ## the whole book as one PDF, _build/vae-book.pdf
	@$(RUN)python book/_tools/pdf.py

zip: book ## the built book as one archive that opens from disk (ZOO=yes: trained models, too)
	@$(RUN)python book/_tools/archive.py $(if $(filter yes,$(ZOO)),--weights)

# Executed elsewhere and moved: a stop leaves each stored notebook as it was or whole.
notebooks: zoo ## re-execute every notebook in place and normalise it; make the editions
	@for notebook in $$($(RUN)python book/_tools/stored.py --executed); do \
	  executed="_build/executed/$$(basename "$$notebook")"; \
	  $(OWN) VAE_CORE_QUIET=1 $(BIN)/jupyter-nbconvert --to notebook --execute --output-dir _build/executed --ExecutePreprocessor.timeout=900 \
	    --ExecutePreprocessor.kernel_name=python3 "$$notebook" \
	  && $(RUN)python book/_tools/normalise.py "$$executed" && mv -f "$$executed" "$$notebook" || exit 1; \
	done
	@$(RUN)python book/_tools/editions.py

editions: setup ## make the notebooks that readers run (notebooks/run) from the chapters as stored
	@$(RUN)python book/_tools/editions.py

# --- tests -----------------------------------------------------------------------------------------

test: check nbval browser live ## everything: lint, types, unit tests, chapters, book, browser, JupyterLab

check: lint types unit ## the fast part: lint, types, unit tests

lint: setup
	@$(RUN)ruff check .
	@$(RUN)ruff format --check .
	@$(RUN)python book/_tools/normalise.py --check
	@$(RUN)python book/_tools/repository.py --check
	@$(RUN)python book/_tools/editions.py --check

types: setup
	@$(RUN)mypy

unit: setup
	@$(BESIDE) tests --ignore=tests/browser --ignore=tests/live

# Students' notebooks hold no output to compare; tests/test_classroom.py runs each in an empty folder.
nbval: zoo
	@$(BESIDE) notebooks --ignore=notebooks/exercises/student --nbval --nbval-current-env --nbval-cell-timeout=900

browser: book pdf
	@$(BESIDE) tests/browser

faults: setup ## inject faults by the thousand, and store what held for the book's page
	@$(OWN) FAULTS=all OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist load tests/faults
	@$(RUN)python book/_tools/faults.py

live: setup ## every widget in a real JupyterLab with a real kernel
	@$(OWN) OMP_NUM_THREADS=1 $(BIN)/pytest tests/live

access: book ## axe over the whole of every page, wide and on a phone, light and dark
	@AXE_WHOLE=1 $(BESIDE) tests/browser/test_access.py -k axe --dist load

# Every notebook by itself, with an empty cache: FULL=1 trains its models whole.
colab: setup ## run every notebook as Colab does; TORCH=newest or a version: beside that PyTorch
	@$(RUN)python book/_tools/colab.py --jobs $(JOBS) $(if $(FULL),--full) $(if $(TORCH),--torch $(TORCH)) $(NOTEBOOKS)

bench: setup ## print the performance tables
	@$(RUN)python -m benchmarks

# --- a class -----------------------------------------------------------------------------------------

# The folder of the nbgrader course. Submissions and grades come to lie in it: for a real class, name
# one outside the book, which `make clean` does not remove. What a teacher has changed in it is kept;
# FORCE=1 puts the book's version back.
COURSE ?= _build/classroom

classroom: setup ## make the nbgrader course and the students' notebooks (COURSE=folder)
	@$(RUN)python book/_tools/classroom.py --course "$(COURSE)" $(if $(FORCE),--force)

classroom-test: zoo ## grade every assignment: solved, half done, untouched
	@CLASSROOM=all $(BESIDE) tests/test_classroom.py

# --- upkeep ----------------------------------------------------------------------------------------

lock: ## pin the newest versions that pyproject.toml allows (needs uv)
	@uv pip compile pyproject.toml --extra book --extra test --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --quiet \
	  --output-file requirements.lock
	@! grep -n '://' requirements.lock

repository: setup ## rewrite the repository's address everywhere: make repository URL=...
	@$(RUN)python book/_tools/repository.py $(if $(URL),--url $(URL))
	@$(RUN)python book/_tools/editions.py

records: zoo ## compute kept results that are missing or out of date (CHAPTER=13: of one chapter)
	@$(OWN) VAE_CORE_QUIET=1 $(BIN)/python -m benchmarks.records --stale $(CHAPTER)

mutants: zoo ## change what claims rest on, and record which changes make each fail (NOTEBOOKS="4 13")
	@$(OWN) VAE_CORE_QUIET=1 $(BIN)/python -m benchmarks.mutants --jobs $(JOBS) $(NOTEBOOKS)

clean: ## remove what was built
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis

distclean: clean ## remove what was built, and .venv
	rm -rf .venv *.egg-info
