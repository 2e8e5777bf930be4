"""The portal, and the jobs' own scripts: what they write through the API."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from reconciler.errors import Retryable
from reconciler.model.base import GatewayName, JobId, SlurmId
from reconciler.model.gateway import Duty, GatewayWish, WishedDuty
from reconciler.model.lease import Lease
from reconciler.model.queue import Stage
from reconciler.model.report import Report
from reconciler.model.wish import BUSY_LIMIT, Force, ForwardRequest, JobSpec, UserQuestion, Wish
from reconciler.store.codec import decode, encode
from reconciler.store.keys import Keys
from reconciler.store.kv import Delete, Put, Revision, Unchanged
from tests.fakes.slurm_job import FakeJob
from tests.simulation.cluster import Cluster
from tests.simulation.etcd import EtcdServer
from tests.simulation.kernel import Kernel

TEMPLATE = "demo-page.sh"


@dataclass
class Books:
    """What etcd holds, read without a process; everybody in the world looks here."""

    etcd: EtcdServer
    keys: Keys

    def wishes(self) -> dict[JobId, Wish]:
        """Return all wishes, oldest first."""
        entries = self.etcd.state.list(self.keys.wishes).entries
        return {wish.job_id: wish for wish in (decode(Wish, entry) for entry in entries)}

    def wish(self, job: JobId) -> Wish | None:
        """Return one wish."""
        entry = self.etcd.state.get(self.keys.wish(job))
        return decode(Wish, entry) if entry is not None else None

    def report(self, job: JobId) -> Report | None:
        """Return what is reported of a job."""
        entry = self.etcd.state.get(self.keys.report(job))
        return decode(Report, entry) if entry is not None else None

    def forward(self, job: JobId) -> ForwardRequest | None:
        """Return what ports a job asked for."""
        entry = self.etcd.state.get(self.keys.forward(job))
        return decode(ForwardRequest, entry) if entry is not None else None

    def of(self, job: JobId) -> tuple[Wish | None, Report | None, ForwardRequest | None]:
        """Return all that speaks of one job, its leases aside."""
        return self.wish(job), self.report(job), self.forward(job)

    def leases(self) -> list[Lease]:
        """Return all leases by gateway and port."""
        return [decode(Lease, entry) for entry in self.etcd.state.list(self.keys.leases).entries]


@dataclass
class Portal:
    """Wishes for jobs and wishes them away."""

    kernel: Kernel
    books: Books
    created: int = 0
    wished: set[JobId] = field(default_factory=set)
    """Every id that was ever used."""
    forced: set[JobId] = field(default_factory=set)
    """Those that were deleted by force."""

    def wish(
        self,
        users: tuple[str, ...] = ("alice", "alice", "bob", "nobody-here"),
        terms: Mapping[str, object] = MappingProxyType({}),
    ) -> JobId:
        """Wish for one more job, of one of these users, and with these members in its spec."""
        self.created += 1
        job = JobId(f"job{self.created:05d}")
        self._create(job, users, terms)
        return job

    def wish_again(self, job: JobId) -> None:
        """Wish under an id that was used before, as a portal may that chooses the ids."""
        self._create(job, ("alice",), {})

    def _create(self, job: JobId, users: tuple[str, ...], terms: Mapping[str, object]) -> None:
        chance = self.kernel.chance
        user, after = chance.choice(users), chance.choice(("requeue", "end"))
        spec = JobSpec.model_validate(
            {"user": user, "template": TEMPLATE, "variables": {"page_title": "x"}, "on_node_failure": after, **terms}
        )
        self._write(Wish(id=job, created=self.kernel.wall(), spec=spec), Revision(0))
        self.wished.add(job)
        self.kernel.say(f"        portal wishes for {job}")

    def delete(self, job: JobId, *, force: bool = False) -> None:
        """Wish a job away."""
        wish, now = self.books.wish(job), self.kernel.wall()
        if wish is None or wish.deleted is not None:
            return
        forced = Force(by="portal", asked=now) if force else None
        self.kernel.say(f"        portal deletes {job}{' by force' if force else ''}")
        self._change(wish, {"deleted": now, "force": forced})
        if force:
            self.forced.add(job)

    def change(self, job: JobId, terms: Mapping[str, object]) -> None:
        """Change what a wish says of time, as a PATCH does."""
        wish = self.books.wish(job)
        if wish is not None and wish.deleted is None:
            self.kernel.say(f"        portal wishes {terms} of {job}")
            changed = JobSpec.model_validate({**wish.spec.model_dump(), **terms})
            self._change(wish, {"spec": changed})

    def pause(self, job: JobId, *, paused: bool) -> None:
        """Pause a job or let it go on."""
        wish = self.books.wish(job)
        if wish is not None and wish.deleted is None and wish.spec.paused is not paused:
            self._change(wish, {"spec": wish.spec.model_copy(update={"paused": paused})})

    def ask(self, user: str) -> None:
        """Ask whether a user exists."""
        etcd, question = self.books.etcd, UserQuestion(user=user, asked=self.kernel.wall())
        with suppress(Retryable):
            lease = etcd.grant(60)
            etcd.commit(None, (), (Put(self.books.keys.question(user), encode(question), lease),))

    def wish_gateway(self, gateway: GatewayName, duty: WishedDuty) -> None:
        """Say what a gateway is to be used for."""
        self.kernel.say(f"        somebody wishes {gateway} to {duty}")
        wish = GatewayWish(name=gateway, duty=duty, by="operator", reason="a test", asked=self.kernel.wall())
        self._commit((Put(self.books.keys.gateway_wish(gateway), encode(wish)),))

    def let_gateways_serve(self) -> None:
        """Take back whatever was wished of gateways."""
        for entry in self.books.etcd.state.list(self.books.keys.gateway_wishes).entries:
            wish = decode(GatewayWish, entry)
            if wish.duty is not Duty.SERVE:
                self.wish_gateway(GatewayName(wish.name), Duty.SERVE)

    def mislay(self, job: JobId, for_s: float) -> None:
        """Delete a wish by hand, as an operator does by mistake, and put it back."""
        entry = self.books.etcd.state.get(self.books.keys.wish(job))
        if entry is None:
            return
        self.kernel.say(f"        somebody mislays {job} for {for_s:.1f} s")
        self._commit((Delete(entry.key),))
        self.kernel.after(for_s, lambda: self._put_back(entry.key, entry.value))

    def _put_back(self, key: str, value: bytes) -> None:
        self.kernel.say(f"        somebody puts {key} back")
        self._commit((Put(key, value),), Unchanged(key, Revision(0)))

    def _change(self, wish: Wish, changes: dict[str, object]) -> None:
        entry = self.books.etcd.state.get(self.books.keys.wish(wish.job_id))
        if entry is not None:
            changed = wish.model_copy(update={**changes, "generation": wish.generation + 1})
            self._write(changed, entry.mod_revision)

    def _write(self, wish: Wish, was: Revision) -> None:
        key = self.books.keys.wish(wish.job_id)
        self._commit((Put(key, encode(wish)),), Unchanged(key, was))

    def _commit(self, writes: tuple[Put | Delete, ...], *guards: Unchanged) -> None:
        with suppress(Retryable):  # etcd is down: the portal shows an error, and the user may try again
            self.books.etcd.commit(None, guards, writes)


@dataclass
class Scripts:
    """What runs inside the Slurm jobs: asks for ports, then listens on them; asks again now and then."""

    kernel: Kernel
    cluster: Cluster
    books: Books
    restarts: dict[SlurmId, int] = field(default_factory=dict)
    busy: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Ports that a run of a job was given and that somebody else holds on its node."""
    _listening: dict[tuple[str, int], Lease] = field(default_factory=dict)

    def step(self) -> None:
        """Let every running job do what it does next, and let what belongs to ended ones fall silent."""
        runs = {}
        for job in self.cluster.slurm.jobs:
            if job.mark is not None and job.stage is Stage.ACTIVE:
                runs[self._run(job)] = job
                if self.kernel.chance.random() < 0.5:
                    self._ask(job)
        self._serve(runs)

    def squat(self, running: FakeJob) -> None:
        """Let somebody else hold the first port that the job was told of, on its node."""
        run, report = self._run(running), self.books.report(JobId(_owner(running)))
        told = report.services if report is not None else ()
        port = next((service.internal_port for service in told if service.run == run), None)
        busy = self.busy.get(run, ())
        if port is not None and port not in busy and len(busy) < BUSY_LIMIT:
            self.kernel.say(f"        somebody holds {port} on the node of {run}")
            self.busy[run] = (*busy, port)

    def _run(self, job: FakeJob) -> str:
        return f"{job.slurm_id}.{self.restarts.get(job.slurm_id, 0)}"

    def _serve(self, runs: dict[str, FakeJob]) -> None:
        wanted = {
            (str(lease.target_ip), lease.internal_port): lease
            for lease in self.books.leases()
            if not lease.released and lease.run in runs and lease.job == _owner(runs[lease.run])
            if lease.internal_port not in self.busy.get(lease.run, ())
        }
        for at, lease in self._listening.items():
            if at not in wanted:
                self.cluster.let_answer(lease, listens=False)
        for at, lease in wanted.items():
            if at not in self._listening:
                self.cluster.let_answer(lease, listens=True)
        self._listening = wanted

    def _ask(self, running: FakeJob) -> None:
        """Call the keyhole, which records the request under the rules of `api.keyhole`."""
        job, etcd = JobId(_owner(running)), self.books.etcd
        wish, known = etcd.state.get(self.books.keys.wish(job)), etcd.state.get(self.books.keys.forward(job))
        if wish is None or decode(Wish, wish).deleted is not None or etcd.down:
            return
        request = ForwardRequest(
            job=job,
            ports=1 + int(job[-1]) % 3,
            nodes=running.nodes,
            slurm_job_id=running.slurm_id,
            restarts=self.restarts.get(running.slurm_id, 0),
            digest=self._run(running),
            busy=self.busy.get(self._run(running), ()),
            asked=self.kernel.wall(),
        )
        if known is not None:
            last = decode(ForwardRequest, known)
            if not self._follows(job, last, request):
                return
            request = request if last.digest != request.digest else last.model_copy(update={"busy": request.busy})
        guards = (
            Unchanged(wish.key, wish.mod_revision),
            Unchanged(self.books.keys.forward(job), known.mod_revision if known is not None else Revision(0)),
        )
        etcd.commit(None, guards, (Put(self.books.keys.forward(job), encode(request)),))
        self.kernel.say(f"        {job} asks for {request.ports} ports as {request.run}, but {list(request.busy)}")

    def _follows(self, job: JobId, known: ForwardRequest, request: ForwardRequest) -> bool:
        if known.digest == request.digest:
            return set(known.busy) < set(request.busy)
        if known.slurm_job_id == request.slurm_job_id:
            return request.restarts > known.restarts
        report = self.books.report(job)
        return report is not None and report.slurm is not None and report.slurm.job_id == request.slurm_job_id


def _owner(job: FakeJob) -> str:
    return job.mark.job if job.mark is not None else ""
