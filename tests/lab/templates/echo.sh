#!/bin/bash
# Answers on three ports with whatever it hears, after its greeting.
# Variables: lingers_s (how long it still answers after it was told to end)
#KEYHOLE-REQUEST-PORTS 3
exec python3 - "$KEYHOLE_PORT0" "$KEYHOLE_PORT1" "$KEYHOLE_PORT2" <<'PROGRAM'
import os, signal, socketserver, sys, threading

class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(("%s %d\n" % (os.uname().nodename, self.server.server_address[1])).encode())
        while said := self.request.recv(4096):
            self.request.sendall(said)

socketserver.ThreadingTCPServer.daemon_threads = True
socketserver.ThreadingTCPServer.allow_reuse_address = True
signal.signal(signal.SIGTERM, lambda *_: threading.Timer({{lingers_s}}, os._exit, [0]).start())
servers = [socketserver.ThreadingTCPServer(("", int(port)), Echo) for port in sys.argv[1:]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever()
PROGRAM
