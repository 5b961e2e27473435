# Every target first makes .venv, from nothing but Python 3.11 to 3.13, or brings it up to date; when nothing changed that is silent.
# GNU make on Linux and macOS (3.81 is enough). On Windows: the pip commands in README.md.
#
#   PYTHON=/path/to/python3.12   the Python that .venv is made from (default: the newest that works)
#   JOBS=1                       runs at a time in `make demo`, processes of `make test` (default: one per core; tests: 2)
#   PYTEST_ARGS="-x -k oracle"   LAB_ARGS=--allow-root   LOCK_ARGS=--upgrade
#
# `make plan` and `make reproduce` take a grid of params/ and, where it is for several data sets, one of them:
#   make reproduce WHAT=table1 DATA=voc ROOT=/data/VOC          ROOT: the folder of the data
#   SET=gpu_share=3   changes a value of every run
#   JOBS=4         runs at a time            PROFILE=slurm   as jobs of a cluster: workflow/profiles/slurm
#   RUNS=/big/runs the folder of the runs    SNAKEMAKE_ARGS="--set-resources run:runtime=2880"

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo plan reproduce test test-all test-browser lab label book article course lock torture licences audit setup named

UV := 0.13.9
BEGAN := $(shell date +%s)
OREAL := OMP_NUM_THREADS=1 .venv/bin/python -m oreal_lib
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest

# What is typed stays as it was typed: no $ in it means anything to make, and a recipe takes it from the environment ("$$ROOT"),
# never as text of its shell line. Those that end in _ARGS are pieces of a shell line on purpose.
TYPED := WHAT DATA ROOT SET RUNS PROFILE JOBS FOLDER CLASSES WHO PORT WORK SIDE SUPERPIXELS PYTHON OREAL_HOME
$(foreach name,$(TYPED),$(if $(value $(name)),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))
given = $(if $(value $(1)),$(2))
FIGURES = $(call given,OREAL_HOME,$$OREAL_HOME/)figures

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: setup ## the paper's question on drawn scenes, start to end: 7 runs, two tables, three figures (5 to 10 minutes on two cores)
	@$(OREAL) run demo $(call given,JOBS,--jobs="$$JOBS")
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

plan: named setup ## what WHAT=table1 DATA=voc needs: which of its runs are there, hours and disk of the others
	@$(OREAL) plan $(CHOSEN)

reproduce: named setup ## the runs of WHAT=table1 DATA=voc, then its tables and figures; killed at any moment, it continues
	@$(OREAL) run $(CHOSEN) $(call given,PROFILE,--profile="$$PROFILE") $(SNAKEMAKE_ARGS)

named:
	@[ "$$WHAT" ] || { echo "error: WHAT is empty; name a grid of params/, such as make plan WHAT=table1 DATA=toy" >&2; exit 2; }

test: setup ## style of code and notebooks, then the quick tests (six minutes on two cores)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@$(PYTEST) -n $(if $(value JOBS),"$$JOBS",2) --dist loadscope --durations=20 $(PYTEST_ARGS)

test-all: ## `make test` with the slow tests, then those that need a browser (25 minutes on two cores)
	@$(MAKE) test PYTEST_ARGS='-m "not browser" $(PYTEST_ARGS)'
	@$(MAKE) test-browser

# OREAL_SCREENSHOTS=DIR make test-browser   leaves there what was on the screen, and the film of the README
test-browser: setup ## the tests that need a browser: the annotation widget in a page, and a whole session in JupyterLab
	@sh -c "$$CHROMIUM"
	@$(PYTEST) -m browser tests/browser $(PYTEST_ARGS)

# Label pictures without a notebook:   make label FOLDER=/my/photos CLASSES="road,sky,other"   WHO=ana   PORT=8866
#   WORK=DIR   the session's files   SIDE=1500   pixels of the longer side   SUPERPIXELS=900   how many, or a folder of label maps
label: setup ## label the pictures in FOLDER=/my/photos by clicks, as CLASSES="road,sky,other", in the browser of this computer
	@[ "$$FOLDER" ] || { echo "error: FOLDER is empty; name the folder of your pictures, such as make label FOLDER=/my/photos CLASSES=\"road,sky\"" >&2; exit 2; }
	@.venv/bin/python -m oreal_lib annotate serve "$$FOLDER" $(call given,CLASSES,--classes="$$CLASSES") \
		$(call given,WHO,--annotator="$$WHO") $(call given,PORT,--port="$$PORT") $(call given,WORK,--work="$$WORK") \
		$(call given,SIDE,--side="$$SIDE") $(call given,SUPERPIXELS,--superpixels="$$SUPERPIXELS")

book: setup ## lessons, reports, pages and the API as a site that needs no network: book/html/index.html (10 minutes on two cores)
	@OMP_NUM_THREADS=1 .venv/bin/python -m sphinx -q -W --keep-going -c docs . book/html
	@echo "book/html/index.html: open it in a browser, or copy the folder anywhere"

article: setup ## the article, from the files in figures/: book/article.pdf (seconds)
	@mkdir -p book && .venv/bin/python -c 'import typst; typst.compile("docs/article/article.typ", root=".", output="book/article.pdf")'
	@echo "book/article.pdf"

course: setup ## for a class: lessons in nbgrader's form, book/course/source with solutions, book/course/release without; slides
	@.venv/bin/python docs/course.py book/course
	@.venv/bin/python docs/slides.py book/course/slides.html

lab: setup ## JupyterLab on notebooks/, reachable from this computer only
	@JUPYTER_PATH="$(CURDIR)/.venv/share/jupyter$${JUPYTER_PATH:+:$$JUPYTER_PATH}" \
		.venv/bin/python -m jupyterlab --ip=127.0.0.1 --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks $(LAB_ARGS)

lock: setup ## write requirements.lock from pyproject.toml (LOCK_ARGS=--upgrade for newer versions); needs a network
	@.venv/bin/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
		--all-extras -o requirements.lock pyproject.toml $(LOCK_ARGS)

# TORTURE_ARGS="--only run,session --kills 20 --examples 200 --seed 7"   a part of it
torture: setup ## try for hours to break what docs/guarantees.md promises, and write the outcome into it
	@OMP_NUM_THREADS=1 .venv/bin/python tests/torture/torture.py $(TORTURE_ARGS)

licences: setup ## the licence of every package in .venv; the first time it needs a network
	@.venv/bin/uv tool run --quiet --from pip-licenses==5.5.5 pip-licenses --python .venv/bin/python --order=license

audit: setup ## known vulnerabilities of every package in .venv; needs a network
	@.venv/bin/uv pip freeze --quiet --exclude-editable --python .venv/bin/python >.venv/installed.txt
	@.venv/bin/uv tool run --quiet --from pip-audit==2.10.1 pip-audit --strict --no-deps --disable-pip -r .venv/installed.txt

setup: ## only make .venv
	@sh -c "$$SETUP"

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

# .venv/ready holds what was installed and where. It is written last and removed first: without it .venv is unfinished, made anew.
define SETUP
set -eu
wanted="$$(cat pyproject.toml requirements.lock | cksum) in $$(pwd -P)" ready=$$(cat .venv/ready 2>/dev/null || true)
[ -z "$${PYTHON-}" ] || [ "$$("$$PYTHON" -V 2>&1)" = "$$(.venv/bin/python -V 2>&1)" ] || ready=
[ "$$ready" != "$$wanted" ] || exit 0
rm -f .venv/ready
case "$$ready" in *" in $$(pwd -P)") ;; *)
    if [ "$${PYTHON-}" ]; then set -- "$$PYTHON"; else set -- python3.13 python3.12 python3.11 python3 python; fi
    tried="$$*" fits='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
    until [ $$# = 0 ] || { "$$1" -c "$$fits" && "$$1" -m venv --clear .venv; } >/dev/null 2>&1; do shift; done
    [ $$# != 0 ] || { echo "error: no Python 3.11, 3.12 or 3.13 that can make a virtual environment; tried: $$tried." \
        "Install one (Debian, Ubuntu: apt install python3-venv) or name one: make setup PYTHON=/path/to/python3.12" >&2; exit 1; }
    echo "Setting up .venv with $$(.venv/bin/python -V): about 6 GB on Linux, because torch brings CUDA; a minute or more ..." ;;
esac
trap '[ -f .venv/ready ] || echo "error: .venv is not complete; see above, then start the same command again" >&2' EXIT
export PIP_REQUIRE_VIRTUALENV=1 VIRTUAL_ENV="$$(pwd -P)/.venv"
.venv/bin/python -m pip install -qq --disable-pip-version-check --only-binary :all: "uv==$(UV)"
# where Python may not keep what it compiles, every process would compile torch anew, five seconds of it
.venv/bin/uv pip install --quiet $${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} --require-hashes -r requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation -e .
echo "$$wanted" >.venv/ready
endef
export SETUP
