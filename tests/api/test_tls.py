"""TLS at the doors: renewed while they are open, and client certificates as credentials."""

import asyncio
import json
import os
import shutil
import ssl
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api import credentials, tls
from api.app import serving
from api.client import Portal, connect
from api.credentials import Certificate
from api.desk import Desk
from api.reloading import Reloadable
from api.roles import Role
from reconciler.batchscript import forwarding
from reconciler.batchscript.forwarding import KeyholeCall
from reconciler.batchscript.token import job_token
from reconciler.config import Config, TlsFiles
from reconciler.errors import ConfigError, Unreachable
from tests.api.calls import INSTANCE
from tests.contract.certificates import Authority
from tests.unit.api.conftest import AUTHORIZATION, HASHES, JOB, SECRET, SEED, World, credential
from tests.unit.api.test_keyhole import INTERNAL, opened

KNOWN = "\n".join([credential("portal", Role.PORTAL), credentials.line("viewer", Role.VIEWER, Certificate())])


class Site:
    """Two doors with certificates of one authority; `other` is an authority that nobody trusts."""

    def __init__(self, folder: Path, free_port: Callable[[], int]) -> None:
        self.folder = folder
        self.ours, self.other = Authority(folder / "ours"), Authority(folder / "other")
        self.portal_port, self.keyhole_port = free_port(), free_port()
        self.install(self.ours.issue("door"))

    def install(self, files: Any) -> None:
        """Put a certificate where the doors look for theirs."""
        shutil.copy(files.cert_file, self.folder / "door.crt")
        shutil.copy(files.key_file, self.folder / "door.key")

    @property
    def config(self) -> Config:
        """The configuration of both doors."""
        files = {"cert-file": str(self.folder / "door.crt"), "key-file": str(self.folder / "door.key")}
        api: dict[str, object] = {"listen-port": self.portal_port, "keyhole-listen-ip": "127.0.0.1"}
        api |= {f"{door}-{name}": path for door in ("tls", "keyhole") for name, path in files.items()}
        api |= {"client-ca-file": str(self.ours.certificate), "keyhole-ca-file": str(self.ours.certificate)}
        keyhole = {"keyholed-servers": [{"ip": "127.0.0.1", "port": self.keyhole_port}]}
        return Config.model_validate(json.loads(SEED.read_text()) | keyhole | {"api": api})

    def client(self, certificate: Any = None) -> ssl.SSLContext:
        """Return the TLS of a client that trusts our authority."""
        context = ssl.create_default_context(cafile=str(self.ours.certificate))
        if certificate is not None:
            context.load_cert_chain(certificate.cert_file, certificate.key_file)
        return context

    async def status(self, path: str, client: ssl.SSLContext, **headers: str) -> int:
        """Return the status of one request at the portal's door, over a connection of its own."""
        async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(30):
            answer = await session.get(f"https://127.0.0.1:{self.portal_port}{path}", ssl=client)
            return answer.status


@pytest.fixture
def site(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> Site:
    return Site(tmp_path, unused_tcp_port_factory)


@asynccontextmanager
async def open_doors(site: Site, world: World) -> AsyncGenerator[Sequence[Reloadable]]:
    """Serve both doors."""
    desk = Desk(config=site.config, store=world.store, server_secret=SECRET, now=world.clock)
    async with serving(desk, credentials.read(KNOWN)) as reloadables:
        yield reloadables


async def test_both_doors_speak_tls_and_nothing_else(site: Site, world: World) -> None:
    async with open_doors(site, world), aiohttp.ClientSession() as session, asyncio.timeout(30):
        portal = await site.status("/v1/jobs", site.client(), Authorization=AUTHORIZATION)
        keyhole = await session.post(f"https://127.0.0.1:{site.keyhole_port}/keyhole/v1/jobs/a/exit", ssl=site.client())
        with pytest.raises(aiohttp.ClientError):
            await session.get(f"http://127.0.0.1:{site.portal_port}/healthz")

    assert (portal, keyhole.status) == (200, 415)


async def test_a_client_certificate_is_a_credential_with_the_role_of_its_line(site: Site, world: World) -> None:
    viewer, unlisted = site.client(site.ours.issue("viewer")), site.client(site.ours.issue("nobody"))
    portal = site.client(site.ours.issue("portal"))
    async with open_doors(site, world):
        statuses = [await site.status("/v1/jobs", client) for client in (viewer, unlisted, portal, site.client())]
        by_password = await site.status("/v1/jobs", unlisted, Authorization=AUTHORIZATION)

    assert statuses == [200, 401, 401, 401], "a name that has a password is not let in by a certificate"
    assert by_password == 200


async def test_a_certificate_of_another_authority_is_no_credential(site: Site, world: World) -> None:
    async with open_doors(site, world):
        with pytest.raises(aiohttp.ClientError):
            await site.status("/v1/jobs", site.client(site.other.issue("viewer")))


async def ports_of_a_job(site: Site, authority: str) -> tuple[int | None, str]:
    """Run the client of a batch script against the keyhole; return its exit status and what it says."""
    call = KeyholeCall(
        job=JOB,
        token=job_token(SECRET, INSTANCE, JOB),
        servers=(("127.0.0.1", site.keyhole_port),),
        ports=2,
        patience_s=2,
        authority=authority,
    )
    environment = {"PATH": os.environ["PATH"], "SLURM_NODELIST": "c[1-2]", "SLURM_JOB_ID": "4711"}
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", forwarding.client(), "ports", stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
    async with asyncio.timeout(60):
        out, err = await client.communicate(call.as_json().encode())
    return client.returncode, (out + err).decode()


async def test_a_job_gives_its_signature_only_to_a_keyhole_of_the_sites_authority(site: Site, world: World) -> None:
    world.clock.now = datetime.now(UTC)
    await world.wish_for(JOB)
    await world.write(world.keys.report(JOB), opened())
    async with open_doors(site, world):
        right = await ports_of_a_job(site, site.ours.certificate.read_text())
        wrong = await ports_of_a_job(site, site.other.certificate.read_text())
        plain = await ports_of_a_job(site, "")

    assert right[0] == 0
    assert f"export KEYHOLE_PORT0={INTERNAL[0]}" in right[1]
    assert (wrong[0], plain[0]) == (1, 1)
    assert "CERTIFICATE_VERIFY_FAILED" in wrong[1]


async def test_a_renewed_certificate_is_shown_to_the_next_connection(site: Site, world: World) -> None:
    async with open_doors(site, world) as reloadables:
        site.install(site.other.issue("door"))
        before = await site.status("/healthz", site.client())
        for one in reloadables:
            if one.what.startswith("certificate"):
                one.load()
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await site.status("/healthz", site.client())

    assert before == 200


async def test_a_certificate_without_its_key_leaves_the_last_one_in_force(site: Site) -> None:
    files = TlsFiles(site.folder / "door.crt", site.folder / "door.key")
    context = tls.context(files)
    shutil.copy(site.other.issue("door").key_file, files.key_file)

    with pytest.raises(ConfigError, match="no certificate and its key"):
        tls.renew(context, files)
    assert await shakes_hands(context, site.client())


async def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Tell whether a client that trusts our authority gets a connection."""
    async with await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=server) as listening:
        port = listening.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        writer.close()
    return True


async def test_files_that_change_while_they_are_read_leave_no_half_of_a_pair(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files were read twice: what was good on trial was loaded anew, and an error then was nobody's."""
    files = TlsFiles(site.folder / "door.crt", site.folder / "door.key")
    context = tls.context(files)
    load = ssl.SSLContext.load_cert_chain
    theirs = site.other.issue("door")

    def replaced_after_the_trial(tried: ssl.SSLContext, *paths: Any) -> None:
        load(tried, *paths)
        shutil.copy(theirs.cert_file, files.cert_file)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", replaced_after_the_trial)
    tls.renew(context, files)
    monkeypatch.undo()

    assert await shakes_hands(context, site.client())


async def test_certificates_that_fail_when_they_are_taken_are_refused_by_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = TlsFiles(site.folder / "door.crt", site.folder / "door.key")
    context = tls.context(files)
    load = ssl.SSLContext.load_cert_chain

    def fails_on_the_one_in_use(tried: ssl.SSLContext, *paths: Any) -> None:
        if tried is context:
            raise ssl.SSLError("no more memory")
        load(tried, *paths)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", fails_on_the_one_in_use)
    with pytest.raises(ConfigError, match="no more memory"):
        tls.renew(context, files)


async def test_a_handshake_that_never_ends_is_cut(site: Site, world: World) -> None:
    api = site.config.api.model_copy(update={"headers_timeout_s": 0.2})
    config = site.config.model_copy(update={"api": api})
    desk = Desk(config=config, store=world.store, server_secret=SECRET, now=world.clock)
    async with serving(desk, HASHES), asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.portal_port)
        writer.write(b"\x16\x03\x01")

        assert await reader.read() == b""
        writer.close()


async def test_the_command_line_talks_only_to_a_door_that_it_trusts(site: Site, world: World) -> None:
    portal = Portal(f"https://127.0.0.1:{site.portal_port}", "portal", "right")
    async with open_doors(site, world), connect(portal) as client:
        with pytest.raises(Unreachable, match="certificate verify failed"):
            await client.jobs()


@pytest.mark.invariant("I11")
def test_a_key_that_everybody_may_read_is_refused(site: Site) -> None:
    (site.folder / "door.key").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 0640"):
        tls.context(TlsFiles(site.folder / "door.crt", site.folder / "door.key"))


@pytest.mark.parametrize("name", ["tls_cert_file", "client_ca_file"])
async def test_a_door_does_not_open_without_its_certificates(site: Site, world: World, name: str) -> None:
    api = site.config.api.model_copy(update={name: site.folder / "none"})
    config = site.config.model_copy(update={"api": api})
    desk = Desk(config=config, store=world.store, server_secret=SECRET, now=world.clock)
    with pytest.raises(ConfigError, match="none"):
        async with serving(desk, HASHES):
            pass
