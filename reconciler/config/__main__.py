"""Write the generated files of the configuration, or say whether they are current: what ``deploy/schema`` runs."""

import argparse
import sys
from pathlib import Path

from reconciler.config import manual

GENERATED = {
    Path("deploy/config.schema.json"): manual.json_schema,
    Path("docs/configuration.md"): manual.page,
}


def main() -> int:
    """Return 0 when all files are (now) current, 1 when ``--check`` finds one that is not."""
    parser = argparse.ArgumentParser(prog="deploy/schema", description="Generate what follows from the models.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is not current")
    check: bool = parser.parse_args().check
    checkout = Path(__file__).parents[2]
    stale = [name for name, generate in GENERATED.items() if _found(checkout / name) != generate()]
    for name in stale:
        if check:
            sys.stderr.write(f"{name} is not current: run deploy/schema\n")
            continue
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(GENERATED[name](), encoding="utf-8")
    return 1 if check and stale else 0


def _found(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
