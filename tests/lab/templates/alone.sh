#!/bin/bash
# A web page whose job notices when it runs twice at once: its lock is taken then, and it writes that down.
# Variables: page_title
exec 9>"$HOME/.alone-{{job_id}}"
if ! flock --nonblock 9; then
    echo "{{job_id}} $SLURM_JOB_ID" >>"$HOME/ran-twice"
    exit 1
fi
#KEYHOLE-REQUEST-PORTS 1
page=$(mktemp -d)
cd "$page"
echo "<h1>{{page_title}}</h1>" >index.html
exec python3 -m http.server --bind 0.0.0.0 "$KEYHOLE_PORT0"
