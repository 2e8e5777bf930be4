"""What the tests of the site do again and again."""

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.site import EXTERNAL, FABRIC, INTERNAL, Site

LAB = str(Path(__file__).resolve().parents[2] / "deploy" / "lab")
PATIENCE_S = 30.0
"""A busy machine may take its time; a healthy one needs a second."""
SERVICE_PORT = 50_123
FORWARDED_PORT = 50_007
ASK = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=2).read().decode())"


def wait_until(claim: Callable[[], bool], what: str, pause_s: float = 0.1) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(pause_s)


def lab(site: Site, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [LAB, "--site", site.name, *words], input=stdin, capture_output=True, timeout=120, check=False
    )


def ssh_command(site: Site, node: str) -> list[str]:
    """Return the middleware's way into a node: with its key, and with host keys checked."""
    options = ["-o", f"UserKnownHostsFile={site.folder}/mw/known_hosts", "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "-i", f"{site.folder}/mw/id_ed25519"]
    return ["ssh", *options, f"bwvisurunner@{site.nodes[node].address(INTERNAL)}"]


def ssh(site: Site, node: str, command: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return site.exec("mw", [*ssh_command(site, node), command], stdin=stdin)


def submit(site: Site, script: str, options: str = "") -> str:
    command = f"sudo -n -u alice sbatch --parsable --chdir={site.home}/alice {options}"
    done = ssh(site, "cmd1", command, stdin=f"#!/bin/sh\n{script}\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def reaches(site: Site, node: str, address: object, port: int) -> bool:
    return site.exec(node, ["nc", "-z", "-w", "1", str(address), str(port)]).returncode == 0


def node_of(site: Site, job: str) -> str:
    return site.exec("cmd1", ["squeue", "-h", "-t", "R", "-j", job, "-o", "%N"]).stdout.strip()


@contextmanager
def web_service(site: Site) -> Iterator[str]:
    """Run a web service in a Slurm job of alice and give the compute node it runs on."""
    job = submit(site, f"hostname >index.html; exec python3 -m http.server {SERVICE_PORT}")
    try:
        wait_until(lambda: node_of(site, job) != "", "the job runs")
        node = node_of(site, job)
        wait_until(lambda: reaches(site, "gw1", f"{node}-ib0", SERVICE_PORT), "the service answers")
        yield node
    finally:
        site.exec("cmd1", ["scancel", job])


@contextmanager
def forwarded(site: Site, node: str) -> Iterator[None]:
    """Forward a port of gw1 to the service, as the middleware would; then remove all forwardings."""
    target = f"{site.nodes[node].address(FABRIC)}:{SERVICE_PORT}"
    match = f"-p tcp --dport {FORWARDED_PORT} -m addrtype --dst-type LOCAL"
    for rule in (
        f"-A PREROUTING {match} -j DNAT --to-destination {target}",
        f"-A POSTROUTING -p tcp --dport {SERVICE_PORT} -m conntrack --ctstate DNAT -j MASQUERADE",
    ):
        done = ssh(site, "gw1", f"sudo -n iptables -w -t nat {rule}")
        assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        site.exec("gw1", ["iptables", "-w", "-t", "nat", "-F"])


def ask(site: Site) -> subprocess.CompletedProcess[str]:
    """Ask the forwarded service from outside."""
    gateway = site.nodes["gw1"].address(EXTERNAL)
    return site.exec("outside", ["python3", "-c", ASK, f"http://{gateway}:{FORWARDED_PORT}/"])


def listens(site: Site, node: str, port: int) -> bool:
    return f":{port} " in site.exec(node, ["ss", "-ltn"]).stdout


@contextmanager
def echo_service(site: Site, node: str) -> Iterator[None]:
    """Answer one connection to the service's port with whatever it says."""
    script = f"""
import socket
connection, _ = socket.create_server(("", {SERVICE_PORT})).accept()
while said := connection.recv(99):
    connection.sendall(said)
"""
    service = site.popen(node, ["python3", "-c", script])
    try:
        wait_until(lambda: listens(site, node, SERVICE_PORT), "the service listens")
        yield
    finally:
        service.kill()
        service.wait(PATIENCE_S)


@contextmanager
def conversation(site: Site, node: str, argv: Sequence[str]) -> Iterator[Callable[[bytes], bytes]]:
    """Run a program that answers on its output; give a way to say something and get the answer.

    The answer is empty if there is none within a second, or if the program has ended.
    """
    with site.popen(node, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        to, back = program.stdin.fileno(), program.stdout.fileno()

        def say(what: bytes) -> bytes:
            os.write(to, what)
            return os.read(back, 99) if select.select([back], [], [], 1.0)[0] else b""

        try:
            yield say
        finally:
            program.kill()


def connect(site: Site) -> list[str]:
    """Return the command that connects an outside user to the forwarded port."""
    return ["nc", str(site.nodes["gw1"].address(EXTERNAL)), str(FORWARDED_PORT)]
