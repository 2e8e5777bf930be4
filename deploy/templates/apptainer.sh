#!/bin/bash
# An application from an image, with Apptainer (or Singularity, as it was called). Over when the application is.
# Variable: image_name path pattern=.*[.](sif|simg) The image to run, below the home
# The image finds its port in KEYHOLE_PORT0, and must authenticate its users itself. A link with a secret it writes into the
# file that BWVISU_LINK names, ~/.bwvisu/<job>.link, which only its user can read; it goes with the session.
#KEYHOLE-REQUEST-PORTS 1
set -eu
cd {{home}}
program=$(command -v apptainer || command -v singularity) || {
    echo "apptainer.sh: neither apptainer nor singularity is installed on $(hostname), so {{image_name}} cannot run here" >&2
    exit 127
}
[ -r {{image_name}} ] || { echo "apptainer.sh: there is no image {{image_name}} in {{home}}" >&2; exit 66; }

export BWVISU_LINK={{home}}/.bwvisu/{{job_id}}.link
trap 'rm -f "$BWVISU_LINK"' EXIT
trap 'trap "" TERM; exit 143' TERM
(umask 077 && mkdir -p "${BWVISU_LINK%/*}")

"$program" run {{image_name}} &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -f "$BWVISU_LINK"' EXIT
wait "$server"
