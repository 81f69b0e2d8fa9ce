"""Times a command: wall and CPU seconds of it, and its peak resident memory, from wait4(2)."""

import os
import pathlib
import statistics
import subprocess
import sys

# A child's peak begins at its parent's size, so a small process of its own starts and waits.
WATCH = """
import os, sys, time
started = time.monotonic()
child = os.fork()
if child == 0:
    output = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    finally:
        os._exit(127)
_, status, usage = os.wait4(child, 0)
wall = time.monotonic() - started
code = os.waitstatus_to_exitcode(status)
print(code, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def measure(command, folder, extra_env, log):
    """Runs a command once; fails loudly when it fails."""
    env = {key: value for key, value in os.environ.items() if key != "RUST_BACKTRACE"}
    env.update(extra_env)
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WATCH, str(log), *map(str, command)],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, wall, cpu, peak = ran.stdout.split()
    if code != "0":
        tail = pathlib.Path(log).read_text(errors="replace")[-3000:]
        sys.exit(f"{' '.join(map(str, command))} failed in {folder}:\n{tail}")
    return {"wall": float(wall), "cpu": float(cpu), "peak_mb": float(peak) / 1024}


def median(samples):
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
