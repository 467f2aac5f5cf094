"""What Snakemake starts scripts with in place of Python: has a loaded process fork a Python for it.

    python -I -S job_client.py NAME SCRIPT

NAME is that of the process in job_server.py. It ends as the script ends, and what is sent to it is
sent on. Where nobody listens at NAME it becomes a Python of its own, so that a job needs no server.
"""

from __future__ import annotations

# No more than these, and no site: it is to start at once. What `signal` and `socket` add to the
# modules in C that they stand on takes longer than the rest.
import _signal as signal
import _socket as socket
import marshal
import os
import sys

SENT_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGCONT)


def address(name: str) -> str:
    """The socket of a server: it has no file, so that none is left by whatever ends."""
    return f"\0flopline-{name}"


def same_user(connection: socket.socket) -> bool:
    """Whether the process at the other end is one of this user."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder) == os.geteuid()


def run_script(name: str, script: str) -> None:
    """Have a script run by the server of this name, or run it; does not return."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address(name))
    except OSError:
        os.execv(sys.executable, [sys.executable, script])  # noqa: S606
    if not same_user(connection):
        sys.exit(f"flopline: the process at {name} is of another user: start again.")
    early: list[int] = []
    pids: list[int] = []

    def send_on(number: int, _: object) -> None:
        if pids:
            _send(pids[0], number)
        else:
            early.append(number)

    def stop(number: int, _: object) -> None:
        if pids:
            _send(pids[0], signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            # Stopped now, it would not hear of the job, which would go on.
            early.append(number)

    for number in SENT_ON:
        # As with any Python: what is ignored from the start stays so.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, send_on)
    signal.signal(signal.SIGTSTP, stop)
    request = marshal.dumps([script, os.getcwd(), dict(os.environ)])  # noqa: PTH109
    answer = b""
    try:
        size = len(request).to_bytes(8, "big")
        streams = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
        connection.sendmsg([size], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(request)
        answer = connection.recv(4)
        if answer:
            pids.append(int.from_bytes(answer, "big"))
            for missed in early:
                if missed == signal.SIGTSTP:
                    stop(missed, None)
                else:
                    _send(pids[0], missed)
            answer = connection.recv(4)
    except OSError:
        answer = b""
    # A server that was killed takes its jobs with it.
    code = int.from_bytes(answer, "big", signed=True) if answer else -signal.SIGKILL
    if code < 0:
        # End by the signal that ended the script.
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    run_script(*sys.argv[1:])
