#!/usr/bin/env python3
"""Measures waft beside scp, rsync and `cp -r` on this machine, as far as they are installed. See README.md.

    cargo build --release --package waft
    host/benches/compare.py target/release/waft
"""

import argparse
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

KEY_FILES = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def quiet(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)


class Usage:
    """The processor time of processes, and of those for which they waited."""

    def __init__(self):
        self.cpu = 0.0

    def wait(self, process):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.cpu += usage.ru_utime + usage.ru_stime
        return process.returncode

    def run(self, *command, **options):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
        if self.wait(process) != 0:
            sys.exit(f"{command[0]} failed")


class Waft:
    """Two identities on this machine, and both ends of each transfer."""

    def __init__(self, program, place):
        self.program = program
        self.homes = {name: dict(os.environ, WAFT_HOME=str(place / name)) for name in ["anna", "bert"]}
        for name, other, direction in [("anna", "bert", "--send-only"), ("bert", "anna", "--receive-only")]:
            certificate = place / f"{other}.pem"
            quiet(program, "id", "cert", "-o", certificate, env=self.homes[other])
            quiet(program, "trust", "add", other, certificate, direction, env=self.homes[name])

    def version(self):
        return subprocess.check_output([self.program, "--version"], text=True).strip()

    def copy(self, source, target, usage):
        """Puts the folder into `target`, which may hold an earlier one. Returns when it began."""
        address = f"127.0.0.1:{free_port()}"
        receive = [self.program, "receive", "--once", "--no-code", "--sealed-key", "--listen", address]
        receive += ["--merge", "--into", target]
        receiver = subprocess.Popen([*receive, "--json", "--quiet"], env=self.homes["bert"], stdout=subprocess.PIPE, text=True)
        while '"ready"' not in receiver.stdout.readline():
            pass
        started = time.monotonic()
        usage.run(self.program, "send", "--quiet", source, f"bert@{address}", env=self.homes["anna"])
        if usage.wait(receiver) != 0:
            sys.exit("waft receive failed")
        return started


class Ssh:
    """A server of OpenSSH for this user alone, with keys of its own."""

    def __init__(self, place):
        self.place = place
        self.server = shutil.which("sshd") or "/usr/sbin/sshd"
        for name in ["host", "user"]:
            quiet("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name)
        shutil.copy(place / "user.pub", place / "authorized")
        options = [f"-o{name}={value}" for name, value in KEY_FILES.items()]
        self.client = ["-i", str(place / "user"), "-oIdentitiesOnly=yes", *options]

    def serve(self):
        port = free_port()
        options = {"HostKey": self.place / "host", "AuthorizedKeysFile": self.place / "authorized", "StrictModes": "no",
                   "UsePAM": "no", "PidFile": "none", "ListenAddress": f"127.0.0.1:{port}",
                   "Subsystem": "sftp internal-sftp"}
        command = [self.server, "-D", "-f", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return server, port
            time.sleep(0.02)
        sys.exit("sshd does not start")

    def copy(self, command, usage):
        server, port = self.serve()
        started = time.monotonic()
        usage.run(*command(port))
        self.ended = time.monotonic()
        server.terminate()
        usage.wait(server)
        return started


def tools(program, place):
    """The tools that are installed: a name, and a function that copies and returns when it began and ended. First those
    that copy a folder, then those that update one by content."""
    waft = Waft(program, place)

    def local(*command):
        def copy(source, target, usage):
            started = time.monotonic()
            usage.run(*command, f"{source}/.", f"{target}/")
            return started, time.monotonic()
        return copy

    def by_waft(source, target, usage):
        return waft.copy(source, target, usage), time.monotonic()

    found, updating = {waft.version(): by_waft}, {waft.version(): by_waft}
    if shutil.which("ssh-keygen") and (shutil.which("sshd") or Path("/usr/sbin/sshd").exists()):
        ssh = Ssh(place)

        def by_scp(source, target, usage):
            scp = lambda port: ["scp", "-q", "-r", "-p", *ssh.client, "-P", str(port), f"{source}/.", f"127.0.0.1:{target}/"]
            return ssh.copy(scp, usage), ssh.ended

        def by_rsync(*options):
            def copy(source, target, usage):
                shell = lambda port: " ".join(["ssh", *ssh.client, "-p", str(port)])
                rsync = lambda port: ["rsync", *options, "-e", shell(port), f"{source}/", f"127.0.0.1:{target}/"]
                return ssh.copy(rsync, usage), ssh.ended
            return copy

        found["scp"] = by_scp
        if shutil.which("rsync"):
            found["rsync over ssh"] = by_rsync("-a")
            updating["rsync --checksum"] = by_rsync("-a", "--checksum")
    found["cp -r"] = local("cp", "-r", "-p")
    return found, updating


def large_file(folder, scale):
    with open(folder / "noise", "wb") as file:
        generator = random.Random(1)
        for _ in range(int(512 * scale)):
            file.write(generator.randbytes(1 << 20))


def small_files(folder, scale):
    generator = random.Random(2)
    for at in range(int(20_000 * scale)):
        path = folder / f"{at // 200}" / f"{at}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(generator.randbytes(2048))


def change_file(folder, at):
    """Gives one of the small files other content of the same length, each round another file."""
    files = sorted(folder.glob("*/*"))
    files[at * 7919 % len(files)].write_bytes(random.Random(3 + at).randbytes(2048))


def copies(found, source, targets, rounds):
    """Copies `source` with each tool into new folders. Returns the times of each tool."""
    results = {tool: [] for tool in found}
    for at, tool in turns(found, rounds):
        target = targets / f"{at} {tool}"
        target.mkdir(parents=True)
        results[tool].append(measured(found[tool], source, target))
    return results


def updates(found, source, targets, rounds):
    """Copies `source` with each tool, then changes one file in each round, and updates the copies. Returns the times of the
    updates of each tool."""
    results = {tool: [] for tool in found}
    for tool, copy in found.items():
        (targets / tool).mkdir(parents=True)
        measured(copy, source, targets / tool)
    changed = -1
    for at, tool in turns(found, rounds):
        if at > changed:
            changed = at
            change_file(source, at)
            os.sync()
        results[tool].append(measured(found[tool], source, targets / tool))
    for tool in found:
        if subprocess.run(["diff", "-r", source, targets / tool]).returncode != 0:
            sys.exit(f"{tool} left another folder")
    return results


def turns(found, rounds):
    """The rounds, each with every tool. Each begins with another tool, so that all meet the same disturbances."""
    order = list(found)
    for at in range(rounds):
        for tool in order[at % len(order):] + order[:at % len(order)]:
            yield at, tool


def measured(copy, source, target):
    usage = Usage()
    started, ended = copy(source, target, usage)
    os.sync()
    return ended - started, usage.cpu


def show(name, results, rounds):
    first = [statistics.median(values) for values in zip(*next(iter(results.values())))]
    print(f"\n{name}, median of {rounds}:")
    print(f"{'':<16}{'wall s':>9}{'ratio':>8}{'CPU s':>9}{'ratio':>8}")
    for tool, rounds in results.items():
        wall, cpu = [statistics.median(values) for values in zip(*rounds)]
        print(f"{tool:<16}{wall:>9.2f}{wall / first[0]:>8.2f}{cpu:>9.2f}{cpu / first[1]:>8.2f}", flush=True)


WORKLOADS = {
    "large": ("512 MiB in one file", large_file, copies),
    "small": ("20,000 files of 2 KiB", small_files, copies),
    "update": ("20,000 files of 2 KiB, one of them changed", small_files, updates),
}


def describe(place):
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    system = subprocess.check_output(["stat", "-f", "-c", "%T", place], text=True).strip()
    print(f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, files on {system}")
    for command in [["ssh", "-V"], ["rsync", "--version"], ["cp", "--version"]]:
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True)
            print("  " + (said.stdout + said.stderr).splitlines()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("waft", help="the program, built for release")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="part of the full sizes (default: 1)")
    parser.add_argument("--at", help="a folder on the file system to measure (default: the temporary folder)")
    parser.add_argument("--only", choices=WORKLOADS, help="one workload (default: all)")
    arguments = parser.parse_args()
    # Removed only at the end: on ext4, writing many small files after many were deleted takes ten times as long.
    with tempfile.TemporaryDirectory(dir=arguments.at, prefix="waft-compare-") as place:
        place = Path(place)
        describe(place)
        copying, updating = tools(str(Path(arguments.waft).resolve()), place)
        for key, (name, fill, measure) in WORKLOADS.items():
            if arguments.only not in (None, key):
                continue
            source = place / "sources" / key
            source.mkdir(parents=True)
            fill(source, arguments.scale)
            os.sync()
            found = updating if measure is updates else copying
            show(name, measure(found, source, place / "targets" / key, arguments.rounds), arguments.rounds)


if __name__ == "__main__":
    main()
