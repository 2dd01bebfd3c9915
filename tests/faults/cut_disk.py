"""A small ext4 disk whose power can be cut: an image on a loop device, mounted where only this process sees it.

The cut is ext4's shutdown ioctl without a flush of its log: what was not made durable by then is gone, and everything
after it fails. The mount lives in a mount namespace of this process and the loop device clears itself, so that nothing
is left behind however the process ends. Needs root and loop devices; `why_not` says what is missing.
"""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2
_LOOP_SET_FD, _LOOP_CLR_FD, _LOOP_SET_STATUS64, _LOOP_CTL_GET_FREE = 0x4C00, 0x4C01, 0x4C04, 0x4C82
_LOOP_AUTOCLEAR = 4
# struct loop_info64: five u64, four u32 of which the last are the flags, names and key, two u64.
_LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_SYNC_FILE_RANGE_WRITE_AND_WAIT = 1 | 2 | 4
_ATTEMPTS = 20
# Where file systems are made is not on every path.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """Why power cannot be cut on this machine, None if it can."""
    if sys.platform != "linux":
        return "only Linux has ext4 and its shutdown"
    if os.geteuid() != 0:
        return "only root may mount"
    if not os.access("/dev/loop-control", os.R_OK | os.W_OK):
        return "there is no /dev/loop-control here"
    if "ext4" not in Path("/proc/filesystems").read_text():
        return "this kernel does not have ext4"
    if shutil.which("mkfs.ext4", path=_PATH) is None:
        return "mkfs.ext4 is not installed"
    return None


def leave_mounts_to_this_process() -> None:
    """From here on this process's mounts are its own and end with it; other processes keep theirs."""
    _call("unshare", _CLONE_NEWNS)
    _call("mount", b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)


class CutDisk:
    """The disk, mounted in `folder` whenever its power is on."""

    def __init__(self, loop: Path, folder: Path) -> None:
        """Use `cut_disk`."""
        self._loop = loop
        self.folder = folder

    def power_on(self) -> None:
        """Mount it; after a cut ext4 replays its log."""
        _call("mount", bytes(self._loop), bytes(self.folder), b"ext4", 0, None)

    def write_back(self, path: Path, offset: int, length: int) -> None:
        """Let the kernel bring a part of a file to the disk, as it may at any time, without making it durable."""
        fd = os.open(path, os.O_RDONLY)
        try:
            _call(
                "sync_file_range",
                fd,
                ctypes.c_int64(offset),
                ctypes.c_int64(length),
                _SYNC_FILE_RANGE_WRITE_AND_WAIT,
            )
        finally:
            os.close(fd)

    def cut(self) -> None:
        """Power is gone: nothing reaches the disk from here on."""
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _EXT4_IOC_SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def power_off(self) -> None:
        """Unmount it; every file on it has been closed."""
        _call("umount2", bytes(self.folder), 0)


@contextmanager
def cut_disk(folder: Path, megabytes: int = 16) -> Iterator[CutDisk]:
    """A new file system in an image in `folder`; unmounted and detached at the end of the block, and of the process."""
    image, mounted = folder / "disk.ext4", folder / "disk"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    subprocess.run(
        ["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", str(image)], check=True, env={"PATH": _PATH}
    )
    loop, descriptor = _attach(image)
    disk = CutDisk(loop, mounted)
    try:
        yield disk
    finally:
        with suppress(OSError):
            _call("umount2", bytes(mounted), _MNT_DETACH)
        # It clears itself with its last user.
        os.close(descriptor)


def _attach(image: Path) -> tuple[Path, int]:
    """A free loop device with the image in it, and the descriptor that keeps it attached."""
    for _ in range(_ATTEMPTS):
        with open("/dev/loop-control", "rb") as control:  # noqa: PTH123 - a device
            loop = Path(f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}")
        descriptor = os.open(loop, os.O_RDWR)
        with image.open("r+b") as file:
            try:
                fcntl.ioctl(descriptor, _LOOP_SET_FD, file.fileno())
            except OSError as error:
                os.close(descriptor)
                if error.errno == errno.EBUSY:
                    continue  # somebody else was faster
                raise
        try:
            info = _LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, _LOOP_AUTOCLEAR, b"", b"", b"", 0, 0)
            fcntl.ioctl(descriptor, _LOOP_SET_STATUS64, info)
        except OSError:
            fcntl.ioctl(descriptor, _LOOP_CLR_FD)
            os.close(descriptor)
            raise
        return loop, descriptor
    raise OSError(errno.EBUSY, "no loop device is free")


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
