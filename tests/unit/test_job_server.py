"""Jobs by forks: a script runs, prints, ends and is killed as by a Python of its own."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running import job_client, job_server
from running.digest import Memory, loaded_by
from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not job_server.works_here(), reason="forks as on Linux")

SEEN = """
import gc, json, os, signal, sys
print(json.dumps({
    "collects": gc.isenabled(),
    "argv": sys.argv, "file": __file__, "name": __name__, "path": sys.path, "cwd": os.getcwd(),
    "environment": dict(os.environ), "stdin": sys.stdin.read(),
    "handlers": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
    "ours": sorted(name for name in sys.modules if name.split(".")[0] in ("running", "flopline")),
    "main": sys.modules["__main__"].__file__,
}))
print("a word", file=sys.stderr)
"""

WAITS = """
import os, signal, sys, time
from pathlib import Path
from typing import Any
note = Path(os.environ["NOTE"])
def stop(number, frame):
    note.write_text(f"stopped by {number}")
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
note.write_text(str(os.getpid()))
time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield job_server.start()
    job_server.end()


def words(name: str, script: Path) -> list[str]:
    return [*shlex.split(job_server.command(name)), str(script)]


def written(folder: Path, text: str) -> Path:
    script = folder / "a script.py"
    script.write_text(text)
    return script


def until(reached: Callable[[], Any]) -> Any:
    limit = time.monotonic() + 30
    while not (value := reached()):
        assert time.monotonic() < limit, "not reached in time"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_script_sees_what_it_would_see_in_a_python_of_its_own(
    server: str, tmp_path: Path
) -> None:
    script = written(tmp_path, SEEN)
    extra = {"PYTHONPATH": str(tmp_path / "library"), "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}
    plain, forked = (
        subprocess.run(
            command,
            input="typed",
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **extra},
            check=True,
        )
        for command in ([sys.executable, str(script)], words(server, script))
    )
    wanted, actual = json.loads(plain.stdout), json.loads(forked.stdout)
    assert actual == wanted
    assert actual["ours"] == []
    assert forked.stderr == plain.stderr


@pytest.mark.parametrize(
    ("text", "code", "error"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('one sentence')", 1, "one sentence\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import os; os._exit(7)", 7, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("a b", 1, "SyntaxError: invalid syntax\n"),
    ],
)
def test_it_ends_as_it_would(server: str, tmp_path: Path, text: str, code: int, error: str) -> None:
    done = subprocess.run(
        words(server, written(tmp_path, text)), capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stderr.endswith(error)
    assert bool(done.stderr) == bool(error)


def test_many_at_once_each_get_their_own_end(server: str, tmp_path: Path) -> None:
    script = written(tmp_path, "import os, sys; sys.exit(int(os.environ['CODE']))")
    jobs = [
        subprocess.Popen(words(server, script), env={**os.environ, "CODE": str(code)})
        for code in range(20)
    ]
    assert [job.wait(60) for job in jobs] == list(range(20))


def at_work(command: str, folder: Path) -> tuple[subprocess.Popen[bytes], int, Path]:
    """A job that waits, in a process group of its own: its client, its process and its note."""
    note = folder / "note"
    client = subprocess.Popen(
        [*shlex.split(command), str(written(folder, WAITS))],
        env={**os.environ, "NOTE": str(note)},
        start_new_session=True,
    )
    return client, int(until(lambda: note.exists() and note.read_text())), note


def state_of(pid: int) -> str:
    """The letter that Linux has for what a process does: T for one that is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def waiting(server: str, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A job at work in a process group of its own: its client, its process and its note."""
    client, pid, note = at_work(job_server.command(server), tmp_path)
    yield client, pid, note
    client.kill()
    client.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [os.kill, os.killpg])
def test_a_signal_reaches_the_script_once(
    waiting: tuple[subprocess.Popen[bytes], int, Path],
    number: signal.Signals,
    send: Callable[[int, int], None],
) -> None:
    client, pid, note = waiting
    send(client.pid, number)
    assert client.wait(30) == 130
    assert note.read_text() == f"stopped by {int(number)}"
    until(lambda: not alive(pid))


def test_a_job_stops_and_goes_on_with_its_client(
    waiting: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    client, pid, _ = waiting
    client.send_signal(signal.SIGTSTP)
    until(lambda: state_of(pid) == "T")
    client.send_signal(signal.SIGCONT)
    until(lambda: state_of(pid) != "T")


def test_a_client_that_is_stopped_before_it_knows_its_job_stops_that_too() -> None:
    """On a busy machine the job had begun and went on, though whoever waits for it was stopped."""
    name = f"test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as ends:
        listener.bind(job_client.address(name))
        listener.listen()
        words = shlex.split(job_server.command(name))
        client = subprocess.Popen([*words, "script.py"])
        ends.callback(client.wait)
        ends.callback(client.kill)
        job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        ends.callback(job.wait)
        ends.callback(job.kill)
        connection = ends.enter_context(listener.accept()[0])
        connection.recv(1 << 16)
        client.send_signal(signal.SIGTSTP)
        time.sleep(0.1)
        connection.sendall(job.pid.to_bytes(4, "big"))
        until(lambda: state_of(job.pid) == state_of(client.pid) == "T")
        client.send_signal(signal.SIGCONT)
        until(lambda: "T" not in (state_of(job.pid), state_of(client.pid)))
        connection.sendall((3).to_bytes(4, "big"))
        assert client.wait(30) == 3


def test_a_killed_client_takes_its_job_with_it(
    waiting: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    client, pid, _ = waiting
    client.kill()
    until(lambda: not alive(pid))


def test_a_client_killed_while_its_job_waits_leaves_no_traceback(
    server: str, tmp_path: Path
) -> None:
    # Whoever started the client deletes the script once it has ended, before a busy server forks.
    request = marshal.dumps([str(tmp_path / "deleted.py"), str(tmp_path), dict(os.environ)])
    with socket.socket(socket.AF_UNIX) as client, (tmp_path / "log").open("w+") as log:
        client.connect(job_client.address(server))
        streams = [log.fileno()] * 3
        socket.send_fds(client, [len(request).to_bytes(8, "big") + request], streams)
        client.close()
        # Later clients are served in their turn.
        quick = written(tmp_path, "raise SystemExit(0)")
        assert subprocess.run(words(server, quick), check=False).returncode == 0
        time.sleep(0.2)
        log.seek(0)
        assert log.read() == ""


def test_a_killed_job_ends_its_client_likewise(
    waiting: tuple[subprocess.Popen[bytes], int, Path],
) -> None:
    client, pid, _ = waiting
    os.kill(pid, signal.SIGKILL)
    assert client.wait(30) == -signal.SIGKILL


OWNER = """
import subprocess, sys, time
from running import job_client, job_server
name = job_server.start()
print(job_server.command(name), flush=True)
time.sleep(60)
"""


@pytest.fixture
def owner() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has a server, and what starts jobs by it."""
    workflow = str(Path(job_server.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "PYTHONPATH": workflow},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline()
    process.kill()
    process.wait()


def server_of(command: str) -> int:
    """The process that forks for the clients of a command: the parent of a job."""
    script = "import os; print(os.getppid())"
    done = subprocess.run(
        [*shlex.split(command), "/dev/stdin"], input=script, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return int(done.stdout)


def test_a_server_ends_with_its_last_job_once_its_owner_was_killed(
    owner: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, command = owner
    pid = server_of(command)
    client, _, _ = at_work(command, tmp_path)
    process.kill()
    client.terminate()
    assert client.wait(30) == 130
    until(lambda: not alive(pid))


def test_jobs_of_a_killed_server_end_and_later_ones_need_none(
    owner: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    _, command = owner
    pid = server_of(command)
    client, job, _ = at_work(command, tmp_path)
    os.kill(pid, signal.SIGKILL)
    assert client.wait(30) == -signal.SIGKILL
    until(lambda: not alive(job))
    assert server_of(command) == os.getpid()


def test_an_idle_server_ignores_what_a_terminal_sends_to_all(
    owner: tuple[subprocess.Popen[str], str],
) -> None:
    _, command = owner
    pid = server_of(command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert server_of(command) == pid


def test_who_asks_for_nothing_does_no_harm(server: str, tmp_path: Path) -> None:
    from running.job_client import address

    for part in (b"", bytes(8), (1 << 20).to_bytes(8, "big") + b"cut"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address(server))
            connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            assert select.select([connection], [], [], 30)[0]
    assert subprocess.run(words(server, written(tmp_path, "")), check=True).returncode == 0


def test_modules_of_ours_are_loaded_for_jobs_with_the_same_path_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "ours.py").write_text(
            f"import os\nWHERE, PID = {folder.name!r}, os.getpid()\nREADY = []\n"
            "def before_jobs():\n    READY.append(os.getpid())\n"
        )
    (here / "broken.py").write_text("1 / 0\n")
    script = written(
        tmp_path,
        "import os, ours\nserver = os.getppid()\n"
        "print(ours.WHERE, ours.PID == server, ours.READY == [server])",
    )
    monkeypatch.setenv("PYTHONPATH", f"{here}{os.pathsep}{ROOT / 'workflow'}")
    command = words(job_server.start(packages=(), modules=["broken", "ours"]), script)
    for folder, printed in ((here, "here True True\n"), (there, "there False False\n")):
        done = subprocess.run(
            command,
            env={
                **os.environ,
                "PYTHONPATH": os.environ["PYTHONPATH"].replace(str(here), str(folder)),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == printed


def test_what_jobs_will_load_is_told_by_the_imports_of_their_scripts(tmp_path: Path) -> None:
    library = ROOT / "workflow/flopline"
    script = ROOT / "workflow/scripts/gather.py"
    memory = Memory(tmp_path / "none")
    modules, packages = loaded_by(script, library, memory, ["flopline.laws.isoflop"])
    assert {"flopline.clean.gathering", "flopline.laws.isoflop", "flopline"} <= modules
    assert all(module.partition(".")[0] == "flopline" for module in modules)
    assert "pandas" in packages
    assert "matplotlib" not in packages
