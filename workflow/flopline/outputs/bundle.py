"""A zip that a reviewer can open and check: the same bytes for the same files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pandas as pd
import yaml
from markupsafe import escape

from flopline.documents import ProvenanceJson
from flopline.numbers import count
from flopline.outputs.tex import text
from flopline.report.html_tables import without_formulas
from flopline.study_document import StudyDocument

SUMS: Final = "SHA256SUMS"
README: Final = "README.txt"
ELSEWHERE: Final = "/path/to"
"""What stands for a folder of the machine that the study ran on."""

TEXTS: Final = frozenset({".csv", ".html", ".json", ".txt", ".tex", ".bib", ".yaml", ".svg"})
PACKED: Final = frozenset({".png", ".pdf"})
"""Those that are packed by themselves: to pack them once more takes most of the time."""
_SAVED: Final = re.compile(rb"(data:text/[^,]*;base64,)([A-Za-z0-9+/]+=*)")
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644
_UNIX: Final = 3


def pack(
    study: StudyDocument,
    files: Mapping[str, bytes],
    runs: pd.DataFrame,
    dropped: pd.DataFrame,
    provenance: ProvenanceJson,
    decision: Iterable[str],
    folders: Sequence[str],
) -> tuple[bytes, int]:
    """The zip of a study, and how many files are in it.

    study: as loaded, and `synthetic`; files: results by their path in the zip; runs, dropped:
    tables with the columns of schema.RUNS and schema.DROPPED; provenance: as in ReportInputs;
    decision: the decision in lines of text; folders: those of this machine, as `folders_of` says.

    Returns the bytes of the zip and the count.
    """
    tables = {"runs": runs.assign(synthetic=study["synthetic"]), "dropped": dropped}
    made = {
        **files,
        **{
            f"data/{name}.csv": without_formulas(table)
            .to_csv(index=False, lineterminator="\n")
            .encode()
            for name, table in tables.items()
        },
        "study.yaml": study_file(study).encode(),
    }
    clean, changed = without_folders(made, folders)
    words = readme(study, clean, provenance, decision, changed)
    return review_zip(f"{study['name']}-review", clean, words), len(clean) + 2


def review_zip(name: str, files: Mapping[str, bytes], readme: str) -> bytes:
    """`files` by their path, `readme` and the SHA-256 of each as a zip, below one folder `name`.

    Names are sorted, times and permissions the same for all, so that equal files give equal bytes.
    """
    content = {**files, README: readme.encode()}
    content[SUMS] = sums(content).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compresslevel=6) as archive:
        for path in sorted(content):
            entry = zipfile.ZipInfo(f"{name}/{path}", _DATE)
            packed = Path(path).suffix in PACKED
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.create_system = _UNIX
            entry.external_attr = _MODE << 16
            archive.writestr(entry, content[path])
    return stream.getvalue()


def sums(files: Mapping[str, bytes]) -> str:
    """The digests of files in the form that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))


def study_file(study: StudyDocument) -> str:
    """A study as loaded, every default filled in, as a study file that gives the same study."""
    own = {key: value for key, value in study.items() if key not in ("name", "file", "synthetic")}
    head = "# The study with every option as it was used, defaults filled in.\n"
    return head + yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=100)


def folders_of(study: StudyDocument, here: Path, home: Path) -> list[str]:
    """Folders of this machine that results may name: where it runs, and those of sources.

    Of a source's path that is absolute it is the folder above the file or the first wildcard.
    Longest first, so that the longest is taken out.
    """
    places = {str(here), str(home)}
    for path in _paths({"file": study["file"], "source": study["source"]}):
        if path.startswith("/"):
            places.add(re.split(r"[*?\[{]", path)[0].rpartition("/")[0])
    return sorted((place for place in places if len(place) > 1), key=lambda p: (-len(p), p))


def without_folders(
    files: Mapping[str, bytes], folders: Sequence[str]
) -> tuple[dict[str, bytes], list[str]]:
    """The files with `/path/to` for these folders in every text, and the paths of those changed.

    The files that a page offers to save, as data URIs, are texts too.
    """
    forms = [form.encode() for folder in folders for form in dict.fromkeys(_forms(folder))]
    # YAML folds long lines at spaces.
    written = b"|".join(re.escape(form).replace(rb"\ ", rb"\s+") for form in forms)
    # A longer name that begins or ends like a folder is another folder.
    named = re.compile(rb"(?<![\w.*-])(?:" + written + rb")(?![\w.-])")

    def cleaned(text: bytes) -> bytes:
        return named.sub(ELSEWHERE.encode(), text)

    def saved(link: re.Match[bytes]) -> bytes:
        text = base64.b64decode(link[2])
        changed = cleaned(text)
        return link[0] if changed == text else link[1] + base64.b64encode(changed)

    out, changed = {}, []
    for path, content in files.items():
        is_text = forms and PurePosixPath(path).suffix in TEXTS
        out[path] = _SAVED.sub(saved, cleaned(content)) if is_text else content
        changed += [path] * (out[path] != content)
    return out, changed


def readme(
    study: StudyDocument,
    files: Mapping[str, bytes],
    provenance: ProvenanceJson,
    decision: Iterable[str],
    changed: Sequence[str],
) -> str:
    """What is what, the decision in words, how to remake it, versions and licence, as text.

    `decision` are lines that end on the console; `provenance` is that of ReportInputs.

    Returns the text of README.txt in the zip.
    """
    name = study["name"]
    about = [(path, words) for path, words in _ABOUT if any(p.startswith(path) for p in files)]
    width = max(len(path) for path, _ in about)
    what = [f"  {path:<{width}}  {words}" for path, words in about]
    size = sum(len(content) for content in files.values())
    inputs = provenance["files"]
    versions = [f"  {package} {version}" for package, version in provenance["versions"].items()]
    parts = [
        [str(study["title"]), "=" * len(str(study["title"]))],
        ["SYNTHETIC DATA: the runs of this study were simulated, not trained."]
        if study["synthetic"]
        else [],
        list(decision),
        [f"What is what ({count(len(files) + 2, 'file')}, {count(size, 'byte')})", *what],
        [
            "Check the files",
            f"  sha256sum --check {SUMS}",
        ],
        [
            "Make it again",
            "  In a checkout of Flopline:",
            f"  cp study.yaml config/studies/{name}.yaml",
            f"  make STUDY={name}     (or: snakemake --cores all --config study={name})",
            *(
                [
                    f"  The raw logs are not enclosed: the report lists all {count(len(inputs))} "
                    "input files with",
                    "  their SHA-256, and study.yaml says where they are looked for.",
                ]
                if inputs
                else ["  It draws the simulated runs anew, the same to the last byte."]
            ),
            "  With the same input, versions and seeds all numbers come out the same.",
        ],
        [
            f"  {ELSEWHERE} stands for a folder of the machine where this was made, in:",
            *[f"    {path}" for path in changed],
        ]
        if changed
        else [],
        ["Made with", *versions],
        [
            "Seeds",
            *[f"  {what}: {seed}" for what, seed in provenance["seeds"].items()],
        ],
        [
            "Licence",
            "  Flopline is under the MIT licence. It claims nothing on what it makes: the logs,",
            "  numbers and figures here belong to those who made the study; ask them for terms.",
        ],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


_ABOUT: Final = (
    ("report.html", "the report: open it in any browser, it needs no network"),
    ("appendix.html", "behind the report: all other figures, every table, methods, checklist"),
    ("decision.csv", "every law and estimator at every target, with 80 and 95 % intervals"),
    ("latex/", "the tables for a paper; tables.tex shows them all"),
    ("figures/", "every figure as PDF and PNG, a folder per family"),
    ("fits/", "every fit as JSON: parameters, intervals, settings, what certifies it"),
    ("audit/", "what the audits found, by family, and the law of the form that they chose"),
    ("data/runs.csv", "every run after cleaning, with its status and the reason for it"),
    ("data/dropped.csv", "every row of the logs that was left out, with its reason and line"),
    ("methods/", "the methods in words: text, and for a paper LaTeX (natbib) and BibTeX"),
    ("study.yaml", "the study and every option, as used"),
)


def _paths(value: Any, key: str = "") -> Iterator[str]:
    """Every path in a source, by the keys that hold one."""
    if isinstance(value, str):
        if key in ("file", "paths", "path", "table"):
            yield value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _paths(part, str(name))
    elif isinstance(value, Sequence):
        for part in value:
            yield from _paths(part, key)


def _forms(folder: str) -> Iterator[str]:
    """A folder as text, JSON, YAML and LaTeX write it, and each of these in HTML."""
    for form in (folder, json.dumps(folder)[1:-1], folder.replace("'", "''"), text(folder)):
        yield form
        yield str(escape(form))
