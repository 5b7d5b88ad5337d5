"""Run a target on cases made from a seed until its time is over; the first case that fails is kept."""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from random import Random


class FaultFound(Exception):
    """The program did what it must never do; the message says what."""


class Target(ABC):
    """One part of the program that reads what strangers wrote."""

    name: str

    def __init__(self, scratch: Path) -> None:
        """Make what all cases share in an empty folder."""
        self.scratch = scratch

    @abstractmethod
    def make(self, chance: Random, folder: Path) -> None:
        """Write a case into an empty folder: always the same one for the same state of `chance`."""

    @abstractmethod
    def check(self, folder: Path) -> None:
        """Give the case to the program, and raise FaultFound where it does what it must not."""

    def close(self) -> None:  # noqa: B027  (most have nothing to stop)
        """Stop what was started."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that failed, by its number, and the folder where it is kept."""

    target: str
    seed: int
    number: int
    fault: str
    kept: Path

    def __str__(self) -> str:
        return (
            f"{self.target}: case {self.number} of seed {self.seed}: {self.fault}\n"
            f"  the case is kept in {self.kept}\n"
            f"  again: python -m tests.fuzz --target {self.target} --case {self.kept}"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """How many cases a target was given, and the one that failed."""

    cases: int
    failure: Failure | None


def run(target: Target, seed: int, seconds: float, keep_in: Path, first: int = 0) -> Result:
    """Give a target one case after the other, at least one, from the number `first` on, until the time is over."""
    end = time.monotonic() + seconds
    number = first
    while number == first or time.monotonic() < end:
        folder = target.scratch / f"case-{number}"
        folder.mkdir()
        target.make(_chance(target, seed, number), folder)
        try:
            target.check(folder)
        except FaultFound as fault:
            kept = _keep(target, seed, number, keep_in)
            return Result(number - first + 1, Failure(target.name, seed, number, str(fault), kept))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        number += 1
    return Result(number - first, None)


def check_kept(target: Target, kept: Path) -> str | None:
    """Give a target a copy of a case that was kept; return its fault, None where it has none any more."""
    folder = target.scratch / "case"
    shutil.copytree(kept, folder, symlinks=True)
    try:
        target.check(folder)
    except FaultFound as fault:
        return str(fault)
    return None


def _chance(target: Target, seed: int, number: int) -> Random:
    return Random(f"{seed} {target.name} {number}")


def _keep(target: Target, seed: int, number: int, keep_in: Path) -> Path:
    """Make the case again, since the check has changed it."""
    kept = keep_in / f"{target.name}-{seed}-{number}"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    target.make(_chance(target, seed, number), kept)
    return kept
