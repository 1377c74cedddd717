#!/usr/bin/env bash
# Install slurm-wlm and munge, if they are missing, and stop the services that their packages start.
# `make test-slurm` calls this script. If the installation is impossible, it prints the reason and exits with code 1.
#   tools/install_slurm.sh [--check]    --check: only check whether the installation is possible
set -euo pipefail

stop() {
    echo "$1" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || stop "root is needed to start the SLURM daemons"
[ -e /etc/debian_version ] && command -v apt-get >/dev/null || stop "Debian is needed for the packages slurm-wlm and munge"

installed() {
    command -v slurmctld slurmd munged sbatch srun scontrol >/dev/null
}

available() {
    apt-cache show slurm-wlm munge >/dev/null 2>&1
}

PATH=$PATH:/usr/sbin:/sbin
installed && exit 0
available || apt-get update -qq 2>/dev/null || stop "apt-get cannot update its lists"
available || stop "the packages slurm-wlm and munge cannot be installed"
[ "${1:-}" != --check ] || exit 0
# the test starts its own daemons, and apt must not start those of the packages
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq # existing lists may name versions that the mirror has removed
apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
installed || stop "apt-get did not install every program of slurm-wlm and munge"
