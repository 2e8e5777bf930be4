"""A whole site in memory: the controller as it is composed for real, with stand-ins for hands and etcd."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reconciler import app
from reconciler.actuators.hands import Hands
from reconciler.actuators.protocols import NodeHealth
from reconciler.config import Config
from reconciler.errors import Superseded, Unreadable
from reconciler.model.base import GatewayName, JobId, SlurmId, Value
from reconciler.model.gateway import Duty, GatewayReport, GatewayWish, WishedDuty
from reconciler.model.lease import Lease
from reconciler.model.report import Condition, Phase, Report
from reconciler.model.wish import ExitReport, ForwardRequest, JobSpec, Wish
from reconciler.store.codec import decode, encode
from reconciler.store.fence import Deposed
from reconciler.store.keys import Keys
from reconciler.store.kv import Delete, Put, Revision
from tests.fakes.gateway_world import FakeGateway
from tests.fakes.memory_store import MemoryStore
from tests.fakes.slurm_job import FakeJob
from tests.fakes.slurm_world import FakeSlurm
from tests.unit.config.documents import Change, changed, loaded
from tests.unit.plan.make import at

FIRST_PORT, LAST_PORT = 50000, 50099
NODES = {"c1": "10.101.0.1", "c2": "10.101.0.2"}
QUICK: tuple[Change, ...] = (
    (("keyholed-port-range",), {"min": FIRST_PORT, "max": LAST_PORT}),
    (("reconciler", "keep-finished-s"), 600.0),
)
PATIENCE_S = 120.0
"""Longer than any backoff, and than what an sbatch of unknown outcome is given to show up."""


def now() -> datetime:
    """Return virtual time, in the milliseconds that values in etcd have."""
    return at(round(asyncio.get_running_loop().time(), 3))


@dataclass
class Site:
    """Etcd, a cluster, its gateways, and as many controllers as were started."""

    config: Config
    store: MemoryStore = field(default_factory=MemoryStore)
    slurm: FakeSlurm = field(default_factory=lambda: FakeSlurm(now))
    controllers: list[asyncio.Task[None]] = field(default_factory=list)
    listeners: list[Callable[[NodeHealth], None]] = field(default_factory=list)
    """Whom the hands tell when a node becomes of use, or of none."""

    def __post_init__(self) -> None:
        names = [GatewayName(node.name) for node in self.config.gateway_nodes]
        hosts = {f"{node}{self.config.forwarding_hostname_suffix}": ip for node, ip in NODES.items()}
        self.gateways = {name: FakeGateway(name, now, dict(hosts)) for name in names}
        self.keys = Keys(self.config.etcd.prefix)

    # The controller's processes

    def start(self) -> None:
        """Start one more controller over this site; it is the last of `controllers`."""
        running = app.run(self.config, b"s" * 32, self.store, self._reach, asyncio.Event())
        task = asyncio.create_task(running, name="controller")
        self.controllers.append(task)

    async def stop(self) -> None:
        """Stop every controller at once, whatever is under way; raises what had ended one, but for a lost election."""
        for task in self.controllers:
            task.cancel()
        ended = await asyncio.gather(*self.controllers, return_exceptions=True)
        self.controllers.clear()
        for error in ended:
            if isinstance(error, ExceptionGroup) and (broken := error.split((Deposed, Superseded))[1]) is not None:
                raise broken

    @asynccontextmanager
    async def _reach(
        self, changed: Callable[[NodeHealth], None], _require: Callable[[], None]
    ) -> AsyncGenerator[Hands, None]:
        self.listeners.append(changed)
        yield Hands(self.slurm, dict(self.gateways))
        self.listeners.remove(changed)

    # What portal and jobs write

    async def put(self, key: str, value: Value | bytes) -> Revision:
        """Write past the controller, as API, operators or another version do."""
        return await self.store.commit((), (Put(key, value if isinstance(value, bytes) else encode(value)),))

    async def remove(self, key: str) -> None:
        """Delete a key by hand."""
        await self.store.commit((), (Delete(key),))

    async def wish(self, job: str, template: str = "page.sh", user: str = "alice") -> None:
        """Wish for a job."""
        wish = Wish(id=job, created=now(), spec=JobSpec(user=user, template=template))
        await self.put(self.keys.wish(JobId(job)), wish)

    async def unwish(self, job: str) -> None:
        """Wish a job away, as a DELETE does."""
        key = self.keys.wish(JobId(job))
        entry = await self.store.get(key)
        assert entry is not None
        await self.put(key, decode(Wish, entry).model_copy(update={"deleted": now(), "generation": 2}))

    async def wish_gateway(self, name: str, duty: WishedDuty = Duty.SERVE) -> None:
        """Wish something of a gateway, as an operator does."""
        wish = GatewayWish(name=name, duty=duty, by="operator", reason="a test", asked=now())
        await self.put(self.keys.gateway_wish(GatewayName(name)), wish)

    async def ask_for_ports(self, job: str, ports: int = 1, nodes: tuple[str, ...] = ("c1",)) -> None:
        """Call the keyhole as the running job does."""
        request = ForwardRequest(
            job=job, ports=ports, nodes=nodes, slurm_job_id=self.slurm_id(job), digest="d", asked=now()
        )
        await self.put(self.keys.forward(JobId(job)), request)

    async def find_busy(self, job: str, *ports: int) -> None:
        """Call the keyhole again, as a job does that cannot listen on ports which it was given."""
        key = self.keys.forward(JobId(job))
        entry = await self.store.get(key)
        assert entry is not None
        known = decode(ForwardRequest, entry)
        await self.put(key, known.model_copy(update={"busy": (*known.busy, *ports)}))

    async def tell_exit(self, job: str, exit_code: int, *log_tail: str) -> None:
        """Call the keyhole as the exit trap of a job's script does."""
        slurm_id = self.slurm_id(job)
        told = ExitReport(job=job, slurm_job_id=slurm_id, exit_code=exit_code, log_tail=log_tail, told=now())
        await self.put(self.keys.exit(JobId(job)), told)

    # What everybody may read

    async def report(self, job: str) -> Report | None:
        """Return what is reported of a job."""
        entry = await self.store.get(self.keys.report(JobId(job)))
        return decode(Report, entry) if entry is not None else None

    async def phase(self, job: str) -> Phase | None:
        """Return the reported phase."""
        report = await self.report(job)
        return report.phase if report is not None else None

    async def condition(self, job: str, kind: str) -> Condition | None:
        """Return one reported condition."""
        report = await self.report(job)
        return next((c for c in report.conditions if c.type == kind), None) if report is not None else None

    async def leases(self) -> list[Lease]:
        """Return every lease that can be read, by gateway and port."""
        leases = []
        for entry in (await self.store.list(self.keys.leases)).entries:
            with suppress(Unreadable):
                leases.append(decode(Lease, entry))
        return leases

    async def keys_of(self, job: str) -> list[str]:
        """Return the keys that speak of a job, its leases aside."""
        keys = self.keys
        names = [name(JobId(job)) for name in (keys.wish, keys.forward, keys.exit, keys.report)]
        return [name for name in names if await self.store.get(name) is not None]

    async def gateway_report(self, name: str) -> GatewayReport | None:
        """Return what is reported of a gateway."""
        entry = await self.store.get(self.keys.gateway(GatewayName(name)))
        return decode(GatewayReport, entry) if entry is not None else None

    async def writes(self, prefix: str) -> int:
        """Count the changes below a prefix, ever."""
        count = 0
        async with aclosing(self.store.watch(prefix, Revision(1))) as batches:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    async for batch in batches:
                        count += len(batch.changes)
        return count

    # The cluster

    @property
    def gateway(self) -> FakeGateway:
        """The first gateway."""
        return next(iter(self.gateways.values()))

    def set_gateway(self, *, down: bool, name: GatewayName | None = None) -> None:
        """Let a gateway die or come back; its rules stay in force all the same."""
        gateway = self.gateways[name] if name is not None else self.gateway
        gateway.down = down
        for tell in self.listeners:
            tell(gateway.health)

    def set_slurm(self, *, down: bool) -> None:
        """Let all command nodes die or come back."""
        for name in self.slurm.node_names:
            if down:
                self.slurm.kill_node(name)
            else:
                self.slurm.revive_node(name)
        for health in self.slurm.nodes:
            for tell in self.listeners:
                tell(health)

    def slurm_jobs(self, job: str) -> list[FakeJob]:
        """Return every Slurm job of one of ours."""
        return [one for one in self.slurm.jobs if one.mark is not None and one.mark.job == job]

    def slurm_id(self, job: str) -> SlurmId:
        """Return the id of a job's only Slurm job."""
        (one,) = self.slurm_jobs(job)
        return one.slurm_id

    def open_ports(self) -> set[int]:
        """Return the ports on which any gateway leads users on."""
        return {route.port for gateway in self.gateways.values() for route in gateway.routes}

    # Lives

    async def until_phase(self, job: str, phase: Phase | None) -> None:
        """Wait until the job's report says so; None: until there is none."""
        await self.until(lambda: self.phase(job), phase)

    async def until(self, ask: Callable[[], Awaitable[object]], wanted: object, within_s: float = PATIENCE_S) -> None:
        """Wait until a question has this answer, and fail with the last one if it never has."""
        deadline = asyncio.get_running_loop().time() + within_s
        while (answer := await ask()) != wanted:
            assert asyncio.get_running_loop().time() < deadline, f"wanted {wanted}, last found {answer}"
            await asyncio.sleep(0.1)

    async def submitted(self, job: str) -> None:
        """Wish for a job and see it queued."""
        await self.wish(job)
        await self.until_phase(job, Phase.SUBMITTED)

    async def running(self, job: str, nodes: tuple[str, ...] = ("c1",)) -> None:
        """See a new job started by Slurm."""
        await self.submitted(job)
        self.slurm.tick(nodes)
        await self.until_phase(job, Phase.RUNNING)

    async def available(self, job: str, ports: int = 1) -> list[Lease]:
        """See a new job through to an application that answers; return its leases."""
        await self.running(job)
        await self.ask_for_ports(job, ports)
        await self.until(lambda: self.forwarded(job), "True")
        leases = [lease for lease in await self.leases() if lease.job == job]
        self.let_answer(leases)
        await self.until_phase(job, Phase.AVAILABLE)
        return leases

    async def end(self, job: str, state: str = "COMPLETED") -> None:
        """Let a job's Slurm job end, its application with it, and see the job finished."""
        for lease in await self.leases():
            for gateway in self.gateways.values():
                if lease.job == job:
                    gateway.stop_listening(str(lease.target_ip), lease.internal_port)
        self.slurm.end(self.slurm_id(job), state)
        await self.until_phase(job, Phase.FINISHED)

    async def forwarded(self, job: str) -> str | None:
        """Return what the report says about the job's ports."""
        condition = await self.condition(job, "Forwarded")
        return condition.status if condition is not None else None

    def let_answer(self, leases: Iterable[Lease]) -> None:
        """Let the applications behind these leases accept connections."""
        for lease in leases:
            for gateway in self.gateways.values():
                gateway.listen(str(lease.target_ip), lease.internal_port)


def make_site(folder: Path, *changes: Change) -> Site:
    """Return a site with one template and the seed's configuration, changed like this."""
    templates = folder / "templates"
    templates.mkdir(exist_ok=True)
    (templates / "page.sh").write_text("#!/bin/bash\n#KEYHOLE-REQUEST-PORTS 1\nserve\n")
    (templates / "wrong.sh").write_text("#!/bin/bash\n{{> partial}}\n")
    return Site(loaded(folder, changed(*QUICK, (("templates-directory",), "templates"), *changes)))
