"""Scripts of jobs, run by forks of a process that has loaded the packages which most of them load.

Loading pandas, SciPy and Matplotlib takes longer than the work of most jobs of a small study, and
tests run hundreds. Nothing is shared between jobs: each is a fresh fork of a process that has
imported packages of others, none of ours, and done nothing else. `command` takes the place of the
Python that Snakemake starts scripts with; run as a program this module is that command.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys

# What most scripts load; importing them starts no threads, which a fork would lose.
PACKAGES = (
    *("numpy", "pandas", "pyarrow.compute", "pyarrow.parquet", "yaml", "jinja2", "PIL.Image"),
    *(f"scipy.{part}" for part in ("ndimage", "optimize", "spatial", "special", "stats")),
    *(f"matplotlib.{part}" for part in ("figure", "legend", "style", "ticker")),
    *(f"matplotlib.backends.backend_{kind}" for kind in ("agg", "pdf", "svg")),
    *("mpl_toolkits.mplot3d", "snakemake.script"),
)


def command(address: str) -> str:
    """What starts a script as `python` does, by the process that listens at `address`."""
    # Python's own modules do for it, so that it starts at once.
    return f"{sys.executable} -I -S {__file__} {address}"


def start(address: str) -> int:
    """Fork the process that listens; it ends with the last holder of the descriptor returned."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(reader)
        return writer
    os.close(writer)
    _listen(address, reader)
    os._exit(0)


def _listen(address: str, reader: int) -> None:
    import gc
    import importlib

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        for package in PACKAGES:
            importlib.import_module(package)
        gc.freeze()
        while reader not in select.select([listener, reader], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                _see_through(connection)
                os._exit(0)
            connection.close()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _see_through(connection: socket.socket) -> None:
    """Run the script that is asked for, in a fork, and tell how it ended."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    size, request = int.from_bytes(head, "big"), b""
    while len(request) < size:
        request += connection.recv(1 << 16)
    child = os.fork()
    if child == 0:
        connection.close()
        _run(streams, *json.loads(request))
    _, status = os.waitpid(child, 0)
    connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))


def _run(
    streams: list[int], group: int, script: str, folder: str, environment: dict[str, str]
) -> None:
    """Be a Python that was started with `script` in a process group; does not return."""
    import atexit
    import time
    import traceback
    import types
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    if group != os.getpgrp():
        # What is sent to the group reaches it, as any process that was started there.
        os.setpgid(0, group)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    ours = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [os.path.dirname(script), *ours, *sys.path[1:]]  # noqa: PTH120
    sys.argv, sys.orig_argv = [script], [sys.executable, script]
    main = types.ModuleType("__main__")
    main.__file__ = script
    sys.modules["__main__"] = main
    code: object = None
    try:
        # As Python does at its start, if the checkout has one.
        custom = PathFinder.find_spec("sitecustomize", ours)
        if custom is not None and custom.loader is not None:
            custom.loader.exec_module(module_from_spec(custom))
        with open(script, "rb") as stream:  # noqa: PTH123
            text = stream.read()
        exec(compile(text, script, "exec"), main.__dict__)  # noqa: S102
    except SystemExit as end:
        code = end.code
    except BaseException:
        code = traceback.format_exc()
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
    # Taking apart all that was loaded would take longer than most jobs.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _ask(address: str, script: str) -> None:
    """Have a script run and end as it ends."""
    ends = (signal.SIGINT, signal.SIGTERM)
    for number in ends:
        # Who sends them to the group means the script, which may have to tidy up.
        signal.signal(number, signal.SIG_IGN)
    there = os.getcwd()  # noqa: PTH109
    request = json.dumps([os.getpgrp(), script, there, dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(request)
        answer = server.recv(4)
    code = int.from_bytes(answer, "big", signed=True) if answer else 1
    if code < 0:
        if -code in ends:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    _ask(*sys.argv[1:])
