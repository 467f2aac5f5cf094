"""Jobs as forks of a process that has loaded the packages which most of them load.

Loading pandas, SciPy and Matplotlib takes longer than the work of most jobs of a small study.
Nothing is shared between jobs: each is a fresh fork of a process that has imported packages of
others and the modules of ours that it was told, and done nothing else. `command` takes the place of
the Python that Snakemake starts scripts with (job_client.py); run as a program this module is the
process that forks.

A fork has its own process group, and its client sends on what it gets. A client that is killed
takes its fork with it, and so does this process, which ends once whoever started it has ended and
no job is left.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import marshal
import os
import secrets
import select
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
import traceback
import types
from collections.abc import Callable, Collection
from pathlib import Path

from running.job_client import address, same_user

PACKAGES = (
    *("numpy", "pandas", "pyarrow.compute", "pyarrow.dataset", "pyarrow.parquet", "yaml"),
    *("snakemake.script", "jinja2", "PIL.Image", "tomllib", "mpl_toolkits.mplot3d"),
    *(f"scipy.{part}" for part in ("optimize", "special", "ndimage")),
    *(f"pydantic.{part}" for part in ("main", "fields", "functional_validators", "type_adapter")),
    *(f"matplotlib.{part}" for part in ("figure", "legend", "style", "ticker")),
    *(f"matplotlib.backends.backend_{kind}" for kind in ("agg", "pdf", "svg")),
)
"""What most jobs load. The one thread that these start is that of pyarrow's jemalloc, which sees to
forks itself."""

FIRST = tuple(p for p in PACKAGES if p.partition(".")[0] in ("numpy", "pandas", "pyarrow", "yaml"))
"""Those that jobs of every stage load."""

FOR_JOBS = {
    # BLAS threads that spin on tiny matrices cost three times the CPU.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    # Bytes up to which glibc keeps what arrays give back, instead of having the system clear it
    # anew for the next one: half the CPU of the envelope's resamples.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 27),
}
"""What is set for every job."""

DEATH_SIGNAL = 1
"""Of Linux's prctl: which signal a process gets when its parent ends."""


def works_here() -> bool:
    """Whether this system has what it takes."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def command(name: str, python: str = sys.executable) -> str:
    """What starts a script as `python` does, in a shell, by the server of this name."""
    client = str(Path(__file__).with_name("job_client.py"))
    return shlex.join([python, "-I", "-S", client, name])


def start(
    python: str = sys.executable,
    packages: Collection[str] | None = None,
    modules: Collection[str] = (),
) -> str:
    """Start a server, which ends with this process; its name.

    It loads those of PACKAGES that belong to `packages`, or all, and then the `modules` of ours,
    which only jobs with the PYTHONPATH of this process find loaded.
    """
    return _Started(python, _names(packages, modules)).name


def prepare(python: str = sys.executable) -> None:
    """Start a server that loads FIRST, to be named and told the rest by `start_prepared`."""
    _prepared.append(_Started(python, b""))


def start_prepared(
    python: str = sys.executable,
    packages: Collection[str] | None = None,
    modules: Collection[str] = (),
) -> str:
    """As `start`, by the server that was prepared, where there is one."""
    if not _prepared:
        return start(python, packages, modules)
    started = _prepared.pop()
    with contextlib.suppress(OSError):  # killed: its jobs do without
        started.life.sendall(_names(packages, modules))
    return started.name


class _Started:
    """A server: its name, and the socket by which it lives and is told what to load."""

    def __init__(self, python: str, names: bytes) -> None:
        self.name = secrets.token_hex(16)
        listener = socket.socket(socket.AF_UNIX)
        # Bound here, so that a job may come while packages are still loaded.
        listener.bind(address(self.name))
        listener.listen(128)
        life, self.life = socket.socketpair()
        self.life.sendall(names)
        _kept.append(self.life)
        with life, listener:
            subprocess.Popen(  # noqa: S603 - this file
                [python, __file__, str(listener.fileno()), str(life.fileno())],
                pass_fds=[listener.fileno(), life.fileno()],
                env={**os.environ, **FOR_JOBS},
            )


def _names(packages: Collection[str] | None, modules: Collection[str]) -> bytes:
    first = [p for p in PACKAGES if packages is None or p.partition(".")[0] in packages]
    names = marshal.dumps([first, list(modules)])
    return len(names).to_bytes(8, "big") + names


_prepared: list[_Started] = []
_kept: list[socket.socket] = []


def end() -> None:
    """Let the servers that this process has started end once their jobs have."""
    for life in _kept:
        life.close()
    _kept.clear()
    _prepared.clear()


class Server:
    """Forks a Python for every script that a client asks for, and tells each how its own ended."""

    def __init__(self, listener: socket.socket, life: socket.socket) -> None:
        import ctypes

        self.prctl = ctypes.CDLL(None).prctl
        self.path = os.environ.get("PYTHONPATH", "")
        self.modules: list[str] = []  # of ours, loaded from there
        own = self.path.split(os.pathsep)
        self.own = [str(Path(path).resolve()) for path in own if path]
        self.rest = [path for path in sys.path[1:] if str(Path(path).resolve()) not in self.own]
        # What Python or whoever started it set; a job has the same.
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self.handlers = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            # Sent to a whole group, they are meant for its jobs and what started them.
            signal.signal(number, signal.SIG_IGN)
        self.listener, self.life = listener, life
        self.jobs: dict[int, tuple[int, socket.socket]] = {}  # by process: its end, its client
        self.selector = selectors.DefaultSelector()
        self.watch(listener.fileno(), self.accept)
        self.watch(life.fileno(), self.stop_listening)

    def load(self, modules: Collection[str]) -> None:
        """Import modules of ours, but for those that cannot be: the job that needs one says why.

        What a module does in its `before_jobs` is done for all jobs.
        """
        others = set(sys.modules)
        folder = sys.path.pop(0)  # of this file: no job has it
        for module in modules:
            with contextlib.suppress(Exception):
                loaded = importlib.import_module(module)
                getattr(loaded, "before_jobs", int)()
        sys.path.insert(0, folder)
        self.modules = [name for name in sys.modules if name not in others]

    def answer(self, seconds: float | None) -> bool:
        """Do what is due, after waiting so long at most; whether there may be more to do."""
        if not self.selector.get_map():
            return False
        for key, _ in self.selector.select(seconds):
            # What came first may have ended what comes later.
            if self.selector.get_map().get(key.fd) == key:
                key.data()
        return True

    def watch(self, number: int, then: Callable[[], None]) -> None:
        """Have something done once a descriptor can be read."""
        self.selector.register(number, selectors.EVENT_READ, then)

    def stop_listening(self) -> None:
        """Whoever started this process has ended."""
        for source in (self.listener, self.life):
            self.selector.unregister(source.fileno())
            source.close()

    def accept(self) -> None:
        """Fork a Python for a script."""
        connection, _ = self.listener.accept()
        head, streams, _, _ = socket.recv_fds(connection, 8, 3)
        size = int.from_bytes(head, "big")
        request = _received(connection, size)
        if not same_user(connection) or len(streams) < 3 or len(request) < size:
            connection.close()  # killed before it had asked
            return
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.prctl(DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            self.be_python(connection, streams, *marshal.loads(request))  # noqa: S302 - same user
        for stream in streams:
            os.close(stream)
        process = os.pidfd_open(pid)
        self.jobs[pid] = process, connection
        self.watch(process, lambda: self.tell_end(pid))
        self.watch(connection.fileno(), lambda: self.lose_client(pid))
        with contextlib.suppress(OSError):
            connection.sendall(pid.to_bytes(4, "big"))

    def lose_client(self, pid: int) -> None:
        """A client that was killed: its script ends likewise."""
        self.selector.unregister(self.jobs[pid][1].fileno())
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def tell_end(self, pid: int) -> None:
        """Tell a client how its script ended."""
        process, connection = self.jobs.pop(pid)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            connection.sendall(code.to_bytes(4, "big", signed=True))
        for number in (process, connection.fileno()):
            if number in self.selector.get_map():
                self.selector.unregister(number)
        os.close(process)
        connection.close()

    def be_python(
        self,
        client: socket.socket,
        streams: list[int],
        script: str,
        folder: str,
        environment: dict[str, str],
    ) -> None:
        """Be a Python that was started with a script; does not return."""
        gc.enable()
        os.setpgid(0, 0)
        # It may write to a terminal of which another group has the keyboard.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)
        for descriptor, stream in enumerate(streams):
            os.dup2(stream, descriptor)
            os.close(stream)
        self.selector.close()
        for process, connection in self.jobs.values():
            os.close(process)
            connection.close()
        self.listener.close()
        self.life.close()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        if environment.get("PYTHONPATH", "") != self.path:
            for module in self.modules:  # it has its own
                del sys.modules[module]
        paths = environment.get("PYTHONPATH", "").split(os.pathsep)
        sys.path[:] = [str(Path(script).parent), *filter(None, paths), *self.rest]
        sys.argv, sys.orig_argv = [script], [sys.executable, script]
        main = types.ModuleType("__main__")
        main.__file__ = script
        sys.modules["__main__"] = main
        code: object = None
        text = None
        with contextlib.suppress(OSError):
            text = Path(script).read_bytes()
        if _is_gone(client):
            os._exit(1)  # killed while its job waited, and its script deleted
        try:
            _customize([path for path in paths if path and path not in self.own])
            text = Path(script).read_bytes() if text is None else text
            exec(compile(text, script, "exec"), main.__dict__)  # noqa: S102
        except SystemExit as reason:
            code = reason.code
        except BaseException as error:
            # From the script on.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            traceback.print_exception(error)
            code = 1
        if code is not None and not isinstance(code, int):
            print(code, file=sys.stderr)
        # Taking apart all that was loaded would take longer than most jobs.
        atexit._run_exitfuncs()
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 255 if isinstance(code, int) else int(code is not None))


def _customize(paths: list[str]) -> None:
    """Do what Python does at its start if there is a `sitecustomize` in one of these folders."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    custom = PathFinder.find_spec("sitecustomize", paths)
    if custom is not None and custom.loader is not None:
        custom.loader.exec_module(module_from_spec(custom))


def _is_gone(client: socket.socket) -> bool:
    """Whether the process at the other end has ended; it sends nothing once it has asked."""
    try:
        return client.recv(1, socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _received(connection: socket.socket, size: int) -> bytes:
    """So many bytes as they come; fewer where the other end is gone."""
    sent = b""
    while len(sent) < size and (part := connection.recv(size - len(sent))):
        sent += part
    return sent


def serve(listener: int, life: int) -> None:
    """Be a server until whoever started it has ended, and the last job has."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "running"]:
        del sys.modules[module]  # a job loads its own
    # Looking for garbage among all that is loaded takes a quarter of the time of loading it.
    gc.disable()
    sockets = [socket.socket(fileno=number) for number in (listener, life)]
    if not select.select([sockets[1]], [], [], 0)[0]:
        for package in FIRST:
            importlib.import_module(package)
    size = int.from_bytes(_received(sockets[1], 8), "big")
    if not size:
        return  # nothing was to run
    packages, modules = marshal.loads(_received(sockets[1], size))  # noqa: S302 - of who started this
    server = Server(*sockets)
    # Jobs that come meanwhile wait: they would load for themselves what is loaded here anyway.
    for package in packages:
        importlib.import_module(package)
    server.load(modules)
    gc.freeze()
    while server.answer(None):
        pass


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:]))
