#!/bin/sh
# Install the distribution's packages that a part of this project needs, and only those that are missing.
# Usage: deploy/packages.sh GROUP...    (groups: python, site, applications, images)
# No service of an installed package is started.
set -eu

packages_of() {
    case $1 in
    python) echo python3 python3-venv python3-pip ;;
    site) echo python3 slurmctld slurmd slurm-client munge openssh-server openssh-client sudo iptables \
        netcat-openbsd conntrack etcd-server etcd-client iproute2 util-linux procps curl ;;
    applications) echo xpra python3-pil python3-netifaces xauth xvfb xterm xfonts-base fonts-dejavu-core shellinabox \
        openmpi-bin python3-mpi4py python3-venv chromium chromium-driver ;;
    images) echo patchelf squashfs-tools squashfuse ;;
    *) echo "deploy/packages.sh: no group '$1'; there are: python, site, applications, images" >&2; return 2 ;;
    esac
}

is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing_of() {
    for package in "$@"; do
        is_installed "$package" || echo "$package"
    done
}

# Debian's maintainer scripts ask policy-rc.d before they start a service; 101 says no. Somebody else's stays.
forbid_services() {
    if [ -e /usr/sbin/policy-rc.d ]; then return; fi
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
}

install() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "deploy/packages.sh: root is needed to install: $*" >&2
        exit 2
    fi
    # Two runs at once would remove each other's policy-rc.d; a lock on its folder leaves no file behind.
    exec 9</usr/sbin
    flock 9
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
    apt-get -qq -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" >/dev/null 9<&-
}

if [ "$#" -eq 0 ]; then
    echo "usage: deploy/packages.sh GROUP...   (groups: python, site, applications, images)" >&2
    exit 2
fi
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deploy/packages.sh: this needs Debian or Ubuntu: apt-get is not here" >&2
    exit 1
fi
wanted=
for group in "$@"; do
    wanted="$wanted $(packages_of "$group")" || exit 2
done
# shellcheck disable=SC2086  # lists of package names, split on purpose
missing=$(missing_of $wanted)
# shellcheck disable=SC2086
[ -z "$missing" ] || install $missing
