#!/usr/bin/env bash
# Install the packages that README.md requires on Debian: container/install.sh [--packages]
#   --packages   only print their names, one per line
# container/Dockerfile and tools/test_fresh.sh run this script, so that an image and a fresh machine have the same packages.
set -euo pipefail
packages=(git make python3 python3-venv ca-certificates)

if [ "${1:-}" = --packages ]; then
    printf '%s\n' "${packages[@]}"
    exit
fi
missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update --quiet
    apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
    rm -rf /var/lib/apt/lists/*
fi
python3 -m venv --help >/dev/null
echo "installed: ${packages[*]}"
