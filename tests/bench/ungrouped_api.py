"""An API that writes each wish in a transaction of its own: what travelling together is compared with."""

import sys

from api import __main__ as process

if __name__ == "__main__":
    setattr(process, "GroupingStore", lambda store: store)  # noqa: B010 - a module's name, which mypy guards
    sys.exit(process.main())
