#!/bin/sh
# Listens on one port and is small, so that hundreds fit on one machine.
#KEYHOLE-REQUEST-PORTS 1
exec nc -lk 0.0.0.0 "$KEYHOLE_PORT0"
