"""A small program, run by path in an interpreter of its own: become the server's user, then do one thing.

    python -I -S launcher.py MODE UID GID PARENT exec PROGRAM [ARGUMENT…]
    python -I -S launcher.py MODE UID GID PARENT search FOLDER…

It exists because the alternative, code between fork and exec, is unsafe in a supervisor that has threads. It imports the
standard library only, and everything before the switch of user, because afterwards its own files may be out of reach.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

_SERVER_PROGRAMS = frozenset({"postgres", "initdb"})


def main(arguments: list[str]) -> None:
    """Parse the command line above; the switch of user comes first, the tie to the parent second, the deed last."""
    mode, uid, gid, parent, action, *rest = arguments
    # Root sees into its own user namespaces, and everywhere if it may trace; in containers that forbid tracing, only
    # the server's user sees the server's processes. So both look.
    found = search(rest) if action == "search" else set()
    become(mode, int(uid), int(gid))
    end_with_parent(int(parent))
    if action == "exec":
        os.execv(rest[0], rest)  # noqa: S606 - the exec family is what this program is for
    for pid in found | search(rest):
        sys.stdout.write(f"{pid}\n")


def become(mode: str, uid: int, gid: int) -> None:
    """Give up root in one of the ways that `run_as` explains; `OSError` when the kernel refuses."""
    if mode == "same_user":
        return
    if mode == "user_namespace":
        _enter_user_namespace(uid, gid)
        return
    if mode == "dac_override":
        _kernel("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if mode == "dac_override":
        _keep_only_dac_override()


def end_with_parent(parent: int) -> None:
    """Have the kernel send SIGINT, PostgreSQL's fast and clean shutdown, when the supervisor dies (Linux only).

    The kernel forgets this wish at every change of credentials, so it is made after them; and it cannot notice a
    parent that died before it was made, so that is checked last.
    """
    if sys.platform == "linux":
        _kernel("prctl", _PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("the supervisor is gone")


def search(folders: list[str]) -> set[int]:
    """The pids of server programs that work in one of these folders, as far as this user may see (Linux only).

    Folders are compared by identity, so that links, renames and mounts do not hide a process.
    """
    wanted = set()
    for folder in folders:
        with suppress(FileNotFoundError, PermissionError):
            status = Path(folder).stat()
            wanted.add((status.st_dev, status.st_ino))
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = (entry / "exe").readlink().name.removesuffix(" (deleted)")
            status = (entry / "cwd").stat()
            if program in _SERVER_PROGRAMS and (status.st_dev, status.st_ino) in wanted:
                found.add(int(entry.name))
    return found


def _enter_user_namespace(uid: int, gid: int) -> None:
    """Be `uid` in a new user namespace while the file system still sees root (user_namespaces(7))."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _kernel("unshare", _CLONE_NEWUSER)
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {outer_uid} 1"),
        ("gid_map", f"{gid} {outer_gid} 1"),
    ):
        (Path("/proc/self") / name).write_text(line)


def _keep_only_dac_override() -> None:
    """Keep one capability, through exec, and lose every other (capabilities(7), capset(2))."""
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    effective_permitted_inheritable = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    _kernel("capset", header, effective_permitted_inheritable)
    _kernel("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _kernel(name: str, *arguments: object) -> None:
    """Call a libc function that answers 0, or raise its `OSError`."""
    library = ctypes.CDLL(None, use_errno=True)
    # Variadic prctl reads whole registers: plain Python integers would be passed as 32 bits.
    whole = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments]
    if library[name](*whole) != 0:
        _raise(name, ctypes.get_errno())


def _raise(name: str, number: int) -> NoReturn:
    raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main(sys.argv[1:])
