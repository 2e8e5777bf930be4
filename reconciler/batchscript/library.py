"""The templates of a site: the plain files of one folder."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from reconciler.batchscript.template import PORTS_LIMIT, TemplateWrong, parse
from reconciler.errors import Terminal
from reconciler.model.base import TEMPLATE_NAME_PATTERN

FILES_KEPT = 256
"""Texts of templates that stay in memory; a site has a few dozen."""


class TemplateUnknown(Terminal):
    """There is no template of this name; names those that exist."""

    def __init__(self, name: str, existing: tuple[str, ...]) -> None:
        super().__init__(f"there is no template {name!r}; there are: {', '.join(existing) or 'none'}")
        self.existing = existing


class PortsTooMany(TemplateWrong):
    """The template asks for more ports than a job may have here."""

    def __init__(self, ports: int, limit: int) -> None:
        super().__init__(f"it asks for {ports} ports, and a job may have {limit} (keyholed-max-forwarders-per-job)")
        self.ports = ports
        self.limit = limit


@lru_cache(maxsize=FILES_KEPT)
def _file(directory: Path, name: str) -> Path | None:
    """Return where a template of this name would be; None for what names no template."""
    return directory / name if _may_name_a_template(name) else None


@lru_cache(maxsize=FILES_KEPT)
def _text(file: Path, _state: tuple[int, ...]) -> str:
    """Read a file once for each state of it. No tool can keep the time of its last change (ctime) as it was.

    Only two changes of one length within a tick of the kernel's clock, 4 ms, with a look in between, are taken for one.
    """
    return file.read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Library:
    """Looks at the files each time: what an operator puts into the folder counts from the next job on."""

    directory: Path
    ports_limit: int = PORTS_LIMIT
    """How many ports a job may have here (``keyholed-max-forwarders-per-job``)."""

    def names(self) -> tuple[str, ...]:
        """Return the names of all templates, sorted; files with other names than templates may have are none."""
        if not self.directory.is_dir():
            return ()
        files = (path.name for path in self.directory.iterdir() if path.is_file())
        return tuple(sorted(filter(_may_name_a_template, files)))

    def text(self, name: str) -> str:
        """Return the text of one template, line ends as Unix has them.

        Raises:
            TemplateUnknown: there is none of this name.
            TemplateWrong: the file cannot be read as text.
        """
        file = _file(self.directory, name)
        try:
            found = file.stat() if file is not None else None
        except OSError:
            found = None
        if file is None or found is None or not S_ISREG(found.st_mode):
            raise TemplateUnknown(name, self.names())
        try:
            return _text(file, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        except (OSError, UnicodeDecodeError) as error:
            raise TemplateWrong(f"template {name} cannot be read: {error}") from error

    def usable(self, name: str) -> str:
        """Return the text of a template that jobs can be made from here.

        Raises:
            TemplateUnknown: there is none of this name.
            TemplateWrong: it cannot be used, by anybody or, as `PortsTooMany`, here.
        """
        text = self.text(name)
        ports = parse(text).ports
        if ports > self.ports_limit:
            raise PortsTooMany(ports, self.ports_limit)
        return text

    def faults(self) -> tuple[str, ...]:
        """Return a sentence for each template that no job could use: its name, its line, and why."""
        return tuple(f"template {name}: {fault}" for name in self.names() for fault in self._faults_of(name))

    def _faults_of(self, name: str) -> tuple[str, ...]:
        try:
            self.usable(name)
        except (TemplateWrong, TemplateUnknown) as error:  # unknown: it went between two looks
            return (str(error),)
        return ()


def _may_name_a_template(name: str) -> bool:
    """Whether a file's name may be a template's; bytes of one that is not UTF-8 come as halves of characters."""
    return re.fullmatch(TEMPLATE_NAME_PATTERN, name) is not None and not re.search(r"[\ud800-\udfff]", name)
