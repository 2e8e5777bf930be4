#!/bin/bash
# A terminal in the browser: shellinabox. It asks for the session's password first.
# Variable: shell choice bash|sh|zsh default=bash
# Link and password are in ~/.bwvisu/<job>.link, which only its user can read; it goes with the session.
#KEYHOLE-REQUEST-PORTS 1
set -eu
command -v shellinaboxd >/dev/null || { echo "shell-web.sh: shellinabox is not installed on $(hostname)" >&2; exit 127; }

run=$(mktemp -d)
link={{home}}/.bwvisu/{{job_id}}.link
trap 'rm -rf "$run" "$link"' EXIT
trap 'trap "" TERM; exit 143' TERM
od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$run/password"
(
    umask 077
    mkdir -p "${link%/*}"
    echo "http://$KEYHOLE_GATEWAY0:$KEYHOLE_EXTERNAL_PORT0/ password: $(cat "$run/password")" >"$link"
)

# One try per connection, and a pause: guessing 128 bits takes for ever.
cat >"$run/ask" <<ASK
#!/bin/bash
read -r -s -p 'Password of this session: ' given; echo
if [[ \$given != "\$(<"$run/password")" ]]; then sleep 2; echo 'That is not it.'; exit 1; fi
cd {{home}} && exec {{shell}} -l
ASK
chmod 700 "$run/ask"

shellinaboxd --disable-ssl --no-beep --port="$KEYHOLE_PORT0" --service="/:$(id -u):$(id -g):HOME:$run/ask" &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -rf "$run" "$link"' EXIT
wait "$server"
