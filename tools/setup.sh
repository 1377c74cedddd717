#!/usr/bin/env bash
# Create .venv from requirements.lock, or recreate it if its stamp differs; called by `make setup`.
# The stamp contains a hash of the lock file, the package's metadata and the path of this folder, because the environment
# of a copied or renamed folder still imports the original code. Modification times are ignored.
# TORCH_BACKEND=cpu installs torch's CPU build, and TORCH_BACKEND=cuda installs the build of the lock file. If the
# variable is unset, the last choice is kept.
set -euo pipefail
cd "${0%/*}/.."
venv=.venv
mark=$venv/.slim-bench # written first; shows that `make setup` created this folder and may empty it
stamp=$venv/.installed # written last, when set-up is complete
choice=$venv/.torch-backend

usable() { # true if .venv works (its base Python may have been removed) and uses PYTHON, if that is set
    local below
    below=$($venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null) || return
    [ -z "${PYTHON:-}" ] || [ "$below" -ef "$python" ]
}

backend=${TORCH_BACKEND:-$(cat $choice 2>/dev/null || echo cuda)}
case $backend in
cpu | cuda) ;;
*)
    echo "TORCH_BACKEND=$backend: must be cpu (torch's CPU build) or cuda (the build of requirements.lock)" >&2
    exit 1
    ;;
esac
python=
[ -z "${PYTHON:-}" ] || python=$(tools/find_python.sh "$@")
wanted=$({ pwd -P && cat requirements.lock pyproject.toml && echo "$backend"; } | sha256sum)
if [ -f $stamp ] && [ "$(cat $stamp)" = "$wanted" ] && usable; then
    exit 0
fi
if [ ! -e $mark ] && [ ! -e $stamp ] && { [ -e $venv ] || [ -L $venv ]; } && [ -n "$(ls -A $venv 2>&1)" ]; then
    echo "$venv was not created by \`make setup\`; move it to another folder, then run make again" >&2
    exit 1
fi
[ -n "$python" ] || python=$(tools/find_python.sh "$@")
platform=$(uname -sm)
[ "$platform" = "Linux x86_64" ] || echo "note: slim-bench is tested on Linux x86_64 only, and not on $platform"
size="5.4 GB of packages; \`make setup TORCH_BACKEND=cpu\` installs less, without CUDA"
[ $backend = cuda ] || size="with torch's CPU build"
echo "setting up $venv from requirements.lock (only once; $size)"
mkdir -p $venv
touch $mark
rm -f $stamp
find $venv/ -mindepth 1 -maxdepth 1 ! -name .slim-bench -exec rm -rf {} +
echo $backend >$choice # before anything can fail, so that the next call keeps the choice
"$python" -m venv $venv
awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' requirements.lock >$venv/uv.lock
$venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $venv/uv.lock
uv=($venv/bin/uv pip install --quiet --python $venv/bin/python)
if [ $backend = cuda ]; then
    "${uv[@]}" --require-hashes --no-deps -r requirements.lock
else
    # the files in the index of the CPU builds have the versions in requirements.lock, but different hashes
    awk '/^[a-z]/ {on = !/^(torch|torchvision|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ || /^nvidia-ml-py==/} on' \
        requirements.lock >$venv/others.lock
    "${uv[@]}" --require-hashes --no-deps -r $venv/others.lock
    builds=$(awk '/^(torch|torchvision)==/ {print $1}' requirements.lock)
    # shellcheck disable=SC2086 # two arguments
    "${uv[@]}" --no-deps --torch-backend cpu $builds
fi
"${uv[@]}" --no-deps --no-build-isolation --editable .
for packages in $venv/lib/python3*/site-packages; do # see bench/caches.py; does nothing if the code has been moved
    echo 'import importlib.util; importlib.util.find_spec("bench") and __import__("bench.caches")' >"$packages/slim_bench.pth"
done
echo "$wanted" >$stamp
