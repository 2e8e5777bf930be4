#!/bin/sh
# Wants no ports and does nothing for a while.
exec sleep 600
