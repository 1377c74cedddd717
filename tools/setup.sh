#!/usr/bin/env bash
# Create .venv from requirements.lock, or renew it where the stamp does not agree; called by `make setup`.
# The stamp holds a hash of what the environment depends on: the lock, the package's metadata and its own path, because
# a copied or renamed folder still runs the code of the original. Times do not count.
set -euo pipefail
cd "${0%/*}/.."
venv=.venv
mark=$venv/.slim-bench # written before anything else: this folder may be cleared
stamp=$venv/.installed # written last: set-up is finished

usable() { # it runs (the Python below it may have been removed), on the PYTHON that was named, if one was
    local below
    below=$($venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null) || return
    [ -z "${PYTHON:-}" ] || [ "$below" -ef "$python" ]
}

python=
[ -z "${PYTHON:-}" ] || python=$(tools/find_python.sh "$@")
wanted=$({ pwd -P && cat requirements.lock pyproject.toml; } | sha256sum)
if [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ] && usable; then
    exit 0
fi
if [ ! -e $mark ] && [ ! -e $stamp ] && { [ -e $venv ] || [ -L $venv ]; } && [ -n "$(ls -A $venv 2>&1)" ]; then
    echo "$venv was not made by \`make setup\`: move it away, then run make again" >&2
    exit 1
fi
[ -n "$python" ] || python=$(tools/find_python.sh "$@")
echo "setting up $venv from requirements.lock (once; torch with CUDA is large, a few minutes)"
mkdir -p $venv
touch $mark
rm -f $stamp
find $venv/ -mindepth 1 -maxdepth 1 ! -name .slim-bench -exec rm -rf {} +
"$python" -m venv $venv
awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >$venv/uv.lock
$venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $venv/uv.lock
uv=($venv/bin/uv pip install --quiet --python $venv/bin/python)
"${uv[@]}" --require-hashes -r requirements.lock
"${uv[@]}" --no-deps --no-build-isolation --editable .
for packages in $venv/lib/python3*/site-packages; do # see bench/caches.py; silent where the code has moved away
    echo 'import importlib.util; importlib.util.find_spec("bench") and __import__("bench.caches")' >"$packages/slim_bench.pth"
done
echo "$wanted" >$stamp
