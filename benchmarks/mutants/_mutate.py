"""Which changes make each claim of a chapter fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

from benchmarks.mutants import _local, _world
from benchmarks.mutants._chapter import Chapter, Statement
from benchmarks.mutants._run import ERROR, FAILS, HOLDS, Job, Occurrence, Outcome, Recorded

EDGES = "__edges__"  # the name in the chapter's namespace under which a job finds what to replace
ENOUGH = 2  # kills of a claim, after which no further world is tried on it
MOST_LOCAL = 24  # mutants of the chapter's own statements for a claim that no world kills
LONGEST_LOCAL = 25.0  # seconds that the statements of one of them may take, by the first run
LEAST_SECONDS = 15.0  # of any job, before it is given up


@dataclass
class Found:
    """What became of a claim."""

    sentence: str
    cell: int
    killed_by: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)
    errors: int = 0  # mutants that ended in another error than a failed assertion
    late: int = 0  # mutants that were given up
    by_control: bool = False  # killed only by giving one side of its comparison the other's value
    trouble: str = ""  # why it could not be tried
    kept: bool = False  # taken from the record, and not tried again

    @property
    def tried(self) -> int:
        return len(self.killed_by) + len(self.survived) + self.errors + self.late


class Mutation:
    """The mutation of one chapter."""

    def __init__(self, chapter: Chapter, say: Callable[[str], None] = lambda text: None) -> None:
        self.chapter, self.say = chapter, say
        self.edges = _world.Edges()
        self.alike = _local.Alike()
        self.found: dict[Occurrence, Found] = {}
        self.slices: dict[tuple[int, int], list[Statement]] = {}
        self.nulls: dict[tuple[int, frozenset[tuple[int, int]]], Outcome] = {}

    def run(
        self,
        worlds: bool = True,
        local: bool = True,
        known: Sequence[Mapping[str, Any]] = (),
    ) -> list[Found]:
        """Try every claim but those of the same words that were killed in ``known``, a record."""
        killed = {record["sentence"]: record for record in known if record["killed_by"]}
        with Recorded(self.chapter, self._begin, self.alike.note) as recorded:
            for occurrence, sentence in recorded.sentences.items():
                statement = self.chapter.of_site[occurrence[0]]
                found = Found(sentence, statement.cell)
                verdict = recorded.outcome.claims[occurrence]
                if verdict != HOLDS:
                    found.trouble = f"unchanged, it {verdict}"
                elif sentence in killed:
                    for name in ("killed_by", "survived", "errors", "late", "by_control"):
                        setattr(found, name, killed[sentence].get(name, getattr(found, name)))
                    found.kept = True
                self.found[occurrence] = found
            self.say(f"{len(self.found)} claims in {recorded.outcome.seconds:.0f} s")
            for key, error in recorded.outcome.errors:
                self.say(f"unchanged, cell {key[0]} ends with {error}")
            if worlds:
                self._worlds(recorded)
            if local:
                for occurrence, found in self.found.items():
                    if not found.killed_by and not found.trouble:
                        self._local(recorded, occurrence)
        return list(self.found.values())

    def _begin(self, namespace: dict[str, Any], at: Callable[[], int]) -> None:
        namespace[EDGES] = self.edges
        self.edges.watch(namespace, at)

    # --- what must run ----------------------------------------------------------------------------

    def _slice(self, claim: Statement) -> list[Statement]:
        if claim.key not in self.slices:
            self.slices[claim.key] = [claim, *self.chapter.depends_on(claim, wide=True)]
        return self.slices[claim.key]

    def _job(
        self,
        recorded: Recorded,
        claims: list[Statement],
        cell: int,
        world: str = "",
        mutant: _local.Mutant | None = None,
    ) -> Job:
        """Run, from ``cell`` on, what the claims depend on and no more."""
        edits = {} if mutant is None else {mutant.key: mutant.node}
        last = max(claim.cell for claim in claims)
        parts = {s.key: s for claim in claims for s in self._slice(claim) if s.cell >= cell}
        if mutant is not None:
            parts[mutant.key] = next(s for s in self.chapter.statements if s.key == mutant.key)
        cells = sorted({part.cell for part in parts.values() if part.cell <= last})
        usual = sum(recorded.statement_seconds.get(key, 0.0) for key in parts)
        limit = LEAST_SECONDS + 3 * usual
        return Job(cells, partial(enter, world), edits, only=set(parts), seconds=limit)

    def _claim(self, occurrence: Occurrence) -> Statement:
        return self.chapter.of_site[occurrence[0]]

    # --- worlds -----------------------------------------------------------------------------------

    def _touches(self, claim: Statement, world: _world.World) -> bool:
        """Whether a cell with something the claim depends on calls what ``world`` replaces."""
        cells = self.edges.cells_of(world)
        return any(statement.cell in cells for statement in self._slice(claim))

    def _wanted(self, recorded: Recorded, world: _world.World | None) -> list[Occurrence]:
        return [
            occurrence
            for occurrence, found in self.found.items()
            if not (found.trouble or found.kept)
            and len(found.killed_by) < ENOUGH
            and (world is None or self._touches(self._claim(occurrence), world))
        ]

    def _worlds(self, recorded: Recorded) -> None:
        wanted = self._wanted(recorded, None)
        if not wanted:
            return
        # The same selection of statements without any change: a claim that fails here fails
        # because of what was left out, and can't be judged so.
        nothing = recorded.run(0, self._job(recorded, [self._claim(o) for o in wanted], 0))
        unstable = {o for o in wanted if nothing.claims.get(o) != HOLDS}
        for occurrence in unstable:
            self.say(f"by itself it comes out otherwise: {self.found[occurrence].sentence}")
        for world in _world.WORLDS:
            first = self.edges.first_cell(world)
            wanted = [o for o in self._wanted(recorded, world) if o not in unstable]
            if first is None or not wanted:
                continue
            claims = [self._claim(o) for o in wanted]
            outcome = recorded.run(first, self._job(recorded, claims, first, world.name))
            killed = sum(self._count(o, outcome, world.says) for o in wanted)
            self.say(f"{world.says}: {killed} of {len(wanted)} in {outcome.seconds:.0f} s")

    def _count(self, occurrence: Occurrence, outcome: Outcome, says: str) -> bool:
        """Enter how the claim came out; whether it was killed."""
        found = self.found[occurrence]
        verdict = outcome.claims.get(occurrence)
        keys = {statement.key for statement in self._slice(self._claim(occurrence))}
        if verdict == FAILS:
            found.killed_by.append(says)
            return True
        if verdict == HOLDS:
            found.survived.append(says)
        elif keys & set(outcome.asserted):
            found.killed_by.append(f"{says} (an assertion before it)")
            return True
        elif verdict is None and not outcome.finished:
            found.late += 1
        else:
            assert verdict is None or verdict.startswith(ERROR)
            found.errors += 1
        return False

    # --- the chapter's own statements -------------------------------------------------------------

    def _local(self, recorded: Recorded, occurrence: Occurrence) -> None:
        claim = self._claim(occurrence)
        mutants = islice(_local.of_claim(claim, self.chapter, self.alike), 4 * MOST_LOCAL)
        tries = 0
        for mutant in (*mutants, *_local.controls(claim, occurrence[0])):
            if mutant.kind != "control" and tries >= MOST_LOCAL:
                continue
            first = mutant.key[0]
            job = self._job(recorded, [claim], first, mutant=mutant)
            if job.seconds > LEAST_SECONDS + 3 * LONGEST_LOCAL:
                continue
            tries += 1
            outcome = recorded.run(first, job)
            fails = outcome.claims.get(occurrence) == FAILS
            if fails and not self._holds_alone(recorded, occurrence, job, first):
                self.found[occurrence].trouble = "it fails when only what it depends on is run"
                return
            if self._count(occurrence, outcome, mutant.says):
                self.found[occurrence].by_control = mutant.kind == "control"
                return

    def _holds_alone(self, recorded: Recorded, occurrence: Occurrence, job: Job, cell: int) -> bool:
        """Whether the claim holds when the same statements run unchanged."""
        key = cell, frozenset(job.only or ())
        if key not in self.nulls:
            self.nulls[key] = recorded.run(cell, replace(job, edits={}))
        return self.nulls[key].claims.get(occurrence) == HOLDS


def enter(world: str, namespace: dict[str, Any]) -> None:
    """Keep the zoo from what follows, and change the package as ``world`` says, if any."""
    _world.keep_the_zoo()
    if world:
        namespace[EDGES].apply(world, namespace)
