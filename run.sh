#!/usr/bin/env bash
# From a folder of shapes to leaderboard PNGs. `bash run.sh --help` explains.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

STAGES=(make_demo_data check_input make_folds make_distance_maps tune_loss train
  tune_threshold make_submission summarize report)
GEOMETRY_STAGES=(make_demo_data check_input make_folds train_geometry make_submission summarize
  report)

usage() {
  cat <<'TEXT'
usage: bash run.sh [RECIPE] [key=value ...] [--force]
                                               set up, then run every stage; --force: also what is
                                               current, trainings anew (the old ones are kept)
       bash run.sh tables [TABLE ...] [options] [key=value ...]
                                               set up, then train the rows of the tables
       bash run.sh test [pytest options]       set up, then run the fast tests; --slow: the slow
                                               ones, too; --gpu: CUDA's paths, also without a GPU
       bash run.sh app                         set up, then open a page to try it on this machine
       bash run.sh docs                        set up, then write the documentation to site/
       bash run.sh --help

RECIPE is a file in pipelines/ without .yaml. Without one:
  canet   where the data set is in input/pixel-skelneton/ and there is a CUDA GPU
  cpu     where the data set is there and there is no CUDA GPU
  demo    where there is no data set: shapes are generated, four to ten minutes on two cores
Ask for geometry to learn no network at all: minutes on two cores, and more exact here.
key=value overrides a key of the recipe, such as train.epochs=20 or data.root=/data/skelneton.

Stages (each a script in src/ with --help; what is current is skipped, what was killed continues):
  make_demo_data  check_input  make_folds  make_distance_maps  tune_loss  train
  tune_threshold  make_submission  summarize  report
  geometry: … make_folds  train_geometry  make_submission  summarize  report

Tables are files in tables/ without .yaml, all of them by default; options are those of
src/make_tables.py. Finished rows are kept, stopped ones continue; results/ has what came out.

The active Python environment is used if it satisfies pyproject.toml, else .venv is created.
PYTHON=/path/to/python3.12 chooses the interpreter for .venv (3.11 or newer).

examples:
  bash run.sh
  bash run.sh demo train.epochs=4
  bash run.sh cpu folds.scheme=grouped
  bash run.sh geometry --force
  bash run.sh tables --minutes 25
  bash run.sh tables table3 train.epochs=60
  bash run.sh app
TEXT
}

die() { echo "error: $*" >&2; exit 1; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
    [ -n "$candidate" ] && is_new_enough "$candidate" && { command -v "$candidate"; return; }
  done
  die "no Python 3.11 or newer found; install one, or name it with PYTHON=/path/to/python3"
}

extras=train # of pyproject.toml

# Of .venv, also on Windows.
venv_python() { [ -d .venv/Scripts ] && echo .venv/Scripts/python.exe || echo .venv/bin/python; }

# Sets $python to an interpreter that has what pyproject.toml asks for with the extras. The overrides
# tell whether a GPU is wanted: one that the torch to be installed cannot use is told before
# gigabytes arrive.
set_up() {
  local base=$1 lacking
  shift
  if lacking=$("$base" src/canet/core/requirements_check.py $extras 2>&1); then
    python=$base
    return
  fi
  python=$(venv_python)
  if [ -x "$python" ] && "$python" src/canet/core/requirements_check.py $extras 2>/dev/null; then
    return
  fi
  echo "== setting up .venv (once; with torch several GB and some minutes), since for $base:"
  echo "$lacking" | sed 's/^/   /' | head -5
  PYTHONPATH=src "$base" -m canet.core.gpus "$@" || exit 1
  "$python" -m pip --version >/dev/null 2>&1 || "$base" -m venv --clear .venv ||
    die "$base cannot make a virtual environment"
  python=$(venv_python)
  "$python" -m pip install --disable-pip-version-check --no-compile \
    -e ".[${extras// /,}]" -c constraints.txt || die "installing failed, see above"
  # what pip would do on one core; some packages have files for other Pythons
  "$python" -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true
  "$python" src/canet/core/requirements_check.py $extras ||
    die "the installation is incomplete, see above"
}

# Skeletons of the demo's shapes by what comes with the repository, before anything is trained.
show_weights() {
  local folder
  for folder in weights/*/; do
    echo "== what comes with the repository: $folder"
    "$python" src/make_submission.py --recipe demo "$@" --run "${folder%/}" \
      --out "demo_by_$(basename "$folder")"
  done
}

# Words with = are overrides of the budget, all others tables and options.
run_tables() {
  local word words=() overrides=()
  for word in "$@"; do
    case $word in
      -*) words+=("$word") ;;
      *=*) overrides+=("$word") ;;
      *) words+=("$word") ;;
    esac
  done
  [ ${#overrides[@]} -gt 0 ] && words+=(--set "${overrides[@]}")
  exec "$python" src/make_tables.py ${words[@]+"${words[@]}"}
}

# The documentation as HTML in site/, out of the Markdown files and docstrings.
make_docs() {
  "$python" -m sphinx -c docs/site -b html -q -W --keep-going "$@" . site ||
    die "the documentation has problems, see above"
  echo "site/index.html"
}

# On all cores; `-n 0` in one process. The tests of CUDA's paths need a GPU, or a stand-in that has to
# be there before Python starts.
run_tests() {
  case " $* " in
    *" --gpu "*) exec "$python" tests/gpu/start.py "$@" ;;
    *) exec "$python" -m pytest -n logical --dist worksteal "$@" ;;
  esac
}

main() {
  case "${1:-}" in -h | --help) usage; exit 0 ;; esac
  local base recipe= reason word changes=() overrides=() force=() stage number=0
  base=$(find_python)
  if [ "${1:-}" = test ]; then
    shift
    extras="train test app"
    set_up "$base" machine.device=cpu
    run_tests "$@"
  elif [ "${1:-}" = app ]; then
    shift
    extras="train app"
    set_up "$base" machine.device=cpu
    exec "$python" src/app.py "$@"
  elif [ "${1:-}" = docs ]; then
    shift
    extras="train test docs"
    set_up "$base" machine.device=cpu
    make_docs "$@"
    exit
  elif [ "${1:-}" = tables ]; then
    shift
    set_up "$base" "$@"
    run_tables "$@"
  fi
  if [ $# -gt 0 ] && { [[ $1 != *=* && $1 != -* ]] || [ -f "$1" ]; }; then # a run may be named a=b
    recipe=$1; shift
    [ -f "pipelines/$recipe.yaml" ] || [ -f "$recipe" ] ||
      die "no recipe $recipe; there are $(cd pipelines && echo *.yaml | sed 's/\.yaml//g')"
    echo "recipe $recipe, as asked"
  fi
  for word in "$@"; do
    case $word in
      --force) force=(--force) ;;
      --set) die "leave --set out, as in bash run.sh cpu train.epochs=20" ;;
      -*) die "no option $word; bash run.sh --help shows what there is" ;;
      *=*) changes+=("$word") ;;
      *) die "$word is no override: write key=value, such as train.epochs=20" ;;
    esac
  done
  if [ -z "$recipe" ]; then
    reason=$(PYTHONPATH=src "$base" -m canet.core.default_recipe ${changes[@]+"${changes[@]}"}) ||
      exit 1
    recipe=${reason%%$'\n'*} reason=${reason#*$'\n'}
    echo "recipe $recipe: $reason"
  fi
  [ ${#changes[@]} -gt 0 ] && overrides=(--set "${changes[@]}")
  if grep -qs '^method: geometry' "pipelines/$recipe.yaml" "$recipe"; then
    STAGES=("${GEOMETRY_STAGES[@]}") extras=geometry
    set_up "$base" machine.device=cpu
  else
    set_up "$base" ${changes[@]+"${changes[@]}"}
  fi
  for stage in "${STAGES[@]}"; do
    number=$((number + 1)) # said before Python's imports, which take some seconds
    echo "[$number/${#STAGES[@]}] $stage"
    case $stage in summarize | report) force=() ;; esac # which are always done anew
    "$python" "src/$stage.py" --recipe "$recipe" ${overrides[@]+"${overrides[@]}"} \
      ${force[@]+"${force[@]}"}
    if [ "$recipe:$stage" = demo:make_demo_data ]; then
      show_weights ${overrides[@]+"${overrides[@]}"}
    fi
  done
}

main "$@"; exit # in one line, read before it runs: the file may change meanwhile
