#!/bin/sh
# First process of a node: gives it a disk of its own, then reaps what is orphaned. Ending it ends the whole node.
# Lives as `init` in the node's folder. Arguments: folders that stay visible even where they are under /tmp.
set -eu
own=${0%/*}
name=${own##*/}
trap ': >"$own/failed"' EXIT

echo "$name" >/proc/sys/kernel/hostname
if [ -e /proc/sys/net/ipv6 ]; then
    # The loopback keeps ::1; the site's networks are IPv4.
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
fi

# Always -n: without it mount keeps notes in the machine's own /run.
if ! mount -n -t overlay "$name" -o "lowerdir=/etc,upperdir=$own/etc,workdir=$own/etc.work" /etc 2>/dev/null; then
    # A container's disk is often an overlay already and cannot carry another one: a copy does as well.
    if [ ! -e "$own/etc.full" ]; then
        cp -a /etc "$own/etc.part"
        cp -a --remove-destination "$own/etc/." "$own/etc.part"
        mv "$own/etc.part" "$own/etc.full"
    fi
    mount -n --bind "$own/etc.full" /etc
fi

mount -n -t tmpfs -o mode=755,size=64m run /run
mkdir -m 1777 /run/lock
mkdir /run/sshd
install -d -o munge -g munge /run/munge
install -d -o slurm -g slurm /run/slurm
mount -n -t tmpfs -o mode=1777,size=512m shm /dev/shm
mount -n --bind "$own/log" /var/log
for folder in "$@"; do
    case $folder in
    /tmp/*)
        mkdir -p "$own$folder"
        mount -n --bind "$folder" "$own$folder"
        ;;
    esac
done
mount -n --rbind "$own/tmp" /tmp

: >"$own/booted"
while :; do
    sleep 2147483647 &
    wait
done
