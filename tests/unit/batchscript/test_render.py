"""A template becomes a script: variables filled in, the keyhole client inside, the token where nobody sees it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.batchscript.description import describe
from reconciler.batchscript.library import Library, TemplateUnknown
from reconciler.batchscript.options import options
from reconciler.batchscript.render import ScriptContext, render
from reconciler.batchscript.template import TemplateWrong
from reconciler.batchscript.token import MASKED, job_token
from reconciler.batchscript.variables import VariablesWrong
from reconciler.model.base import JobId
from reconciler.model.wish import Resources

TOKEN = job_token(b"s" * 64, "main", JobId("job001"))
SHIPPED = Path(__file__).parents[3] / "deploy" / "templates"


def context(token: str = TOKEN, home: str = "/home/alice") -> ScriptContext:
    """Return what only the controller knows of a job."""
    return ScriptContext(
        job=JobId("job001"),
        user="alice",
        home=home,
        instance="main",
        token=token,
        keyhole_servers=(("10.0.0.1", 80), ("10.0.0.2", 80)),
    )


def test_variables_are_filled_in_as_they_are() -> None:
    template = '#!/bin/sh\necho {{a}} "{{{a}}}" {{& a}} {{! gone }}{{job_id}} {{user}} {{home}} {{a}}\n'
    script = render(template, {"a": "x/y.z"}, context())

    assert script.startswith("#!/bin/sh\n# The client of the keyhole.")
    assert script.endswith('\nfi\necho x/y.z "x/y.z" x/y.z job001 alice /home/alice x/y.z\n')


def test_a_template_that_is_no_shells_stays_as_it_is_and_carries_no_token() -> None:
    template = "#!/usr/bin/env python3\nprint('hello')\n"

    assert render(template, {}, context()) == template


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_template_that_is_nothing_but_comments_keeps_its_interpreter(end: str) -> None:
    assert render(f"#!/bin/sh\n#SBATCH -N1{end}", {}, context()).startswith("#!/bin/sh\n#SBATCH -N1\n# The client")


def test_everything_around_the_request_stays_as_it_was() -> None:
    script = render(
        "#!/bin/sh\n#SBATCH -N1\necho {{a}}\n#KEYHOLE-REQUEST-PORTS 2\necho {{b}}\n", {"a": "1", "b": "2"}, context()
    )

    assert script.startswith("#!/bin/sh\n#SBATCH -N1\n# The client of the keyhole.")
    assert "\nfi\necho 1\n# Asks for 2 port(s);" in script
    assert script.endswith("\nunset bwvisu_ports\necho 2\n")
    assert "#KEYHOLE-REQUEST-PORTS" not in script


def test_a_preview_shows_everything_but_the_token() -> None:
    template = "#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 1\n"
    real, preview = render(template, {}, context()), render(template, {}, context(MASKED))

    assert TOKEN in real
    assert preview == real.replace(TOKEN, MASKED)


def test_a_context_does_not_show_its_token_when_it_is_logged() -> None:
    assert TOKEN not in repr(context())


def test_a_home_that_a_shell_would_read_is_refused_where_it_is_used() -> None:
    strange = context(home="/home/a b")
    with pytest.raises(VariablesWrong, match="home"):
        render("#!/bin/sh\ncd {{home}}\n", {}, strange)

    assert "a b" not in render("#!/bin/sh\n", {}, strange)


def test_a_missing_variable_is_an_error_and_never_an_empty_word() -> None:
    with pytest.raises(VariablesWrong, match="missing: a"):
        render("#!/bin/sh\nrm -r {{a}}/\n", {}, context())


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_script_is_right_in_every_shell(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(render("#!/bin/sh\nset -eu\n#KEYHOLE-REQUEST-PORTS 2\ntrue\n", {}, context()))
    program = shutil.which(shell)
    assert program is not None
    checked = subprocess.run([program, "-n", str(script)], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("path", sorted(SHIPPED.iterdir()), ids=lambda path: path.name)
def test_every_template_we_ship_says_what_it_is_and_can_be_rendered(path: Path, tmp_path: Path) -> None:
    text = Library(SHIPPED).text(path.name)
    description = describe(text)
    needed = {each.name: "x.sif" for each in description.variables if each.required}
    script = tmp_path / "script"
    script.write_text(render(text, needed, context()))
    checked = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)

    assert description.summary
    assert description.ports == 1
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "{{" not in script.read_text()


def test_resources_become_options_of_sbatch() -> None:
    asked = Resources(partition="visu", nodes=2, tasks_per_node=4, memory_mib=8192, gpus=1, time_limit_minutes=120)

    assert options(asked) == (
        "--partition=visu",
        "--nodes=2",
        "--ntasks-per-node=4",
        "--mem=8192M",
        "--gpus-per-node=1",
        "--time=120",
    )
    assert options(Resources()) == ()
    assert options(Resources(gpus=0)) == (), "a site without GPUs may refuse the option itself"


def test_a_token_belongs_to_one_job_of_one_installation() -> None:
    secret = b"s" * 64
    tokens = {
        job_token(secret, "main", JobId("job001")),
        job_token(secret, "main", JobId("job002")),
        job_token(secret, "other", JobId("job001")),
        job_token(b"t" * 64, "main", JobId("job001")),
    }

    assert len(tokens) == 4
    assert all(len(token) == 64 and int(token, 16) for token in tokens)


def test_a_library_holds_the_plain_files_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "xpra.sh").write_bytes(b"#!/bin/sh\r\ntrue\r\n")
    for other in (b".hidden", b"..x", b"back\\slash", b"line\nbreak", b"\x1b[2J", b"no utf-8 \xff"):
        (tmp_path / os.fsdecode(other)).touch()
    (tmp_path / "folder").mkdir()
    for name in ("a+b.sh", "paraview-5.11.1.sh", "with space", "ü"):
        (tmp_path / name).touch()
    library = Library(tmp_path)

    assert library.names() == ("a+b.sh", "paraview-5.11.1.sh", "with space", "xpra.sh", "ü")
    assert library.text("xpra.sh") == "#!/bin/sh\ntrue\n"


@pytest.mark.parametrize("name", ["nope.sh", "../xpra.sh", "folder", ".hidden", "/etc/passwd", ""])
def test_a_template_that_is_none_is_refused_with_the_names_of_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "xpra.sh").touch()
    (tmp_path / "templates" / "real.sh").touch()
    with pytest.raises(TemplateUnknown, match=r"there are: real\.sh") as refused:
        Library(tmp_path / "templates").text(name)

    assert refused.value.existing == ("real.sh",)


def test_a_template_that_is_written_over_or_replaced_counts_at_once(tmp_path: Path) -> None:
    """Also by one of the same length and with the old times, as copying tools make them."""
    library, template = Library(tmp_path), tmp_path / "xpra.sh"
    template.write_text("#!/bin/sh\necho 1\n")
    first = template.stat()
    times = (first.st_atime_ns, first.st_mtime_ns)
    texts = [library.text("xpra.sh")]
    while template.stat().st_ctime_ns == first.st_ctime_ns:  # until the kernel's clock has moved on
        template.write_text("#!/bin/sh\necho 2\n")
        os.utime(template, ns=times)
    texts.append(library.text("xpra.sh"))
    (tmp_path / "new").write_text("#!/bin/sh\necho 3\n")
    os.utime(tmp_path / "new", ns=times)
    (tmp_path / "new").rename(template)
    texts.append(library.text("xpra.sh"))
    template.unlink()

    assert [text[-2] for text in texts] == ["1", "2", "3"]
    with pytest.raises(TemplateUnknown):
        library.text("xpra.sh")


def test_a_library_without_a_folder_is_empty(tmp_path: Path) -> None:
    assert Library(tmp_path / "none").names() == ()


def test_a_template_that_is_no_text_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "image.sh").write_bytes(b"#!/bin/sh\n\xff\xfe")
    with pytest.raises(TemplateWrong, match=r"image\.sh cannot be read"):
        Library(tmp_path).text("image.sh")


def test_what_the_client_is_told_is_one_line_of_json() -> None:
    script = render("#!/bin/sh\n#KEYHOLE-REQUEST-PORTS 2\n", {}, context())
    call = json.loads(script.split("\nBWVISU_CLIENT_ENDS\n")[1].split("\n")[0])

    assert call == {
        "job": "job001",
        "token": TOKEN,
        "servers": ["10.0.0.1:80", "10.0.0.2:80"],
        "ports": 2,
        "patience_s": 300.0,
        "authority": "",
    }
