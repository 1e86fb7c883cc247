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
BESIDE := OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) --dist loadfile

# The notebooks must run in .venv's own kernel, whatever the reader has installed or configured.
export JUPYTER_PREFER_ENV_PATH := 1
export IPYTHONDIR := $(CURDIR)/_build/.ipython
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Displays that come and go while a cell works would leave a trace in what is stored.
notebooks book nbval: export VAE_CORE_QUIET := 1
unexport JUPYTER_PATH JUPYTER_CONFIG_DIR PYTHONPATH PYTHONHOME MPLBACKEND PYTHONWARNINGS

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup zoo book pdf serve test check lint types unit nbval browser access \
	notebooks bench lock repository clean distclean zip colab classroom classroom-test live

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

# --- set-up: two stamps, so that it is skipped when nothing it depends on has changed -------------

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "The book needs Python 3.11 or newer; '$(PYTHON)' is not. Name one: make book PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' lacks the venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv
	@touch $@

ifeq ($(LOCK),none)
.venv/.installed: .venv/.made pyproject.toml
	@echo "Installing from pyproject.toml"
	@$(BIN)/python -m pip install --quiet --editable ".[book,test]"
	@touch $@
else
.venv/.installed: .venv/.made pyproject.toml $(LOCK)
	@echo "Installing from $(LOCK): about 3 minutes the first time"
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement $(LOCK)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endif

# IPython warns, and uses a folder of its own choice, where IPYTHONDIR is not there to be written to.
# Each kernel would warn that it listens on this machine's own TCP ports: no news to a reader.
_build/.ipython:
	@mkdir -p $@/profile_default
	@echo "c.IPKernelApp.log_level = 'ERROR'" > $@/profile_default/ipython_kernel_config.py

setup: .venv/.installed | _build/.ipython ## make .venv and install

# --- the book --------------------------------------------------------------------------------------

zoo: setup
	@$(BIN)/python -m vae_core.zoo fill

book: zoo ## execute every chapter and build the book in _build/html
	@$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book: $(CURDIR)/$(PAGE)"

serve: book ## build, then serve the book on this machine (PORT=8000)
	@echo "http://localhost:$(PORT) (stop with Ctrl-C)"
	@$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

# Printed by the browser that the tests use too; nothing is executed again.
pdf: book ## the whole book as one PDF, _build/vae-book.pdf
	@$(BIN)/python book/_tools/pdf.py

zip: book ## the built book as one archive that opens from disk, for a class or a USB stick
	@$(BIN)/python book/_tools/archive.py

# Executed elsewhere and moved: a stop leaves each stored notebook as it was or whole.
notebooks: zoo ## re-execute every notebook in place and normalise it
	@for notebook in $$(find notebooks -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*' -not -path '*/student/*' | sort); do \
	  executed="_build/executed/$$(basename "$$notebook")"; \
	  $(BIN)/jupyter-nbconvert --to notebook --execute --output-dir _build/executed --ExecutePreprocessor.timeout=900 \
	    --ExecutePreprocessor.kernel_name=python3 "$$notebook" \
	  && $(BIN)/python book/_tools/normalise.py "$$executed" && mv -f "$$executed" "$$notebook" || exit 1; \
	done

# --- tests -----------------------------------------------------------------------------------------

test: check nbval browser live ## everything: lint, types, unit tests, chapters, book, browser, JupyterLab

check: lint types unit ## the fast part: lint, types, unit tests

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/python book/_tools/normalise.py --check
	@$(BIN)/python book/_tools/repository.py --check

types: setup
	@$(BIN)/mypy

unit: setup
	@$(BESIDE) tests --ignore=tests/browser --ignore=tests/live

# Students' notebooks hold no output to compare; tests/test_classroom.py runs each in an empty folder.
nbval: zoo
	@$(BESIDE) notebooks --ignore=notebooks/exercises/student --nbval --nbval-current-env --nbval-cell-timeout=900

browser: book pdf
	@$(BESIDE) tests/browser

live: setup ## every widget in a real JupyterLab with a real kernel
	@OMP_NUM_THREADS=1 $(BIN)/pytest tests/live

access: book ## axe over the whole of every page, wide and on a phone, light and dark
	@AXE_WHOLE=1 $(BESIDE) tests/browser/test_access.py -k axe --dist load

colab: zoo ## run every notebook as Colab does; TORCH=newest or a version: beside that PyTorch
	@$(BIN)/python book/_tools/colab.py $(if $(TORCH),--torch $(TORCH)) $(NOTEBOOKS)

bench: setup ## print the performance tables
	@$(BIN)/python -m benchmarks

# --- a class -----------------------------------------------------------------------------------------

# The folder of the nbgrader course. Submissions and grades come to lie in it: for a real class, name
# one outside the book, which `make clean` does not remove.
COURSE ?= _build/classroom

classroom: setup ## make the nbgrader course and the students' notebooks (COURSE=folder)
	@$(BIN)/python book/_tools/classroom.py --course "$(COURSE)"

classroom-test: zoo ## grade every assignment: solved, half done, untouched
	@CLASSROOM=all $(BESIDE) tests/test_classroom.py

# --- upkeep ----------------------------------------------------------------------------------------

lock: ## pin the newest versions that pyproject.toml allows (needs uv)
	@uv pip compile pyproject.toml --extra book --extra test --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade --quiet \
	  --output-file requirements.lock
	@! grep -n '://' requirements.lock

repository: setup ## rewrite the repository's address everywhere: make repository URL=...
	@$(BIN)/python book/_tools/repository.py $(if $(URL),--url $(URL))

clean: ## remove what was built
	rm -rf _build .pytest_cache .ruff_cache .mypy_cache .hypothesis

distclean: clean ## remove what was built, and .venv
	rm -rf .venv *.egg-info
