#!/bin/bash
# A parallel program over all nodes of the job, and a page that shows its ranks. Runs until it is cancelled.
# Variable: ranks_per_node integer 1..256 default=2 Processes on each node
#SBATCH --nodes=2 --ntasks-per-node={{ranks_per_node}}
#KEYHOLE-REQUEST-PORTS 1
set -eu
command -v mpiexec >/dev/null && python3 -c 'import mpi4py' 2>/dev/null ||
    { echo "mpi.sh: mpiexec and mpi4py are needed on $(hostname)" >&2; exit 127; }

run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
trap 'trap "" TERM; exit 143' TERM
# Every rank tells rank 0 where it is, over MPI; rank 0 writes the page. All ranks may listen on $KEYHOLE_PORT0 of their node.
cat >"$run/ranks.py" <<'PROGRAM'
import socket, sys
from mpi4py import MPI

world = MPI.COMM_WORLD
ranks = world.gather((world.Get_rank(), socket.gethostname()), root=0)
if world.Get_rank() == 0:
    rows = "".join(f"<tr><td>{rank}</td><td>{host}</td></tr>\n" for rank, host in ranks)
    page = f"<!doctype html><title>{len(ranks)} ranks</title><h1>{len(ranks)} ranks</h1><table>{rows}</table>"
    with open(sys.argv[1], "w") as file:
        file.write(page)
PROGRAM
mpiexec python3 -c "$(cat "$run/ranks.py")" "$run/index.html"

cd "$run"
python3 -m http.server --bind 0.0.0.0 "$KEYHOLE_PORT0" &
server=$!
trap 'kill "$server" 2>/dev/null || :; rm -rf "$run"' EXIT
wait "$server"
