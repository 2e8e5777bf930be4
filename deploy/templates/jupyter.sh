#!/bin/bash
# JupyterLab. Over when it is shut down from its menu.
# Variable: folder path default=. Where it begins, below the home
# Variable: environment path default=.venv A Python environment with JupyterLab; else the one on the PATH
# The link with the session's token is in ~/.bwvisu/<job>.link, which only its user can read; it goes with the session.
#KEYHOLE-REQUEST-PORTS 1
set -eu
cd {{home}}
PATH=$(realpath -m {{environment}})/bin:$PATH
command -v jupyter-lab >/dev/null || { echo "jupyter.sh: jupyter-lab is not installed on $(hostname)" >&2; exit 127; }

link={{home}}/.bwvisu/{{job_id}}.link
trap 'rm -f "$link"' EXIT
trap 'trap "" TERM; exit 143' TERM
# Through the environment, which only the user can read; an argument could be read by all on the node.
JUPYTER_TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
export JUPYTER_TOKEN
(
    umask 077
    mkdir -p "${link%/*}"
    echo "http://$KEYHOLE_GATEWAY0:$KEYHOLE_EXTERNAL_PORT0/lab?token=$JUPYTER_TOKEN" >"$link"
)

# The browser's name for the server is the gateway's address; port_retries=0: another port would be reached by nobody.
jupyter-lab --no-browser --ip=0.0.0.0 --port="$KEYHOLE_PORT0" --ServerApp.port_retries=0 \
    --ServerApp.allow_remote_access=True --ServerApp.root_dir="$(realpath {{folder}})" &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -f "$link"' EXIT
wait "$server"
