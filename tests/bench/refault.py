#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Where the instructions of a re-fault of a resident 2M block are.

Runs in a guest under -icount:

	scripts/guest --icount --devices none --file tests/bench/refault.py -- python3 refault.py [read|write]

Blocks that are in memory but unmapped by MADV_DONTNEED are touched again, on
kvlift and on tmpfs with huge=always. The function_graph tracer shows once which
functions that takes; each is then measured alone, so that the tracer adds the same
few instructions to each call and nothing to what it calls. These are taken off:
they are what an empty function of ours takes (kvl_map_pages). A row is a function:
calls in a fault, and the instructions of these calls less those of functions that
have rows themselves. What cannot be traced or is inlined is in its caller.
"""
import mmap
import os
import re
import statistics
import subprocess
import sys

TRACING = "/sys/kernel/tracing/"
BLOCK, NR, ROUNDS = 2 << 20, 16, 4
ROOTS = "lock_vma_under_rcu", "handle_mm_fault"
LINE = re.compile(r"^ *\d+\) (?:[$@*#!+] *)?(?: *([\d.]+) us)? *\|  ( *)(?:([\w.]+)(?: \[\w+\])?\(\)|\})")


def put(name, text):
    with open(TRACING + name, "w") as f:
        f.write(text + "\n")


def trace(area, write):
    """What the tracer says of the faults of a round or some."""
    put("trace", "")
    for _ in range(ROUNDS):
        area.madvise(mmap.MADV_DONTNEED)
        put("tracing_on", "1")
        for at in range(0, NR * BLOCK, BLOCK):
            if write:
                area[at] = 1
            else:
                area[at]
        put("tracing_on", "0")
    with open(TRACING + "trace") as f:
        return [LINE.match(line) for line in f if "|" in line]


def tree(area, write):
    """(caller, function) -> calls per fault."""
    put("set_ftrace_filter", "")
    put("set_graph_function", "\n".join(ROOTS))
    calls, stack = {}, []
    for m in trace(area, write):
        if not m:
            continue
        depth, name = len(m[2]) // 2, m[3]
        del stack[depth:]
        if not name:
            continue
        key = stack[-1] if stack else None, name
        if key[0] or name in ROOTS:
            calls[key] = calls.get(key, 0) + 1
        stack.append(name)
    put("set_graph_function", "")
    # What is not in every second fault is an interrupt's or somebody else's.
    return {k: n / NR / ROUNDS for k, n in calls.items() if n * 2 > NR * ROUNDS}


def alone(area, write, function):
    """ns of a call, tracer included."""
    put("set_ftrace_filter", function)
    ns = [float(m[1]) * 1000 for m in trace(area, write) if m and m[1]]
    return statistics.median(ns) if ns else 0


def measure(directory, write):
    fd = os.open(directory + "/f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, NR * BLOCK)
    area = mmap.mmap(fd, NR * BLOCK)
    for at in range(0, NR * BLOCK, 4096):
        area[at] = 1
    calls = tree(area, write)
    names = sorted({f for _, f in calls})
    each = {f: alone(area, write, f) for f in names}
    area.close()
    os.close(fd)
    return calls, each


def own(calls, each, empty):
    """function -> (calls, instructions that are its own), per fault."""
    total = {}
    for (_, f), n in calls.items():
        total[f] = total.get(f, 0) + n
    cost = {f: n * (each[f] - empty) for f, n in total.items()}
    mine = dict(cost)
    for (caller, f), n in calls.items():
        if caller in mine:
            mine[caller] -= n * (each[f] - empty)
    return total, mine


def main():
    write = sys.argv[1:] == ["write"]
    subprocess.run(["kvlift-load"], check=True)
    for d in "/mnt/kv", "/mnt/tmpfs":
        os.makedirs(d, exist_ok=True)
    subprocess.run(["mount", "-t", "kvlift", "-o", f"block=2M,dram={4 * NR}M", "none", "/mnt/kv"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always", "none", "/mnt/tmpfs"], check=True)
    subprocess.run(["sleep", "3"], check=True)
    put("current_tracer", "nop")
    put("tracing_on", "0")
    put("current_tracer", "function_graph")
    ours, theirs = (measure(d, write) for d in ("/mnt/kv", "/mnt/tmpfs"))
    put("current_tracer", "nop")
    put("set_ftrace_filter", "")
    empty = ours[1].get("kvl_map_pages") or min(ours[1].values())
    n1, own1 = own(*ours, empty)
    n2, own2 = own(*theirs, empty)
    print(f"{'function':36} {'calls':>6} {'instr':>7} {'calls':>6} {'instr':>7} {'more':>7}")
    print(f"{'':36} {'kvlift':>14} {'tmpfs':>14}")
    for f in sorted(own1.keys() | own2.keys(), key=lambda f: own2.get(f, 0) - own1.get(f, 0)):
        a, b = own1.get(f, 0), own2.get(f, 0)
        print(f"{f:36} {n1.get(f, 0):6.2f} {a:7.0f} {n2.get(f, 0):6.2f} {b:7.0f} {a - b:+7.0f}")
    a, b = sum(own1.values()), sum(own2.values())
    print(f"{'all':36} {'':6} {a:7.0f} {'':6} {b:7.0f} {a - b:+7.0f}")
    print(f"The tracer's own, taken off each call: {empty:.0f}")
    for d in "/mnt/kv", "/mnt/tmpfs":
        subprocess.run(["umount", d], check=True)


main()
