#!/bin/bash
# A desktop application in the browser: Xpra with its HTML5 client. Over when the application is closed.
# Variable: application string default=xterm pattern=[A-Za-z0-9._/-]+ A program on the PATH, or a path below the home
# Variable: dpi integer 48..384 default=96 Dots per inch of the screen
# The link with the session's password is in ~/.bwvisu/<job>.link, which only its user can read; it goes with the session.
#KEYHOLE-REQUEST-PORTS 1
set -eu
for program in xpra Xvfb xauth; do
    command -v "$program" >/dev/null || { echo "xpra.sh: $program is not installed on $(hostname)" >&2; exit 127; }
done

# Sockets and the password stay on this node: a home on a parallel file system may take no sockets.
run=$(mktemp -d)
link={{home}}/.bwvisu/{{job_id}}.link
trap 'rm -rf "$run" "$link"' EXIT
trap 'trap "" TERM; exit 143' TERM
# The node's own settings of Xpra start a whole session; this is one application.
export XDG_RUNTIME_DIR=$run XPRA_SYSTEM_CONF_DIRS=$run XPRA_CONF_DIR=$run XAUTHORITY=$run/Xauthority

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
secret >"$run/password"
# A display whose file of cookies is missing or empty lets in everyone who is on this node.
touch "$XAUTHORITY"
echo "add :0 . $(secret)" | xauth -q -f "$XAUTHORITY"
(
    umask 077
    mkdir -p "${link%/*}"
    echo "http://$KEYHOLE_GATEWAY0:$KEYHOLE_EXTERNAL_PORT0/index.html?password=$(cat "$run/password")" >"$link"
)

xpra start --daemon=no --systemd-run=no --mdns=no --pulseaudio=no --webcam=no --printing=no --file-transfer=no \
    --notifications=no --dbus-launch= --dbus-control=no --socket-dirs="$run" --log-dir="$run" --dpi={{dpi}} \
    --xvfb="Xvfb +extension Composite -screen 0 3840x2160x24+32 -nolisten tcp -noreset -auth $XAUTHORITY" \
    --bind-tcp="0.0.0.0:$KEYHOLE_PORT0" --tcp-auth="file:filename=$run/password" --html=on \
    --start-child={{application}} --exit-with-children=yes &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -rf "$run" "$link"' EXIT
wait "$server"
