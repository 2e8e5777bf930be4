#!/bin/bash
# Sends so many MiB to everybody who connects.
# Variables: mib
#KEYHOLE-REQUEST-PORTS 1
exec python3 - "$KEYHOLE_PORT0" {{mib}} <<'PROGRAM'
import socketserver, sys

class Source(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            for _ in range(int(sys.argv[2])):
                self.request.sendall(bytes(1 << 20))
        except OSError:
            pass  # a probe wants nothing

socketserver.ThreadingTCPServer(("", int(sys.argv[1])), Source).serve_forever()
PROGRAM
