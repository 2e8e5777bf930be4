#!/bin/bash
# A small web page from inside a job: shows that a session is reachable through its gateway. Runs until it is cancelled.
# Variables: page_title
#KEYHOLE-REQUEST-PORTS 1
set -eu
page=$(mktemp -d)
trap 'rm -rf "$page"' EXIT
cat >"$page/index.html" <<PAGE
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{{page_title}}</title></head>
<body>
<h1>{{page_title}}</h1>
<dl>
<dt>Job</dt><dd id="job">{{job_id}}</dd>
<dt>Slurm job</dt><dd id="slurm-job">${SLURM_JOB_ID:-none}</dd>
<dt>Host</dt><dd id="host">$(hostname)</dd>
<dt>User</dt><dd id="user">$(id -un)</dd>
<dt>Link</dt><dd id="link">http://$KEYHOLE_GATEWAY0:$KEYHOLE_EXTERNAL_PORT0/</dd>
</dl>
</body>
</html>
PAGE
cd "$page"
python3 -m http.server --bind 0.0.0.0 "$KEYHOLE_PORT0" &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -rf "$page"' EXIT
trap 'trap "" TERM; exit 143' TERM
wait "$server"
