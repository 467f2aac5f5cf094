"""Build the token files of the tinylm sweep from the text of Debian packages.

Tokens are characters: printable ASCII and the newline, 96 symbols, so a loss
is in nats per character and no tokeniser stands between the text and the law.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import json
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

ALPHABET = "\n" + "".join(chr(c) for c in range(32, 127))
VOCAB = len(ALPHABET)

# GCIDE marks every paragraph with where it came from; that is boilerplate, not English.
GCIDE_SOURCE = re.compile(
    r"\[(?:1913 Webster|WordNet|PJC|Century Dict|AS|RP|RH|RDH|JC|GG|Webster|[A-Z]{2,3})"
    r"[^\]]{0,60}\]"
)
GCIDE_HEADWORD = re.compile(r"^([^\\\n]{1,60})\\[^\\\n]{1,80}\\")
SPACE = re.compile(r"\s+")


def to_ascii(text: str) -> str:
    """Fold accents and typographic marks to ASCII; what has no ASCII form vanishes."""
    for mark, plain in {
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "–": "-",
        "—": "--",
        "…": "...",
    }.items():
        text = text.replace(mark, plain)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def paragraphs(block: str) -> list[str]:
    """Split at blank lines and unwrap each paragraph to one line."""
    return [SPACE.sub(" ", part).strip() for part in re.split(r"\n\s*\n", block)]


def gcide(root: Path) -> Iterator[list[str]]:
    """One document per dictionary entry: an entry starts at a line without indent."""
    raw = gzip.decompress((root / "usr/share/dictd/gcide.dict.dz").read_bytes())
    for entry in re.split(r"\n(?=\S)", raw.decode("utf-8", "replace")):
        if "00-database" in entry:
            continue
        entry = GCIDE_SOURCE.sub("", GCIDE_HEADWORD.sub(r"\1", entry))
        yield paragraphs(re.sub(r"[{}]", "", entry))


def wordnet(root: Path) -> Iterator[list[str]]:
    """One document per synset: its words and its gloss as one sentence."""
    for part in ("noun", "verb", "adj", "adv"):
        for line in (root / f"usr/share/wordnet/data.{part}").read_text().splitlines():
            head, bar, gloss = line.partition(" | ")
            if not bar or line.startswith("  "):
                continue
            fields = head.split()
            words = [
                re.sub(r"\([a-z]+\)$", "", w) for w in fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            ]
            yield [f"{', '.join(words).replace('_', ' ')}: {gloss.strip()}."]


def foldoc(root: Path) -> Iterator[list[str]]:
    """One document per entry of the computing dictionary."""
    raw = gzip.decompress((root / "usr/share/dictd/foldoc.dict.dz").read_bytes())
    for entry in re.split(r"\n(?=\S)", raw.decode("utf-8", "replace")):
        if "00-database" not in entry:
            yield paragraphs(re.sub(r"[{}]", "", entry))


def anarchism(root: Path) -> Iterator[list[str]]:
    """One document per 2,000 characters or so of consecutive paragraphs.

    A page runs to 400,000 characters, the whole horizon of a small run: shuffled
    whole, pages would make the mix of sources drift along the token stream.
    """
    for page in sorted((root / "usr/share/doc/anarchism/html").glob("*.html")):
        body = page.read_text("utf-8", "replace")
        elements = re.findall(
            r"<(?:p|blockquote)\b[^>]*>(.*?)</(?:p|blockquote)>", body, re.S | re.I
        )
        document: list[str] = []
        for part in elements:
            document.append(SPACE.sub(" ", html.unescape(re.sub(r"<[^>]+>", " ", part))).strip())
            if sum(map(len, document)) > 2000:
                yield document
                document = []
        yield document


MOST_BYTES = 64 << 20
"""A package is a fifth of this; more is not what was asked for."""

SIGNED_ONLY = [
    f"-o{option}=false"
    for option in (
        "APT::Get::AllowUnauthenticated",
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
    )
]
"""Archives that apt cannot check by their signature are refused, whatever the machine allows."""

READERS = {
    "dict-gcide": gcide,
    "wordnet-base": wordnet,
    "dict-foldoc": foldoc,
    "anarchism": anarchism,
}


def fetch(packages: dict[str, str], folder: Path) -> list[dict[str, str | int]]:
    """Download and unpack packages {name: sha256}; name, version, bytes and sha256 of each.

    A file that is larger than MOST_BYTES or has another digest is neither kept nor unpacked; exits
    with a sentence that says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = []
    for name, sha256 in packages.items():
        deb = at_hand(name, sha256, folder) or downloaded(name, sha256, folder)
        subprocess.run(["dpkg", "-x", deb.name, name], cwd=folder, check=True)
        version = subprocess.run(
            ["dpkg-deb", "-f", deb.name, "Version"],
            cwd=folder,
            check=True,
            text=True,
            capture_output=True,
        ).stdout.strip()
        facts.append(
            {
                "package": name,
                "version": version,
                "deb_bytes": deb.stat().st_size,
                "deb_sha256": sha256,
            }
        )
    return facts


def at_hand(name: str, sha256: str, folder: Path) -> Path | None:
    """The file of a package that an earlier run left, if it is the right one."""
    debs = sorted(folder.glob(f"{name}_*.deb"))
    return next((deb for deb in debs if why_wrong(deb, sha256) is None), None)


def downloaded(name: str, sha256: str, folder: Path) -> Path:
    """The file of a package as apt fetches it, its size and digest checked before and after."""
    apt = ["apt-get", *SIGNED_ONLY, "download"]
    done = subprocess.run(
        [*apt, "--print-uris", name], cwd=folder, text=True, capture_output=True, check=False
    )
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        sys.exit(f"corpus.py: apt does not find {name} ({complaint}): run apt-get update, as root.")
    match = re.search(
        r"^'([^']+)' (\S+) (\d+) SHA256:([0-9a-f]{64})\s*$", done.stdout, re.MULTILINE
    )
    if match is None:
        sys.exit(f"corpus.py: apt names no sha256 for {name}: use a signed archive of Debian.")
    uri, file, size, promised = match.groups()
    if promised != sha256:
        sys.exit(
            f"corpus.py: {uri} has the sha256 {promised}, but config.yaml names {sha256}: fetch "
            "that version (snapshot.debian.org has all), or name the new one."
        )
    if int(size) > MOST_BYTES:
        sys.exit(f"corpus.py: {uri} has {int(size):,} bytes, more than the {MOST_BYTES:,} allowed.")
    subprocess.run([*apt, name], cwd=folder, check=True)
    deb = folder / Path(file).name
    if why := why_wrong(deb, sha256):
        deb.unlink(missing_ok=True)
        sys.exit(f"corpus.py: {uri} {why}: it was thrown away.")
    return deb


def why_wrong(deb: Path, sha256: str) -> str | None:
    """Why a file is not the one with this digest; None where it is."""
    if not deb.is_file():
        return "was not fetched"
    if deb.stat().st_size > MOST_BYTES:
        return f"has more than {MOST_BYTES:,} bytes"
    actual = hashlib.sha256(deb.read_bytes()).hexdigest()
    return None if actual == sha256 else f"came with the sha256 {actual} instead of {sha256}"


def keep(paragraph: str, minimum: int, letters: float) -> bool:
    """Is this paragraph prose: long enough and mostly letters?"""
    return len(paragraph) >= minimum and sum(c.isalpha() for c in paragraph) >= letters * len(
        paragraph
    )


def encode(text: str) -> np.ndarray:
    """Characters to token numbers, uint8."""
    table = np.zeros(128, np.uint8)
    for number, char in enumerate(ALPHABET):
        table[ord(char)] = number
    return table[np.frombuffer(text.encode("ascii"), np.uint8)]


def build(settings: dict, debs: Path, out: Path) -> dict:
    """Write train.bin and val.bin (uint8 tokens) into `out`; return the corpus facts."""
    facts = fetch(settings["packages"], debs)
    seen: set[bytes] = set()
    documents: list[str] = []
    for fact in facts:
        name = str(fact["package"])
        read = kept = duplicate = short = 0
        for document in READERS[name](debs / name):
            parts = []
            for paragraph in document:
                paragraph = to_ascii(paragraph)
                read += 1
                if not keep(
                    paragraph, settings["min_paragraph_chars"], settings["min_letter_share"]
                ):
                    short += 1
                    continue
                # Case and punctuation do not count: dictionaries that quote alike are caught.
                key = hashlib.sha1(
                    re.sub(r"[^a-z]", "", paragraph.lower()).encode(), usedforsecurity=False
                ).digest()
                if key in seen:
                    duplicate += 1
                    continue
                seen.add(key)
                parts.append(paragraph)
            if parts:
                documents.append("\n".join(parts) + "\n\n")
                kept += sum(map(len, parts))
        fact |= {
            "paragraphs": read,
            "dropped_short_or_not_prose": short,
            "dropped_duplicate": duplicate,
            "characters_kept": kept,
        }
    random.Random(settings["seed"]).shuffle(documents)
    size, cut = 0, 0
    while size < settings["val_tokens"]:
        size += len(documents[cut])
        cut += 1
    out.mkdir(parents=True, exist_ok=True)
    splits = {"val": documents[:cut], "train": documents[cut:]}
    result: dict = {"packages": facts, "vocab": VOCAB, "seed": settings["seed"]}
    for split, docs in splits.items():
        tokens = encode("".join(docs))
        tokens.tofile(out / f"{split}.bin")
        result[split] = {
            "documents": len(docs),
            "tokens": int(tokens.size),
            "sha256": hashlib.sha256(tokens.tobytes()).hexdigest(),
        }
    return result


def main() -> None:
    """Command line: corpus.py CONFIG DEBS OUT FACTS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("debs", type=Path, help="where the packages are kept")
    parser.add_argument("out", type=Path, help="where train.bin and val.bin go")
    parser.add_argument("facts", type=Path, help="JSON: packages, sizes and digests")
    args = parser.parse_args()
    settings = yaml.safe_load(args.config.read_text())["corpus"]
    facts = build(settings, args.debs, args.out)
    args.facts.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
