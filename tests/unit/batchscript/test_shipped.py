"""How the shipped templates end."""

import os
import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
TEXTS = [*sorted((CHECKOUT / "deploy" / "templates").iterdir()), CHECKOUT / "docs" / "templates.md"]
FILES = ("link", "page", "run", "BWVISU_LINK")
"""Variables that name what a template leaves while it runs."""


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: path.name)
@pytest.mark.parametrize("status", [0, 3])
def test_an_application_that_ends_by_itself_takes_its_link_along_and_its_status_is_the_scripts(
    text: Path, status: int, tmp_path: Path
) -> None:
    """``kill`` of what has ended fails, and with ``set -e`` that once ended the trap before anything was removed."""
    trap = re.findall(r"^trap .* EXIT$", text.read_text(), re.MULTILINE)[-1]
    names = {name: str(tmp_path / name) for name in FILES if f'"${name}"' in trap}
    for path in names.values():
        Path(path).touch()
    script = f'set -eu\n(exit {status}) &\nserver=$!\n{trap}\nwait "$server"\n'

    ended = subprocess.run(["bash", "-c", script], env={**os.environ, **names}, timeout=30, check=False)

    assert names
    assert list(tmp_path.iterdir()) == []
    assert ended.returncode == status
