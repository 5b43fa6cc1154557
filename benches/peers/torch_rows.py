"""The Python side of the comparison with peers.

Reads lines `ROW SIZE MILLISECONDS` and answers each with the nanoseconds of one call, measured over a
batch of about that time; `probe ROW SIZE` answers with the numbers that the row computes.
"""

import gc
import json
import math
import pathlib
import platform
import sys
import time

import diffusers
import torch
from diffusers.schedulers import scheduling_ddpm

STEPS, MIDDLE, PROBED = 50, 25, 5
SCHEDULERS = json.loads((pathlib.Path(__file__).parent / "schedulers.json").read_text())


def values(shape, which):
    """Numbers between -1 and 1 that both sides can make exactly; `which` gives different ones."""
    i = torch.arange(math.prod(shape))
    return (((i * 37 + which * 101) % 1025).float() / 512 - 1).reshape(shape)


def scheduler(name):
    config = dict(SCHEDULERS[name])
    return getattr(diffusers, config.pop("_class_name"))(**config)


def step(name, shape):
    """A step in the middle of a run of 50, called as the pipelines of diffusers do."""
    solver = scheduler(name)
    solver.set_timesteps(STEPS)
    x, answer = values(shape, 0), values(shape, 1)
    reached = x
    for t in solver.timesteps[:MIDDLE]:
        reached = solver.step(answer, t, reached, return_dict=False)[0]
    t = solver.timesteps[MIDDLE]

    def call():
        # The same step again; multi-step solvers count.
        solver._step_index = MIDDLE
        solver.step(answer, t, x, return_dict=False)

    return call


def hand(shape):
    """DDPM's step as one would write it in torch for speed."""
    x, answer, noise = values(shape, 0), values(shape, 1), torch.empty(shape)
    return lambda: x.mul_(0.99).add_(answer, alpha=-0.01).add_(noise.normal_(), alpha=0.1)


def times(shape):
    return torch.arange(shape[0]) * 7 % 1000


def jump(shape):
    process, x0, t = scheduler("ddpm"), values(shape, 0), times(shape)

    def call():
        noise = torch.randn_like(x0)
        return process.add_noise(x0, noise, t), noise

    return call


def randn(shape):
    # Into an array that is there already, as on the other side.
    x = torch.empty(shape)
    return lambda: torch.randn(shape, out=x)


def table(_):
    return lambda: scheduler("dpmpp-2m").set_timesteps(STEPS)


ROWS = {"hand-ddpm": hand, "jump": jump, "randn": randn, "table": table}


def probe(name, shape):
    if name == "jump":
        return scheduler("ddpm").add_noise(values(shape, 0), values(shape, 1), times(shape))
    solver, x = scheduler(name), values(shape, 0)
    solver.set_timesteps(STEPS)
    # The same noise on both sides.
    drawn, scheduling_ddpm.randn_tensor = scheduling_ddpm.randn_tensor, lambda *_, **__: values(shape, 9)
    for i in range(PROBED):
        x = solver.step(values(shape, i + 1), solver.timesteps[i], x, return_dict=False)[0]
    scheduling_ddpm.randn_tensor = drawn
    return x


def took(call, calls):
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return time.perf_counter_ns() - start


def per_call(call, budget):
    """Nanoseconds of one call, from a batch that fills the budget."""
    calls, spent = 1, took(call, 1)
    # Doubled until it can be timed, which also warms the caches.
    while spent < budget / 20:
        calls *= 2
        spent = took(call, calls)
    calls = math.ceil(calls * budget / spent)
    return took(call, calls) / calls


def answer(line, rows):
    words = line.split()
    if words == ["versions"]:
        return f"torch {torch.__version__}, diffusers {diffusers.__version__}, Python {platform.python_version()}"
    probing = words[0] == "probe"
    name, size = words[1:] if probing else words[:2]
    shape = tuple(int(axis) for axis in size.split("x"))
    if probing:
        return " ".join(map(str, probe(name, shape).flatten().tolist()))
    # `row@2` runs on two threads.
    row, _, threads = name.partition("@")
    torch.set_num_threads(int(threads or 1))
    if any(known[1] != size for known in rows):
        # The arrays of one size at a time.
        rows.clear()
    if (name, size) not in rows:
        rows[name, size] = ROWS[row](shape) if row in ROWS else step(row, shape)
    return per_call(rows[name, size], float(words[2]) * 1e6)


def main():
    gc.disable()
    torch.set_num_threads(1)
    rows = {}
    with torch.no_grad():
        for line in sys.stdin:
            print(answer(line, rows), flush=True)


main()
