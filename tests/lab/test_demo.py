"""The demonstration: it shows what it claims, fails when something is not so, and leaves the machine as it was."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site import Options, Site
from tests.lab.actions import LAB, lab
from tests.lab.traces import traces

DEMO_TIMEOUT_S = 180.0
APPLICATIONS_TIMEOUT_S = 1800.0
"""Installing Chromium, Xpra and JupyterLab may be part of it."""
DROP = ["iptables", "-w", "-t", "raw", "-I", "PREROUTING", "-i", "ext0", "-p", "tcp", "-j", "DROP"]
"""What a firewall in front of a gateway does that lets nobody in."""


@pytest.fixture
def new_site() -> Iterator[Site]:
    """Give a name that no site has yet, and make sure that none has it afterwards."""
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    made = Site(f"d{os.getpid()}")
    yield made
    made.down()


def demo(site: Site, *options: str, timeout_s: float = DEMO_TIMEOUT_S) -> str:
    words = [LAB, "--site", site.name, "demo", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Give what the demonstration of the applications said, and the folder with its screenshots."""
    if os.geteuid() != 0:
        pytest.skip("a site is made of namespaces, which needs root")
    site, pictures = Site(f"a{os.getpid()}"), tmp_path_factory.mktemp("pictures")
    try:
        told = demo(site, "--applications", str(pictures), timeout_s=APPLICATIONS_TIMEOUT_S)
        assert not site.folder.exists(), "it left nothing"
        yield " ".join(told.split()), pictures
    finally:
        site.down()


@pytest.mark.long
@pytest.mark.parametrize(
    ("template", "title", "refusal"),
    [
        ("xpra.sh", "xpra websockets client", "No password specified"),
        ("jupyter.sh", "Untitled.ipynb - JupyterLab", "Password or token:"),
        ("shell-web.sh", "Shell In A Box", "That is not it."),
    ],
)
def test_a_command_typed_in_a_real_browser_runs_as_the_user_and_nobody_gets_in_without_the_secret(
    applications: tuple[str, Path], template: str, title: str, refusal: str
) -> None:
    told, picture = session_of(applications, template)

    assert f'Chromium, outside, shows "{title}" with: ' in told
    assert "`hostname`, typed there, ran as alice: it says c1." in told
    assert f'Without the secret the page says: "{refusal}".' in told
    assert "The secret is in no argument on c1, not in the job's log, and in no key." in told
    assert "The file with its link is gone." in told
    assert picture[1:4] == b"PNG"


@pytest.mark.long
def test_the_display_of_a_desktop_application_is_closed_to_others_on_its_node(
    applications: tuple[str, Path],
) -> None:
    """The display's file of cookies was looked for where nobody had written it, so everyone on the node was let in."""
    told, _ = session_of(applications, "xpra.sh")

    assert 'bob tries `xset -display :0 q` on c1, and is told: "Authorization required".' in told


@pytest.mark.long
def test_every_rank_of_an_mpi_program_on_two_nodes_is_on_its_page(applications: tuple[str, Path]) -> None:
    told, picture = session_of(applications, "mpi.sh")

    assert 'Chromium, outside, shows "4 ranks" with: 0 c1 1 c1 2 c2 3 c2.' in told
    assert picture[1:4] == b"PNG"


@pytest.mark.long
def test_an_image_that_the_user_built_serves_its_page_through_the_gateway(applications: tuple[str, Path]) -> None:
    if "Nothing here runs images" in applications[0]:
        pytest.skip("there is no Apptainer on this machine; deploy/apptainer puts Debian's there")
    told, picture = session_of(applications, "apptainer.sh")

    assert 'Chromium, outside, shows "From an image" with: From an image: alice on c1.' in told
    assert 'Without the secret the page says: "404 Not Found".' in told
    assert picture[1:4] == b"PNG"


def session_of(applications: tuple[str, Path], template: str) -> tuple[str, bytes]:
    """Return what was said of one template's session, and its screenshot."""
    told, pictures = applications
    _, _, rest = told.partition(f"== A session of {template} ")
    picture = pictures / template.replace(".sh", ".png")
    return rest.partition(" == ")[0], picture.read_bytes()


def keys(site: Site) -> list[str]:
    return site.exec("mw", ["etcdctl", "get", "--prefix", "--keys-only", "/bwvisu/"]).stdout.split()


def test_the_demo_shows_the_page_from_outside_and_leaves_nothing(new_site: Site) -> None:
    before = traces(new_site)

    shown = demo(new_site)

    assert re.search(r'<dd id="host">c[12]</dd>', shown)
    assert re.search(r"\d+ bytes, written by Slurm job \d+ of alice on c[12]\.", shown)
    assert re.search(r"The open connection was cut \d+ ms after that, by gw[12]", shown)
    assert "Both interfaces list it, and agree on user, template, variables" in shown
    assert "Neither interface knows" in shown
    assert "No key in etcd is named after the job" in shown
    assert traces(new_site) == before
    assert [line for line in shown.splitlines() if len(line) > 80 and "/" not in line] == []


def test_a_kept_site_serves_its_link_and_a_second_demo_and_goes_without_a_trace(new_site: Site) -> None:
    before = traces(new_site)

    shown = demo(new_site, "--keep")
    link = re.search(r"exec outside (curl http://\S+)", shown)
    assert link is not None
    again = demo(new_site)

    assert "ran before" in again
    assert '<dd id="user">alice</dd>' in new_site.exec("outside", link[1].split()).stdout
    assert sum(key.startswith("/bwvisu/desired/jobs/") for key in keys(new_site)) == 1
    assert lab(new_site, "down").returncode == 0
    assert traces(new_site) == before


def test_a_claim_that_does_not_hold_ends_the_demo_with_one_sentence(new_site: Site) -> None:
    new_site.up(Options("legacy", sudo_root_only=True))  # one that is there is taken as it is
    for gateway in ("gw1", "gw2"):
        assert new_site.exec(gateway, DROP).returncode == 0

    done = lab(new_site, "demo")

    assert done.returncode == 1
    assert done.stderr.decode().startswith("deploy/lab: this should hold and does not: ")
    assert done.stderr.count(b"\n") == 1
    assert [key for key in keys(new_site) if "/jobs/" in key or "/forwards/" in key] == []
    assert all(seen.healthy for seen in new_site.status())


@pytest.mark.parametrize(("moment", "number"), [("writes the wish", signal.SIGINT), ("hang first", signal.SIGTERM)])
def test_an_interrupted_demo_takes_away_what_it_made(new_site: Site, moment: str, number: signal.Signals) -> None:
    before = traces(new_site)
    words = [LAB, "--site", new_site.name, "demo"]

    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        assert any(moment in line for line in running.stdout)
        os.killpg(running.pid, number)
        rest = running.stdout.read()

    assert running.returncode == 128 + number
    assert "Interrupted; cleaning up." in rest
    assert traces(new_site) == before
