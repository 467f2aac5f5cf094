"""Which runs a folder's logs are, told by their paths: by file names, or what differs in them."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from flopline.logs.formats import SPLIT_FOLDERS
from flopline.sources import NAMED_SO, run_name, split_places

CHECKPOINT: Final = re.compile(r"(?:^|.*[-_])(?:checkpoint|ckpt|step)[-_]?(\d+)$")
"""Folders of checkpoints, each with the log up to it."""


def run_names(paths: Sequence[str]) -> dict[str, str]:
    """What each log's run is called: its file, or where these repeat what differs in the paths.

    The logs of several splits of a run are called the same.
    """
    of = runs_by_path(paths)
    names = _names(list(dict.fromkeys(of.values())))
    return {path: names[of[path]] for path in paths}


def _names(paths: Sequence[str]) -> dict[str, str]:
    stems = [run_name(path) for path in paths]
    if len(set(stems)) == len(stems):
        return dict(zip(paths, stems, strict=True))
    parts = {path: [*Path(path).parent.parts, run_name(path)] for path in paths}
    first, last = _common(list(parts.values()))
    return {p: "/".join(own[first : len(own) - last]) for p, own in parts.items()}


def name_pattern(paths: Sequence[str]) -> str | None:
    """A regular expression that finds these names in the paths; None where file names do."""
    names = run_names(paths)
    if all(name == run_name(path) for path, name in names.items()):
        return None
    of = runs_by_path(paths)
    if any(found.place == NAMED_SO for found in split_places(paths).values()):
        return _named_by_split(names)
    parts = [[*Path(path).parent.parts, run_name(path)] for path in dict.fromkeys(of.values())]
    first, last = _common(parts)
    front = [re.escape(part) for part in parts[0][:first]]
    behind = [re.escape(part) for part in parts[0][len(parts[0]) - last :]]
    file = Path(paths[0]).name
    ending = re.escape(file[len(run_name(paths[0])) :])
    places = {found.place for found in split_places(paths).values()}
    for place in places:
        # A folder of splits stands before the name, or behind it.
        into, at = (front, place) if place <= first else (behind, place - len(parts[0]) + last)
        into.insert(max(at, 0), "[^/]+")
    before = re.sub(r"^(?:/{2,})", "/", "/".join(front))
    pattern = "/".join([*([before] if before else []), "(?P<run>.+)", *behind]) + f"{ending}$"
    matches = [re.search(pattern, path) for path in paths]
    fits = all(f and f["run"] == names[p] for p, f in zip(paths, matches, strict=True))
    return pattern if fits else None


def _named_by_split(names: Mapping[str, str]) -> str | None:
    """A pattern that finds the names of runs in paths whose file names say the split."""
    words = f"(?:{'|'.join(SPLIT_FOLDERS)})"
    for pattern in (
        r"(?P<run>[^/]+)/[^/]+$",
        rf"(?P<run>[^/]+)[-_. ]{words}(?:[-_. ][^/]*)?$",
        rf"{words}[-_. ](?P<run>[^/.]+)\.[^/]*$",
    ):
        found = {path: re.search(pattern, path) for path in names}
        if all(f and f["run"] == names[path] for path, f in found.items()):
            return pattern
    return None


def path_globs(paths: Sequence[str], root: Path) -> list[str]:
    """The fewest globs that match these paths and no other; else every path by name."""
    starred = _starred(paths)
    if len(paths) > 1 and starred and _matched(starred, root) == set(paths):
        return [starred]
    globs: list[str] = []
    for place in sorted({_in_folder(path) for path in paths}):
        here = [path for path in paths if _in_folder(path) == place]
        globs += [place] if len(here) > 1 and _matched(place, root) == set(here) else here
    return globs


def last_of_checkpoints(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths without logs of checkpoints that another, of the run or a later one, continues."""
    by_run: dict[str, list[tuple[float, str]]] = {}
    for path in paths:
        parent = Path(path).parent
        checkpoint = CHECKPOINT.match(parent.name)
        home = parent.parent if checkpoint else parent
        of = f"{home}\0{Path(path).name}"
        by_run.setdefault(of, []).append(
            (float(checkpoint[1]) if checkpoint else float("inf"), path)
        )
    kept = {max(checkpoint)[1] for checkpoint in by_run.values()}
    return [p for p in paths if p in kept], [p for p in paths if p not in kept]


def runs_by_path(paths: Sequence[str]) -> dict[str, str]:
    """For each path what it shares with the logs of other splits of its run; else itself."""
    places = split_places(paths)
    return {path: places[path].rest if path in places else path for path in paths}


def _common(parts: Sequence[Sequence[str]]) -> tuple[int, int]:
    """How many parts all paths share at their beginning and, behind what differs, at their end."""
    shortest = min(map(len, parts))
    first = next((i for i in range(shortest) if len({own[i] for own in parts}) > 1), shortest)
    room = shortest - first
    last = next((i for i in range(room) if len({own[-1 - i] for own in parts}) > 1), room)
    # Something must be left to name each.
    return (first, last) if first + last < shortest or room == 0 else (first, max(last - 1, 0))


def _starred(paths: Sequence[str]) -> str:
    """The paths as one glob, a star for each part in which they differ; empty where depths do."""
    split = [Path(path).parts for path in paths]
    if len({len(parts) for parts in split}) > 1:
        return ""
    out = []
    for place in zip(*split, strict=True):
        last = place == tuple(parts[-1] for parts in split)
        ends = {part[len(run_name(part)) :] for part in place}
        star = f"*{ends.pop()}" if last and len(ends) == 1 else "*"
        out.append(glob.escape(place[0]) if len(set(place)) == 1 else star)
    return str(Path(*out))


def _in_folder(path: str) -> str:
    return str(
        Path(glob.escape(str(Path(path).parent))) / f"*{Path(path).name[len(run_name(path)) :]}"
    )


def _matched(pattern: str, root: Path) -> set[str]:
    return set(glob.glob(pattern, root_dir=root))  # noqa: PTH207 - an absolute pattern may stand here
