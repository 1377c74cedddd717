#!/usr/bin/env bash
# Print the path of a working Python of one of the given versions: tools/find_python.sh 3.11 3.12
# If PYTHON is set, only that program is tried. A program may be a shim that fails, so each program is run before its
# path is printed. On failure, print one line with the supported versions and exit with code 1. This script needs only
# bash.
set -u
# prints the base interpreter of a virtual environment, because setup.sh may replace that environment
probe='import sys
if "%d.%d" % sys.version_info[:2] not in sys.argv[1:]: sys.exit("Python %d.%d.%d" % sys.version_info[:3])
try: import venv, ensurepip
except ImportError: sys.exit("Python %d.%d.%d without venv (Debian: apt install python3-venv)" % sys.version_info[:3])
sys.stdout.write(getattr(sys, "_base_executable", sys.executable))'

works() { # PROGRAM: print the interpreter of PROGRAM if its version is supported
    local found
    found=$("$1" -c "$probe" "${versions[@]}" 2>/dev/null) && [ -n "$found" ] && echo "$found"
}

reason() { # PROGRAM: print why PROGRAM is unsuitable
    local said
    said=$("$1" -c "$probe" "${versions[@]}" 2>&1)
    [[ $said == "Python "* ]] && echo "is $said" || echo "does not run"
}

versions=("$@")
if [ -n "${PYTHON:-}" ]; then
    works "$PYTHON" && exit
    found="PYTHON=$PYTHON $(reason "$PYTHON")"
else
    for version in "$@"; do
        works "python$version" && exit
        for program in "${PYENV_ROOT:-${HOME:-}/.pyenv}/versions/$version"*/bin/"python$version"; do
            [ -x "$program" ] && works "$program" && exit
        done
    done
    works python3 && exit
    found="none was found"
    if command -v python3 >/dev/null; then found+=" (python3 $(reason python3))"; fi
fi
wanted=$1
for version in "${@:2}"; do wanted+=", $version"; done
[ $# -gt 1 ] && wanted="${wanted%, *} or ${wanted##*, }"
echo "Python $wanted with venv is needed, but $found; set PYTHON to the path of a supported Python" >&2
exit 1
