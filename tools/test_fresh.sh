#!/usr/bin/env bash
# Run `make demo` and `make test` in a fresh Debian 13 (with its Python 3.13), as an unprivileged user, from a clone of the
# last commit. Needs root, debootstrap and a network: tools/test_fresh.sh [--quick] [--archive]
#   --quick         run only set-up, a small part of the tests and the tiny suite
#   --archive       use the files of that commit without a git repository, as in a downloaded ZIP
#   DEBIAN_MIRROR   URL of a Debian mirror (default: the mirror of this machine's apt)
# All mounts are in a namespace that ends with this script, even after an error.
set -euo pipefail
cd "${0%/*}/.."
packages=$(container/install.sh --packages | paste -s -d ,) # the requirements in README.md

stop() {
    echo "test_fresh: $1" >&2
    exit 1
}

debian_mirror() { # print the mirror of this machine's apt, if it runs Debian
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1)
    [ -n "$found" ] || stop "set DEBIAN_MIRROR=URL, because this machine's apt has no Debian mirror"
    echo "$found"
}

inside() { # in the namespace: mount, then run the commands as user `tester`
    local root=$1 commands=$2 file
    for place in /proc /dev; do
        mount --rbind $place "$root$place"
    done
    cp --dereference /etc/resolv.conf /etc/hosts "$root/etc/"
    mkdir -p "$root/etc/ssl/certs"
    mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
    for file in "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        [ ! -f "$file" ] || [ -e "$root$file" ] || install -D --mode 644 "$file" "$root$file"
    done
    # the package index may contain a password, so its configuration is kept in memory and never printed
    mkdir -p "$root/home/tester/.config"
    mount -t tmpfs tmpfs "$root/home/tester/.config"
    for file in pip/pip.conf uv/uv.toml; do
        for folder in /etc/xdg "$HOME/.config"; do
            [ ! -f "$folder/$file" ] || install -D --mode 644 "$folder/$file" "$root/home/tester/.config/$file"
        done
    done
    touch "$root/etc/pip.conf"
    [ ! -f /etc/pip.conf ] || mount --bind /etc/pip.conf "$root/etc/pip.conf"
    chroot "$root" chown -R tester: /home/tester
    env LC_ALL=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "$(command -v chroot)" "$root" \
        /home/tester/slim-bench/container/install.sh
    # pass the environment, because it may set a package index, but not paths of this machine
    env -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u PYENV_ROOT -u PYENV_VERSION -u XDG_CACHE_HOME \
        HOME=/home/tester USER=tester LOGNAME=tester PATH=/usr/bin:/bin LC_ALL=C.UTF-8 TMPDIR=/tmp \
        "$(command -v chroot)" --userspec=tester "$root" bash -euxo pipefail -c "cd ~/slim-bench; $commands"
}

if [ "${1:-}" = --inside ]; then
    inside "$2" "$3"
    exit
fi
commands="make demo; test -s results/demo/report/index.html; make test"
archive=no
for option in "$@"; do
    case $option in
        --quick) commands="make setup; source .venv/bin/activate; snakemake tiny
            python -m pytest -q tests/unit/test_config.py tests/unit/data/test_fetch.py tests/unit/project/test_makefile.py" ;;
        --archive) archive=yes ;;
        *) stop "unknown option $option; usage: tools/test_fresh.sh [--quick] [--archive]" ;;
    esac
done
[ "$(id -u)" = 0 ] || stop "root is needed for debootstrap and chroot"
for program in debootstrap chroot unshare git; do
    command -v $program >/dev/null || stop "$program is not installed"
done

folder=$(mktemp --directory)
trap 'rm --recursive --force --one-file-system "$folder"' EXIT
chmod 755 "$folder"
root=$folder/debian
echo "creating a Debian 13 system in $folder"
mirror=${DEBIAN_MIRROR:-$(debian_mirror)}
debootstrap --variant=minbase --include=$packages trixie "$root" "$mirror" >"$folder/log" 2>&1 ||
    stop "debootstrap failed: $(tail -1 "$folder/log")"
chroot "$root" useradd --create-home --shell /bin/bash tester
if [ $archive = yes ]; then
    mkdir "$root/home/tester/slim-bench"
    git archive HEAD | tar --extract --directory "$root/home/tester/slim-bench"
else
    git clone --quiet --no-hardlinks . "$root/home/tester/slim-bench"
fi
unshare --mount --propagation private "$BASH" "tools/${0##*/}" --inside "$root" "$commands"
echo "test_fresh: ok"
