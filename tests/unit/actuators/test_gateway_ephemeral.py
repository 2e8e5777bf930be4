"""Ports that the kernel of a gateway may take for itself."""

import os
import subprocess
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from reconciler.actuators.command import Command, Finished
from reconciler.actuators.gateway.actuator import Gateway, GatewaySettings
from reconciler.actuators.gateway.ephemeral import SCRIPT, complaint
from reconciler.actuators.gateway.rules import RuleSettings
from reconciler.model.base import GatewayName
from tests.fakes.gateway_iptables import FakeIptables

USUAL = "kernel ip_local_port_range 32768\t60999\nkernel ip_local_reserved_ports {}\n"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "exposed"),
    [
        (USUAL.format(""), 1000),
        (USUAL.format("50000-50999"), 0),
        (USUAL.format("22,50000-50499,50500-50999"), 0),
        (USUAL.format("50000-50499"), 500),
        (USUAL.format("50000"), 999),
        ("kernel ip_local_port_range 32768\t49999\nkernel ip_local_reserved_ports \n", 0),
        ("kernel ip_local_port_range 50999\t60999\nkernel ip_local_reserved_ports \n", 1),
        ("kernel ip_local_port_range \nkernel ip_local_reserved_ports \n", 0),
        ("", 0),
    ],
)
def test_the_complaint_counts_the_ports_that_are_not_reserved(said: str, exposed: int) -> None:
    found = complaint(said, 50000, 50999)
    assert found.startswith(f"The kernel hands out {exposed} of our ports") if exposed else not found


def test_the_script_reads_this_machines_kernel() -> None:
    done = subprocess.run(["sh", "-s"], input=SCRIPT, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["ip_local_port_range", "ip_local_reserved_ports"]
    assert os.path.exists("/proc/sys/net/ipv4/ip_local_port_range") is (len(lines[0].split()) == 4)  # noqa: PTH110


class Kernel(FakeIptables):
    """A gateway whose kernel says what it hands out, when asked."""

    asked = 0

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Put the answer in front of the tables."""
        finished = await super().run(command, timeout_s=timeout_s)
        if SCRIPT not in command.stdin:
            return finished
        self.asked += 1
        return Finished(0, USUAL.format("") + finished.stdout, "")


async def test_it_is_asked_for_at_first_contact_only_and_said_once() -> None:
    kernel = Kernel()
    settings = GatewaySettings(RuleSettings("main", 50000, 50999), "10.0.0.254", 20.0, 1)
    gateway = Gateway(kernel, GatewayName("gateway-1"), settings, now=lambda: NOW)
    with capture_logs() as logs:
        for _ in range(3):
            await gateway.read()
    assert kernel.asked == 1
    assert [entry["event"] for entry in logs] == ["gateway_ports_overlap"]
    assert "ip_local_reserved_ports=50000-50999" in gateway.complaints[0]
    assert gateway.backend == "nft"
