"""Runs one program shut off from the machine: a script of its own, started by `sandbox`, with nothing but Python's library.

In namespaces of its own the program sees no network, no process but its own, and of the file system Python and the system's
libraries, read-only, beside an empty folder in memory that ends with it. What it starts ends with it too: the first process
of a process namespace takes all others along. It has no privileges, no environment, and little time and memory.
Reads {"program": ..., "mark": ..., "limits": {...}} from its input and answers with the mark where the program came to its end.
"""

import ctypes
import json
import os
import resource
import signal
import sys

NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000  # user mount pid net ipc uts
NOSUID, NODEV, BIND, RECURSIVE = 2, 4, 4096, 16384
MOUNT_SETATTR, AT_RECURSIVE, READ_ONLY = 442, 0x8000, 1
DIES_WITH_PARENT, NO_NEW_PRIVILEGES = 1, 38  # prctl
SEEN = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/nix/store", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")
OWN = 1000  # user and group inside: not 0, so that an exec leaves no privilege
ANSWER = 3
LIBC = ctypes.CDLL(None, use_errno=True)

RUNNER = """
import json, os, sys

def refuse(event, args):
    if event.split(".")[0] in ("socket", "ctypes") or event in (
        "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system", "subprocess.Popen", "pty.spawn"
    ):
        raise PermissionError(event + " is not allowed")

def run():
    asked = json.load(sys.stdin)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(1, 2)
    sys.addaudithook(refuse)
    exec(asked["program"], {})
    sys.stdout.flush()
    os.write(3, asked["mark"].encode())

run()
"""


def call(name: str, *given: object) -> None:
    """A function of the C library; what it complains of is an OSError."""
    if getattr(LIBC, name)(*given) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    words = [None if word is None else word.encode() for word in (source, target, kind, options)]
    call("mount", words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])


def enter() -> None:
    """New namespaces, in which this user is one without privileges outside."""
    user, group = os.geteuid(), os.getegid()
    call("prctl", DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    call("unshare", NAMESPACES)
    for name, words in (("setgroups", "deny"), ("uid_map", f"{OWN} {user} 1"), ("gid_map", f"{OWN} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(words)


def furnish(root: str, size: int) -> None:
    """A file system of what Python needs, read-only, and an empty folder in memory to work in."""
    mount("tmpfs", root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    for path in dict.fromkeys((*SEEN, sys.base_prefix, sys.base_exec_prefix)):
        inside = root + path
        if os.path.islink(path):
            os.symlink(os.readlink(path), inside)
        elif os.path.exists(path) and not os.path.exists(inside):
            os.makedirs(os.path.dirname(inside) if os.path.isfile(path) or path.startswith("/dev") else inside, exist_ok=True)
            if not os.path.isdir(path):
                open(inside, "x").close()
            mount(path, inside, None, BIND | RECURSIVE)
    os.mkdir(f"{root}/.scratch")
    read_only = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)  # attr_set, attr_clr, propagation, userns_fd
    call("syscall", MOUNT_SETATTR, -100, root.encode(), AT_RECURSIVE, read_only, ctypes.c_size_t(32))
    mount("tmpfs", f"{root}/.scratch", "tmpfs", NOSUID | NODEV, f"size={size},mode=755")
    os.chroot(root)
    os.chdir("/.scratch")


def start(limits: dict[str, int]) -> None:
    """Become the program: an interpreter without privileges, environment and packages."""
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    os.dup2(1, ANSWER)
    said = os.open("/.scratch/.said", os.O_WRONLY | os.O_CREAT, 0o600)
    os.dup2(said, 1)
    os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", RUNNER], {"HOME": "/.scratch", "TMPDIR": "/.scratch"})


def waited(child: int) -> int:
    """How a child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(root: str, limits: dict[str, int]) -> None:
    """Three processes: this one outside, the first one inside, and the program."""
    enter()
    if first := os.fork():
        os._exit(waited(first) != 0)
    call("prctl", DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getpid() != 1:
        raise OSError("no process namespace was made")
    furnish(root, 16 * limits["FSIZE"])
    if program := os.fork():
        os._exit(waited(program) != 0)
    start(limits)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
