"""The commit that a page names: of what it holds, and what it does not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from flopline.report.provenance import commit

GIT = shutil.which("git")


@pytest.mark.skipif(GIT is None, reason="needs git")
def test_a_commit_that_lacks_the_study_file_says_so(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run([str(GIT), "-C", str(tmp_path), *names, *arguments], check=True)

    study = tmp_path / "mine.yaml"
    study.write_text("title: mine\n")
    (tmp_path / "code.py").touch()
    assert commit(tmp_path, "mine.yaml") == ""
    git("init", "-q")
    git("add", "code.py")
    git("commit", "-q", "-m", "code")
    for path in ("mine.yaml", str(study), "../elsewhere.yaml"):
        made = commit(tmp_path, path)
        assert made.endswith(f", which does not hold the study file {path}"), made
    git("add", "mine.yaml")
    git("commit", "-q", "-m", "study")
    for path in ("mine.yaml", str(study)):
        assert " " not in commit(tmp_path, path)
    study.write_text("title: changed\n")
    assert commit(tmp_path, "mine.yaml").endswith(", with changes")
