"""Up and down: several sites at once, and nothing left behind."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.site import Options, Site, SiteError
from tests.lab.actions import LAB, lab, ssh, submit, wait_until
from tests.lab.traces import pids_naming, traces


def test_up_again_says_so_and_other_options_are_refused(site: Site) -> None:
    again = lab(site, "up")
    assert (again.returncode, b"already" in again.stdout) == (0, True)
    other = lab(site, "up", "--sudo-root-only")
    assert (other.returncode, b"other options" in other.stderr) == (1, True)


def test_up_of_an_unhealthy_site_is_refused(site: Site) -> None:
    site.stop("gw1", "sshd")
    try:
        done = lab(site, "up")
        assert (done.returncode, b"not healthy" in done.stderr) == (1, True)
    finally:
        site.cont("gw1", "sshd")


@pytest.fixture
def other_site(site: Site) -> Iterator[Site]:
    """Give the name of a second site, which its test brings up itself, beside the shared one."""
    made = Site(f"{site.name}-other")
    try:
        yield made
    finally:
        made.down()


def test_two_sites_with_the_same_addresses_live_side_by_side_each_with_its_options(
    site: Site, other_site: Site, tmp_path: Path
) -> None:
    copied_etcd = tmp_path / "etcd"
    copied_etcd.write_bytes(Path("/usr/bin/etcd").read_bytes())
    copied_etcd.chmod(0o755)
    other_site.up(Options("legacy", sudo_root_only=True, iptables_restore=True, etcd=str(copied_etcd)))
    for made, kind in ((site, "nf_tables"), (other_site, "legacy")):
        assert kind in ssh(made, "gw1", "sudo -n iptables -V").stdout
        assert all(seen.healthy for seen in made.status())
    assert ssh(site, "cmd1", "sudo -n -u alice squeue -h").returncode == 0
    assert ssh(other_site, "cmd1", "sudo -n -u alice squeue -h").returncode == 1
    assert ssh(other_site, "cmd1", "sudo -n squeue -h").returncode == 0
    assert ssh(other_site, "gw2", "sudo -n iptables-restore -V").returncode == 0
    assert f"{other_site.folder}/bin/etcd" in other_site.exec("mw", ["ps", "-eo", "args"]).stdout
    other_site.exec("cmd1", ["sbatch", "--job-name=other", "--wrap=sleep 60"], user="alice")
    squeue = ["squeue", "-h", "-n", "other", "-o", "%u"]
    assert other_site.exec("cmd1", squeue).stdout == "alice\n"
    assert site.exec("cmd1", squeue).stdout == ""


def test_two_ups_that_race_make_one_site(other_site: Site) -> None:
    words = [LAB, "--site", other_site.name, "up"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE) for _ in range(2)]
    said = sorted(b"already" in one.communicate(timeout=120)[0] for one in both)
    assert [one.returncode for one in both] == [0, 0]
    assert said == [False, True]


def test_down_leaves_nothing_and_may_be_repeated(other_site: Site) -> None:
    before = traces(other_site)
    other_site.up()
    submit(other_site, "sleep 300")
    namespaces = {str(Path(f"/proc/{pid}/ns/net").readlink()) for pid in pids_naming(other_site)}
    assert len(namespaces) > len(other_site.nodes)
    assert lab(other_site, "down").returncode == 0
    assert pids_naming(other_site) == []
    assert not namespaces & used_namespaces()
    assert not other_site.folder.exists()
    assert traces(other_site) == before
    assert lab(other_site, "down").returncode == 0


def test_down_removes_a_half_made_site(other_site: Site) -> None:
    words = [LAB, "--site", other_site.name, "up"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as making:
        wait_until(lambda: len(pids_naming(other_site)) > 3, "some nodes are there")
        making.kill()
    assert lab(other_site, "down").returncode == 0
    assert pids_naming(other_site) == []
    assert not other_site.folder.exists()


def test_a_place_that_users_cannot_reach_is_refused_by_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found when Slurm's own account could not get to its files, and only slurmctld's log said so."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    monkeypatch.setenv("BWVISU_LAB_DIR", str(closed))
    hidden = Site(f"{site.name}-hidden")
    try:
        with pytest.raises(SiteError, match=r"pass through"):
            hidden.up()
    finally:
        hidden.down()


def test_a_folder_that_is_no_site_is_left_alone(other_site: Site) -> None:
    other_site.folder.mkdir()
    (other_site.folder / "precious").write_text("mine")
    try:
        assert not other_site.down()
        assert (other_site.folder / "precious").read_text() == "mine"
    finally:
        (other_site.folder / "precious").unlink()
        other_site.folder.rmdir()


def used_namespaces() -> set[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            found.add(str((entry / "ns" / "net").readlink()))
        except OSError:
            continue
    return found
