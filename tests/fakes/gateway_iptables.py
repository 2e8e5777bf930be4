"""iptables' tables in memory: understands the commands we send and prints them as ``-S`` does."""

import shlex
from collections.abc import Iterable
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
            case ("-t", table, "-A", chain, *words):
                self._chain(table, chain, words).append(tuple(words))
            case ("-t", table, "-I", chain, "1", *words):
                self._chain(table, chain, words).insert(0, tuple(words))
            case ("-t", table, "-D", chain, *words) if tuple(words) in self.tables[table][chain]:
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
        if "-S </dev/null" in command.stdin:
            said = (f"{self.printed(table)}end {table} 0\n" for table in ("filter", "nat"))
            return Finished(0, "".join(said), "")
        steps = [tuple(shlex.split(line)[1:]) for line in command.stdin.splitlines() if line.startswith("step ")]
        return self._take(steps)

    def _take(self, steps: Iterable[Words]) -> Finished:
        said = ""
        for argv in steps:
            if self.fails_after is not None and len(self.ran) >= self.fails_after:
                return Finished(1, f"{said}step 4\n", "iptables: Resource problem.")
            self.run_words(argv)
            said += "step 0\n"
        return Finished(0, said, "")

    def _chain(self, table: str, chain: str, words: list[str]) -> list[Words]:
        target = words[words.index("-j") + 1]
        if target.startswith("BWV-") and target not in self.tables[table]:
            raise ValueError(f"no chain {target}")
        return self.tables[table][chain]


def _printed(words: Words) -> str:
    quoted = {index + 1 for index, word in enumerate(words) if word == "--comment"}
    return " ".join(f'"{word}"' if index in quoted else word for index, word in enumerate(words))
