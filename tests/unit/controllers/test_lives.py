"""Lives of jobs from the wish to the end, without any fault."""

import asyncio

import pytest

from reconciler.actuators.protocols import Target
from reconciler.model.report import Phase
from tests.unit.controllers.site import Site

pytestmark = pytest.mark.looptime

JOB = "k3f9x2"


async def test_a_wish_becomes_a_job_whose_link_leads_to_its_application(site: Site) -> None:
    (lease,) = await site.available(JOB)
    report = await site.report(JOB)
    assert report is not None
    (service,) = report.services
    assert (service.external_port, service.target, service.healthy) == (lease.port, "c1-ib0", True)
    assert site.gateways[lease.gateway].leads_to(lease.port) == Target("10.101.0.1", lease.port)  # type: ignore[index]
    assert {c.type: c.status for c in report.conditions} == {
        "Submitted": "True",
        "Started": "True",
        "Forwarded": "True",
        "Healthy": "True",
    }
    assert len(site.slurm.submissions) == 1
