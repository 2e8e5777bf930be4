"""iptables' tables in memory: understands the commands we send and prints them as ``-S`` does."""

import copy
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.actuators.command import Command, Finished

Words = tuple[str, ...]


@dataclass
class FakeIptables:
    """The filter and nat tables of one gateway; also a node that runs the actuator's scripts on them."""

    tables: dict[str, dict[str, list[Words]]] = field(
        default_factory=lambda: {
            "filter": {"INPUT": [], "FORWARD": [], "OUTPUT": []},
            "nat": {"PREROUTING": [], "INPUT": [], "OUTPUT": [], "POSTROUTING": []},
        }
    )
    fails_after: int | None = None
    """Fail every command after this many."""
    version: str = "iptables v1.8.9 (nf_tables)"
    restores: bool = False
    """Whether iptables-restore is allowed."""
    calls: int = 0
    """Scripts that were sent to change something."""
    ran: list[Words] = field(default_factory=list)
    """Every command that changed something."""

    def run_words(self, argv: Words) -> None:
        """Run one command, given as the words behind ``iptables -w 5``.

        Raises:
            ValueError: iptables would say no.
        """
        match argv:
            case ("-t", table, "-N", chain) if chain not in self.tables[table]:
                self.tables[table][chain] = []
            case ("-t", table, "-F", chain):
                self.tables[table][chain].clear()
            case ("-t", table, "-A", chain, *words) if chain in self.tables[table]:
                self._chain(table, chain, words).append(tuple(words))
            case ("-t", table, "-I", chain, "1", *words) if chain in self.tables[table]:
                self._chain(table, chain, words).insert(0, tuple(words))
            case ("-t", table, "-D", chain, *words) if tuple(words) in self.tables[table].get(chain, ()):
                self.tables[table][chain].remove(tuple(words))
            case _:
                raise ValueError(f"iptables says no to {argv}")
        self.ran.append(argv)

    def printed(self, table: str) -> str:
        """Return what ``iptables -t <table> -S`` prints."""
        chains = self.tables[table]
        lines = [f"-P {chain} ACCEPT" if chain.isupper() and "-" not in chain else f"-N {chain}" for chain in chains]
        lines += [f"-A {chain} {_printed(words)}" for chain, rules in chains.items() for words in rules]
        return "".join(f"{line}\n" for line in lines)

    async def run(self, command: Command, *, timeout_s: float) -> Finished:
        """Run one of the actuator's scripts."""
        assert timeout_s > 0
        if "end change" in command.stdin:
            return self._change_and_read(command)
        if "end version" in command.stdin:
            return self._read()
        if "sudo -n -l" in command.stdin:
            version = self.version.replace("iptables", "iptables-restore")
            return Finished(0, version, "") if self.restores else Finished(1, "", "")
        return self._change(command.stdin)

    def _change(self, script: str) -> Finished:
        self.calls += 1
        try:
            return self._run_script(iter(script.splitlines()))
        except ValueError as error:
            return Finished(1, "", str(error))

    def _change_and_read(self, command: Command) -> Finished:
        """Run what is in brackets if iptables is of the kind that is asked for, then read back."""
        inner = re.search(r"^\(\n(.*? esac)\n(.*)^\)\necho end change", command.stdin, re.DOTALL | re.MULTILINE)
        assert inner is not None
        if ("nf_tables" in self.version) is ("*nf_tables*) ;; *) exit 1" in inner[1]):
            done = self._change(inner[2])
        else:
            done = Finished(1, "", "")
        version, tables = self._read().stdout.split("end version 0\n")
        said = f"{version}end version 0\n{done.stdout}end change {done.exit_status}\n{tables}"
        return Finished(0, said, done.stderr)

    def _read(self) -> Finished:
        said = (f"{self.printed(table)}end {table} 0\n" for table in ("filter", "nat"))
        return Finished(0, f"{self.version}\nend version 0\n{''.join(said)}", "")

    def _run_script(self, lines: Iterator[str]) -> Finished:
        newest = 0
        for line in lines:
            if found := re.match(r"rules=\$\(sudo -n iptables -w 5 -t nat -S (\S+) ", line):
                newest = max((0, *(int(number) for number in self._marks(found[1]))))
            elif (found := re.match(r'\[ "\$mark" -le (\d+) \]', line)) and newest > int(found[1]):
                return Finished(1, f"superseded {newest}\n", "")
            elif line.startswith("step "):
                self._take(tuple(shlex.split(line.partition(" & ")[0])[1:]))
            elif line.startswith("restore <<"):
                self._restore(next(lines).removeprefix("*"), lines)
        return Finished(0, "changed\n", "")

    def _marks(self, chain: str) -> Iterator[str]:
        if chain not in self.tables["nat"]:
            raise ValueError(f"no chain {chain}")
        found = (re.search(r":epoch:(\d+)$", word) for words in self.tables["nat"][chain] for word in words)
        return (match[1] for match in found if match is not None)

    def _restore(self, table: str, lines: Iterator[str]) -> None:
        """Run one transaction: all of it or nothing."""
        if not self.restores:
            raise ValueError("sudo: a password is required")
        before = copy.deepcopy(self.tables[table])
        try:
            for line in iter(lambda: next(lines), "COMMIT"):
                self._take(("-t", table, *shlex.split(line)))
        except ValueError:
            self.tables[table] = before
            raise

    def _take(self, argv: Words) -> None:
        if self.fails_after is not None and len(self.ran) >= self.fails_after:
            raise ValueError("iptables: Resource problem.")
        self.run_words(argv)

    def _chain(self, table: str, chain: str, words: list[str]) -> list[Words]:
        target = words[words.index("-j") + 1] if "-j" in words else ""
        if target.startswith("BWV-") and target not in self.tables[table]:
            raise ValueError(f"no chain {target}")
        return self.tables[table][chain]


def _printed(words: Words) -> str:
    quoted = {index + 1 for index, word in enumerate(words) if word == "--comment"}
    return " ".join(f'"{word}"' if index in quoted else word for index, word in enumerate(words))
