# Every Byte: `make` or `make help` lists what there is.

PYTHON ?= python3
VENV = .venv/bin
MEASURE = .venv-measure/bin
LITE = .venv-lite/bin
CLASSROOM = .venv-classroom/bin
SITE = _build/html
NOTEBOOKS = $(wildcard book/*.ipynb)
PAGE_DATA = book/assets/your_model_data.js
LIBRARY = $(shell find book/llm_memory -type f -not -path '*/__pycache__/*')
SOURCES = _config.yml _toc.yml $(LIBRARY) $(NOTEBOOKS) \
  $(wildcard book/*.md book/*.bib book/assets/* sphinx_extension/*.*)

.DEFAULT_GOAL = help
.DELETE_ON_ERROR:
.PHONY: help book lite slides test lab execute measure measure-gpu serve classroom bench release lint \
  format links lock newest clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*  ## ' Makefile | sed -E 's/:.*  ## /\t/' | expand -t 13

book: $(SITE)/.built  ## build the site, from its committed outputs
	@echo "open $(CURDIR)/$(SITE)/index.html"

lite: $(SITE)/lite/.built  ## build the chapters to run live in the browser, beside the site

slides: $(SITE)/slides/.built  ## build the slides of the talk, beside the site
	@echo "open $(CURDIR)/$(SITE)/slides/talk.html"

test: book lite slides  ## run every test; CHROMIUM=/path picks the browser
	@CHROMIUM="$$($(VENV)/python tools/chromium.py)" && export CHROMIUM && \
	  $(VENV)/python -m pytest -n 2 --dist loadfile --nbval --nbval-current-env \
	    --doctest-modules --ignore=book/llm_memory/measure tests book

lab: .venv/.installed  ## open the chapters in Jupyter Lab
	$(VENV)/jupyter lab book

execute: .venv/.installed  ## run every notebook from a clean kernel and keep its outputs
	$(VENV)/python tools/execute.py $(PAGE_DATA) $(NOTEBOOKS)

measure: .venv-measure/.installed  ## compare data/measured with PyTorch; WRITE=1 records
	PYTHONPATH=book $(MEASURE)/python -m llm_memory.measure $(if $(WRITE),--write)

measure-gpu:  ## record a CUDA device, with the torch of PYTHON; SHAPES="--batch 1"
	PYTHONPATH=book $(PYTHON) -m llm_memory.measure.gpu $(SHAPES)

serve: book  ## serve the site on http://localhost:8000
	$(VENV)/python -m http.server --directory $(SITE) --bind 127.0.0.1 8000

classroom: .venv-classroom/.installed  ## serve a class with JupyterHub; see classroom/README.md
	$(CLASSROOM)/jupyterhub --config classroom/jupyterhub_config.py

bench: .venv/.installed  ## time builds, notebooks and pages against their limits
	$(VENV)/python tools/bench.py

release: book slides  ## pack the site and the notebooks into dist/
	$(VENV)/python tools/release.py

lint: .venv/.installed  ## check style, spelling and how notebooks are stored
	$(VENV)/ruff check . && $(VENV)/ruff format --check .
	$(VENV)/codespell
	$(VENV)/python tools/hygiene.py

format: .venv/.installed  ## mend what ruff can mend
	$(VENV)/ruff check --fix . && $(VENV)/ruff format .

links: .venv/.installed  ## ask every other site that a page links to
	$(VENV)/jupyter-book build . --path-output _build/links --builder linkcheck

lock: .venv/.installed .venv-measure/.installed  ## remake the exact lists of packages
	$(VENV)/python tools/lock.py

newest: .venv/.installed  ## pin the newest packages instead; then make test
	$(VENV)/python tools/newest.py
	$(VENV)/python tools/lock.py

clean:  ## remove the site and every cache, not the environments
	rm -rf _build dist .pytest_cache .ruff_cache .hypothesis book/.pytest_cache
	find book tests tools sphinx_extension -name __pycache__ -prune -exec rm -rf {} +

$(SITE)/.built: .venv/.installed $(SOURCES)
	$(VENV)/python tools/build.py
	@touch $@

$(SITE)/lite/.built: .venv-lite/.installed $(LIBRARY) $(NOTEBOOKS) requirements.txt \
  $(wildcard tools/lite*.py lite/*/*.py) sphinx_extension/every_byte_policy.py
	$(LITE)/python tools/lite.py
	@touch $@

$(SITE)/slides/.built: $(SITE)/.built $(wildcard slides/* tools/slides*.py)
	$(VENV)/python tools/slides.py
	@touch $@

.venv/.installed: requirements.txt
	@$(PYTHON) tools/require_python.py
	test -x $(VENV)/python || $(PYTHON) -m venv .venv
	$(VENV)/python -m pip install --quiet --requirement requirements.txt
	@touch $@

.venv-lite/.installed: requirements-lite.txt
	@$(PYTHON) tools/require_python.py
	test -x $(LITE)/python || $(PYTHON) -m venv .venv-lite
	$(LITE)/python -m pip install --quiet --requirement requirements-lite.txt
	@touch $@

.venv-classroom/.installed: requirements-classroom.txt
	@$(PYTHON) tools/require_python.py
	test -x $(CLASSROOM)/python || $(PYTHON) -m venv .venv-classroom
	$(CLASSROOM)/python -m pip install --quiet --requirement requirements-classroom.txt
	$(CLASSROOM)/npm install --silent --prefix .venv-classroom/proxy \
	  configurable-http-proxy@5.3.0
	@touch $@

.venv-measure/.installed: requirements-measure.txt
	@$(PYTHON) tools/require_python.py
	test -x $(MEASURE)/python || $(PYTHON) -m venv .venv-measure
	$(MEASURE)/python -m pip install --quiet --requirement requirements-measure.txt
	@touch $@
