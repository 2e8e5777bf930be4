"""The session: from the portal's wish to the last key, chapter by chapter. A claim that fails ends it."""

import json
import secrets
from base64 import b64decode
from dataclasses import dataclass

from deploy.site.demo.background import BackgroundDaemons
from deploy.site.demo.evidence import Evidence, Link, cut, settle
from deploy.site.demo.interfaces import Interfaces
from deploy.site.demo.screen import claim, headline, quote, say
from deploy.site.demo.session import Session
from deploy.site.demo.timeline import PREFIX, Timeline
from deploy.site.errors import SiteError
from deploy.site.layout import EXTERNAL, NODES

USER = "alice"
CLOSED_WITHIN_MS = 1000.0
"""What the design promises: so soon after a delete no packet passes, not even of a standing connection."""
KINDS_OF_KEYS = ("desired/forwards", "desired/jobs", "leases/ports", "observed/jobs")
RULES_PER_PORT = 2
"""One that lets it through, and DNAT."""


@dataclass
class Story:
    """One job's way; each chapter stands on the ones before it."""

    daemons: BackgroundDaemons
    timeline: Timeline

    def __post_init__(self) -> None:
        """Have somebody to ask besides the middleware."""
        self.evidence = Evidence(self.daemons.site)
        self.interfaces = Interfaces(self.daemons)
        self._left: list[str] = []

    def tell(self, *, to_the_end: bool) -> Session:
        """Tell all of it, or up to the link; return the session.

        Raises:
            SiteError: a claim does not hold.
        """
        session = self.submit()
        self.interfaces.agree(session.job)
        self.visit(session)
        self.look_inside(session)
        if to_the_end:
            self.delete(session)
        return session

    def submit(self) -> Session:
        """Wish for a session and follow it until its application answers."""
        headline("3. The portal wishes for a session")
        session = Session(f"demo{secrets.token_hex(4)}", self.timeline)
        self._left.append(session.job)
        job = ("--user", USER, "--template", "demo-page.sh", "--var", "page_title=Hello", "--id", session.job)
        self._bwvisu("submit", *job)
        session.follow(
            lambda: session.report is not None and session.report["phase"] == "available", "the job is available"
        )
        listed = self.evidence.queued(session.job)
        claim(len(listed) == 1 and f" {USER} RUNNING " in listed[0], f"Slurm lists it too: {'; '.join(listed)}")
        return session

    def visit(self, session: Session) -> None:
        """Fetch the page as its user would, and see which way the packets went."""
        link, slurm = link_of(session), session.report["slurm"]
        headline("4. The user follows the link, from outside the cluster")
        before = self.evidence.packets(link, "DNAT")
        say(f"$ curl {link.url}")
        page = self.daemons.curl("outside", link.url, "--fail")
        quote(page.stdout.splitlines())
        marks = (f'"job">{session.job}<', f'"slurm-job">{slurm["job-id"]}<', f'"host">{link.node}<', f'"user">{USER}<')
        claim(
            page.returncode == 0 and all(mark in page.stdout for mark in marks),
            f"{len(page.stdout.encode())} bytes, written by Slurm job {slurm['job-id']} of {USER} on {link.node}.",
            page.stderr,
        )
        went = self.evidence.packets(link, "DNAT") - before
        claim(went == 1, f"They came through {link.gateway}: its DNAT rule counted {went} new connection.")
        claim(
            self.evidence.connects(link.gateway, link.target_ip, link.port)
            and not self.evidence.connects("outside", link.target_ip, link.port),
            f"{link.target_ip}:{link.port} itself answers {link.gateway}, and does not answer the outside.",
        )

    def look_inside(self, session: Session) -> None:
        """Show what an operator sees: keys and rules."""
        link = link_of(session)
        headline("5. What the operator sees in etcd")
        say(f"$ etcdctl get --prefix {PREFIX}")
        kept = self._keys()
        for key, value in kept.items():
            quote([key, *([f"  {json.dumps(value)}"] if _is_about(session.job, key, value) else [])])
        ours = self._about(session.job)
        claim(
            len(ours) == len(KINDS_OF_KEYS) and all(map(str.startswith, ours, KINDS_OF_KEYS)),
            "Request for ports, wish, lease and report of this job: one key each. (Others: only names shown.)",
            " ".join(ours),
        )
        headline(f"6. The rules on {link.gateway}, with packets and bytes counted so far")
        say("$ iptables -S -v; iptables -t nat -S -v")
        quote(self.evidence.rules(link.gateway))
        own = self.evidence.rules_for(link)
        claim(len(own) == RULES_PER_PORT, f"Two of them are this port's: let {link.port} through, and DNAT.")

    def delete(self, session: Session) -> None:
        """Delete the job while a connection is open, and follow it until its lease is gone."""
        link, slurm_id = link_of(session), int(session.report["slurm"]["job-id"])
        headline("7. The portal deletes the session, while a connection is open")
        self._cut_off(session, link, slurm_id)
        session.follow(lambda: not session.keys, "every key of the job is gone")
        self._left.remove(session.job)
        headline("8. Nothing is left")
        self.interfaces.forgot(session.job)
        claim(not self.evidence.connects("outside", link.ip, link.port), f"{link.url} does not answer any more.")
        gone = f"No process of Slurm job {slurm_id} is on {link.node}."
        settle(lambda: self.evidence.rules_for(link), f"No gateway has a rule for port {link.port}.")
        settle(lambda: self.evidence.queued(session.job), "Slurm has no such job waiting, running or ending.")
        settle(lambda: self.evidence.processes(link.node, slurm_id), gone)
        left = self._about(session.job)
        claim(not left, "No key in etcd is named after the job or speaks of it.", " ".join(left))

    def _cut_off(self, session: Session, link: Link, slurm_id: int) -> None:
        """Delete while the compute node's slurmd hangs: the job goes on, so that only the gateway can cut."""
        say(f"slurmd on {link.node} is made to hang first: the job runs on, and only the gateway can close.")
        rejected = self.evidence.packets(link, "REJECT")
        with self.evidence.hanging(link.node, "slurmd"), self.evidence.conversation(link) as talker:
            self._bwvisu("delete", session.job)
            at, how = cut(talker)
            running = self.evidence.processes(link.node, slurm_id)
        rejected = self.evidence.packets(link, "REJECT") - rejected
        session.follow(lambda: session.deleted_at > 0, "the wish is marked as deleted")
        cut_ms = (at - session.deleted_at) * 1000
        claim(
            0 <= cut_ms < CLOSED_WITHIN_MS and rejected >= 1 and bool(running),
            f"The open connection was cut {cut_ms:.0f} ms after that, by {link.gateway}: it rejected {rejected} "
            f"packet(s), and {len(running)} processes of the job still ran. Now slurmd goes on.",
            how,
        )

    def abandon(self) -> None:
        """Delete what a story cut short left behind; that it never got as far as a wish is fine."""
        for job in self._left:
            self.daemons.cli("delete", job, "--wait", "--timeout-s", "20")
            say(f"{job}: {'is still being deleted' if self._about(job) else 'deleted, or never wished for'}.")

    def _bwvisu(self, *words: str) -> str:
        say(f"$ bwvisu {' '.join(words)}")
        done = self.daemons.cli(*words)
        if done.returncode != 0:
            raise SiteError(f"bwvisu {words[0]}: {done.stderr.strip()}")
        return done.stdout

    def _about(self, job: str) -> list[str]:
        """Return the keys that are about a job, without our prefix."""
        return sorted(key.removeprefix(PREFIX) for key, value in self._keys().items() if _is_about(job, key, value))

    def _keys(self) -> dict[str, object]:
        """Return everything below our prefix."""
        found = json.loads(self.daemons.etcdctl("get", "--prefix", PREFIX, "--write-out=json")).get("kvs", [])
        return {b64decode(kv["key"]).decode(): json.loads(b64decode(kv["value"])) for kv in found}


def _is_about(job: str, key: str, value: object) -> bool:
    return key.endswith(f"/{job}") or (isinstance(value, dict) and value.get("job") == job)


def link_of(session: Session) -> Link:
    """Return the session's only link."""
    service = session.report["services"][0]
    lease = session.keys[f"leases/ports/{service['gateway']}/{service['external-port']}"]
    gateway = next(n for n in NODES if n.is_gateway and str(n.address(EXTERNAL)) == service["external-ip"])
    return Link(
        ip=service["external-ip"],
        port=service["external-port"],
        gateway=gateway.name,
        target_ip=lease["target-ip"],
        node=session.report["slurm"]["nodes"][0],
    )
