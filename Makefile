# Every target first makes .venv, from nothing but Python 3.11 to 3.13, or brings it up to date; the second time that is silent.
# GNU make on Linux and macOS (3.81 is enough). On Windows: the pip commands in README.md.
#
#   PYTHON=/path/to/python3.12   the Python that .venv is made from (default: the newest that works)
#   JOBS=1                       runs at a time in `make demo`, processes of `make test` (default: one per core)
#   PYTEST_ARGS="-x -k oracle"   LAB_ARGS=--allow-root   LOCK_ARGS=--upgrade   AUDIT_ARGS="-s osv"
#
# `make plan` and `make reproduce` take a grid of params/ and, where it is for several data sets, one of them:
#   make reproduce WHAT=table1 DATA=voc ROOT=/data/VOC          ROOT: the folder of the data
#   SET=gpu_share=3   changes a value of every run
#   JOBS=4         runs at a time            PROFILE=slurm   as jobs of a cluster: workflow/profiles/slurm
#   RUNS=/big/runs the folder of the runs    SNAKEMAKE_ARGS="--set-resources run:runtime=2880"

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo plan reproduce test test-browser lab label book lock torture licences audit setup named

UV := 0.13.9
BEGAN := $(shell date +%s)

# Whatever is typed stays as it was typed: no $ in it means anything to make, and a recipe takes it from the environment ("$$ROOT"),
# never as text of its shell line. SNAKEMAKE_ARGS, PYTEST_ARGS, LAB_ARGS, LOCK_ARGS, TORTURE_ARGS and AUDIT_ARGS are pieces of a shell line on purpose.
TYPED := WHAT DATA ROOT SET RUNS PROFILE JOBS FOLDER CLASSES WHO PORT PYTHON OREAL_HOME
$(foreach name,$(TYPED),$(if $(value $(name)),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))
given = $(if $(value $(1)),$(2))
FIGURES = $(call given,OREAL_HOME,$$OREAL_HOME/)figures

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: setup ## the paper's question on drawn scenes, start to end: 7 runs, two tables, three figures (7 minutes on two cores)
	@OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib.experiments.batch run demo $(call given,JOBS,--jobs="$$JOBS")
	@OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib.experiments.batch report demo
	@echo && cat "$(FIGURES)/demo_table.md"
	@echo
	@echo "$(FIGURES)/demo_table.md           the table above: how much each strategy learns from the same number of clicks"
	@echo "$(FIGURES)/demo_table.csv          the same numbers, unrounded"
	@echo "$(FIGURES)/demo_table2.md          what one label per superpixel costs, by class (demo_label_cost.png is the picture)"
	@echo "$(FIGURES)/demo_curves.png         quality after every step, against clicks, against labeled pixels, and near borders"
	@echo "$(FIGURES)/demo_mean_vs_max.png    what mean and max ask of the same model, and how unsure its pixels are"
	@echo "$(FIGURES)/demo_*.json             which runs, commit, machine and versions each of them was made from"
	@echo "runs/                            every run: its settings, each question it asked, its weights, its notebook"
	@echo
	@echo "Done in $$(($$(date +%s) - $(BEGAN))) s. One seed shows how it works and proves nothing; make reproduce WHAT=table1 DATA=toy has five."

GRID = "$$WHAT$(call given,DATA,@$$DATA)"
CHOSEN = $(GRID) $(call given,JOBS,--jobs="$$JOBS") $(call given,RUNS,--runs-dir="$$RUNS") $(call given,ROOT,--root="$$ROOT") \
	$(call given,SET,--set="$$SET")

plan: named setup ## before WHAT=table1 DATA=voc is started: which of its runs are there, hours and disk that the others need
	@OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib.experiments.plan $(CHOSEN)

reproduce: named setup ## the runs of WHAT=table1 DATA=voc, then its tables and figures; killed at any moment, it continues
	@OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib.experiments.reproduce $(CHOSEN) $(call given,PROFILE,--profile="$$PROFILE") $(SNAKEMAKE_ARGS)

named:
	@[ "$$WHAT" ] || { echo "error: WHAT is empty; name a grid of params/, such as make plan WHAT=table1 DATA=toy" >&2; exit 2; }

test: setup ## style of code and notebooks, then the whole test suite
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(if $(value JOBS),"$$JOBS",auto) --maxprocesses 4 --dist loadscope $(PYTEST_ARGS)

# OREAL_SCREENSHOTS=DIR make test-browser   leaves there what was on the screen, and the film of the README
test-browser: setup ## the tests that need a browser: the annotation widget in a page, and a whole session in JupyterLab
	@sh -c "$$CHROMIUM"
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -m browser tests/browser $(PYTEST_ARGS)

# Label pictures without a notebook in sight:   make label FOLDER=/my/photos CLASSES="road,sky,other"   WHO=ana   PORT=8866
label: setup ## label the pictures in FOLDER=/my/photos by clicks, as CLASSES="road,sky,other", in the browser of this computer
	@[ "$$FOLDER" ] || { echo "error: FOLDER is empty; name the folder of your pictures, such as make label FOLDER=/my/photos CLASSES=\"road,sky\"" >&2; exit 2; }
	@.venv/bin/python -m oreal_lib.annotate serve "$$FOLDER" $(call given,CLASSES,--classes="$$CLASSES") \
		$(call given,WHO,--annotator="$$WHO") $(call given,PORT,--port="$$PORT")

book: setup ## every lesson and report, executed and as web pages that need no network: book/index.html (10 minutes on two cores)
	@OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib.reports.book $(call given,JOBS,--jobs="$$JOBS")

lab: setup ## JupyterLab on notebooks/, reachable from this computer only
	@.venv/bin/python -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $(LAB_ARGS)

COMPILE = .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 $(LOCK_ARGS)
GET_UV = [ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet "uv==$(UV)"

lock: setup ## write requirements.lock and workflow/audit.lock from pyproject.toml (LOCK_ARGS=--upgrade for newer versions)
	@$(GET_UV)
	@$(COMPILE) --all-extras -o requirements.lock pyproject.toml
	@$(COMPILE) --group audit -o workflow/audit.lock
	@echo "requirements.lock: $$(grep -c '^[a-z]' requirements.lock) pins; the next target installs them, make licences writes their page"

# TORTURE_ARGS="--only run,session --kills 20 --examples 200 --seed 7"   a part of it
torture: setup ## try for hours to break what docs/guarantees.md promises, and write what came out into it
	@OMP_NUM_THREADS=1 .venv/bin/python tests/torture.py $(TORTURE_ARGS); code=$$?; \
		.venv/bin/python benchmarks/guarantees_page.py && exit $$code

licences: setup ## write docs/licences.md: what requirements.lock installs, and under which licence
	@$(GET_UV)
	@.venv/bin/python -m workflow.licences

audit: setup ## ask for known vulnerabilities of what requirements.lock pins (Error 1: there are some; Error 2: could not be asked)
	@sh -c "$$AUDIT"

setup: ## only make .venv
	@sh -c "$$SETUP"

# pip-audit needs pip as a package, so it has an environment of its own; .installed is written last, as in .venv below.
define AUDIT
set -eu
wanted="$$(cksum <workflow/audit.lock) $$(.venv/bin/python -V) in $$(pwd -P)"
if [ "$$wanted" != "$$(cat .venv-audit/.installed 2>/dev/null)" ]; then
    rm -rf .venv-audit
    if ! { .venv/bin/python -m venv .venv-audit &&
        .venv-audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r workflow/audit.lock; }; then
        echo "error: pip-audit could not be installed from workflow/audit.lock, so nothing was asked; try again with a network" >&2
        exit 2
    fi
    echo "$$wanted" >.venv-audit/.installed
fi
exec .venv-audit/bin/python -m workflow.audit $(AUDIT_ARGS)
endef
export AUDIT

define CHROMIUM
for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null 2>&1 && exit 0; done
if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium ..."
    { apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >.venv/chromium.log 2>&1 && exit 0
    tail -n 3 .venv/chromium.log
fi
echo "There is no Chromium or Chrome here, so these tests are skipped; install one (Debian: apt-get install chromium)."
endef
export CHROMIUM

# .venv/.installed holds a checksum of what was installed and where, and is written last. .venv/.installing is there while an
# install is under way: if it is found, that install was killed, nobody knows what is missing, and .venv is made anew.
define SETUP
set -eu
export PIP_REQUIRE_VIRTUALENV=1
began=$$(date +%s)
log=.venv/install.log
fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
wanted="$$(cat pyproject.toml requirements.lock | cksum) in $$(pwd -P)"

same_python() { [ -z "$${PYTHON-}" ] || [ "$$("$$PYTHON" -V 2>&1)" = "$$(.venv/bin/python -V 2>&1)" ]; }
same_place() { case "$$(cat .venv/.installed 2>/dev/null)" in "" | *" in $$(pwd -P)") ;; *) false ;; esac; }
whole() { [ -f .venv/pyvenv.cfg ] && [ ! -e .venv/.installing ] && .venv/bin/python -c "$$fits" 2>/dev/null; }
usable() { whole && same_python && same_place; }
create() {
    if [ "$${PYTHON-}" ]; then set -- "$$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
    for python; do
        "$$python" -c "$$fits" 2>/dev/null || continue # asking is not enough: pyenv has names without a Python behind them
        [ ! -e .venv ] || echo "Removing .venv: it is unfinished, was moved, or is not of the Python wanted ..."
        rm -f .venv/pyvenv.cfg # first: a half-deleted .venv would pass for the Python it was made from, and pip would write there
        rm -rf .venv
        mkdir .venv && touch .venv/.installing
        "$$python" -m venv .venv >/dev/null 2>&1 && return # fails on a Debian without python3-venv
    done
    echo "error: no Python 3.11, 3.12 or 3.13 that can make a virtual environment; tried:" \
        "$$*." >&2
    echo "Install one (Debian, Ubuntu: apt install python3-venv) or name one: make setup PYTHON=/path/to/python3.12" >&2
    exit 1
}
get_uv() {
    .venv/bin/python -m pip --version || .venv/bin/python -m ensurepip
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary :all: "uv==$(UV)"
    .venv/bin/uv --version
}
install() {
    "$$@" --require-hashes -r requirements.lock && "$$@" --no-deps --no-build-isolation -e .
}

if usable && [ "$$wanted" = "$$(cat .venv/.installed 2>/dev/null)" ]; then exit 0; fi
fresh=
usable || { fresh=yes; create; }
if [ "$$fresh" ]; then
    echo "Setting up .venv with $$(.venv/bin/python -V): about 6 GB on Linux, because torch brings CUDA;" \
        "half a minute with a fast network ..."
else
    echo "Bringing .venv up to date with requirements.lock and pyproject.toml ..."
fi
rm -f .venv/.installed
touch .venv/.installing
if get_uv >$$log 2>&1; then
    # where Python may not keep what it compiles, every process would compile torch anew, five seconds of it
    set -- .venv/bin/uv pip install --python .venv/bin/python $${PYTHONDONTWRITEBYTECODE:+--compile-bytecode}
else
    echo "uv $(UV) could not be had, so plain pip installs: 2.5 minutes or more instead of half a minute ..."
    set -- .venv/bin/python -m pip install --disable-pip-version-check
fi
if ! install "$$@" >>$$log 2>&1; then
    [ "$$fresh" ] || rm -f .venv/.installing # an older environment still stands: installers check everything before they change it
    tail -n 25 $$log >&2
    echo "error: .venv is not complete; see above, or all of it in $$log, then start the same command again" >&2
    exit 1
fi
echo "$$wanted" >.venv/.installed
rm -f .venv/.installing
echo "Ready after $$(($$(date +%s) - began)) s."
endef
export SETUP
