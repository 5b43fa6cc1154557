#!/usr/bin/env python3
"""Measures the crate against its peers and prints the table of ratios: `python3 benches/peers/run.py`.

README.md beside this file says how to read it.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

# Nothing is left beside the sources.
sys.dont_write_bytecode = True
from comparisons import WORKS  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROBE_SIZE = "1x4x64x64"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="", help="only rows with one of these, comma-separated, in their name")
    parser.add_argument("--sizes", default="", help="only these sizes, comma-separated")
    parser.add_argument("--rounds", type=int, default=11, help="rounds that medians are taken over (11)")
    parser.add_argument("--ms", type=float, default=40, help="milliseconds of one measurement (40)")
    parser.add_argument("--json", help="write all measurements to this file")
    parser.add_argument("--scratch", default=ROOT / "target" / "peers", help="where to install and build")
    parser.add_argument("--venv", help="an environment with torch and diffusers, in place of its own")
    return parser.parse_args()


def say(text):
    print(text, file=sys.stderr, flush=True)


def environment(**more):
    env = dict(os.environ, **more)
    # Set by hand somewhere, it would slow the peers.
    env.pop("OPENBLAS_CORETYPE", None)
    return env


def python_with_peers(options):
    venv = pathlib.Path(options.venv or pathlib.Path(options.scratch) / "venv")
    python = venv / "bin" / "python"
    if not options.venv and not (venv / "installed").exists():
        say(f"installing torch and diffusers into {venv}")
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--upgrade", "torch", "diffusers", "numpy"]
        subprocess.run(install, check=True, stdout=sys.stderr)
        (venv / "installed").touch()
    return python


def cargo(scratch, *features):
    """Builds the Rust side; gives the path of a copy, which the next build leaves alone."""
    target = pathlib.Path(scratch) / "rust"
    command = ["cargo", "build", "--release", "--manifest-path", HERE / "rust" / "Cargo.toml"]
    command += ["--target-dir", target] + [f"--features={feature}" for feature in features]
    say("building the Rust side" + "".join(f", {feature}" for feature in features))
    subprocess.run(command, check=True, stdout=sys.stderr)
    binary = target / "-".join(["peers", *(feature.replace("/", "-") for feature in features)])
    # Moved into place, since another run may have the old one open.
    shutil.copy(target / "release" / "peers", f"{binary}.new")
    os.replace(f"{binary}.new", binary)
    return binary


class Side:
    """A process that measures its own rows when asked."""

    def __init__(self, command, **more):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment(**more))

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"nothing came back for {words}")
        return answer.strip()

    def probe(self, row):
        return [float(x) for x in self.ask("probe", row, PROBE_SIZE).split()]


def has_rayon():
    return re.search(r"(?m)^rayon\s*=", (ROOT / "Cargo.toml").read_text()) is not None


def sides_for(works, options):
    needed = {work.side for work in works} | {peer.side for work in works for peer in work.peers}
    sides = {}
    if "rust" in needed:
        # One thread for candle too.
        sides["rust"] = Side([cargo(options.scratch)], RAYON_NUM_THREADS="1")
    if "rayon" in needed:
        sides["rayon"] = Side([cargo(options.scratch, "gaussian-diffusion/rayon")])
    if "torch" in needed:
        sides["torch"] = Side([python_with_peers(options), HERE / "torch_rows.py"])
    return sides


def measured(sides, work, size, options):
    """Nanoseconds a call of the work and of its peers, round by round, in an order that rotates."""
    entries = [(work.side, work.row)] + [(peer.side, peer.row) for peer in work.peers]
    samples = {entry: [] for entry in entries}
    for side, row in entries:
        sides[side].ask(row, size, options.ms / 4)
    for i in range(options.rounds):
        turn = i % len(entries)
        for side, row in entries[turn:] + entries[:turn]:
            samples[side, row].append(float(sides[side].ask(row, size, options.ms)))
    return samples


def quartiles(numbers):
    if len(numbers) < 2:
        return [numbers[0]] * 3
    return statistics.quantiles(numbers, n=4, method="inclusive")


def compared(work, place, size, samples):
    """The rows of the table for one work at one size; `place` counts the sizes."""
    ours = samples[work.side, work.row]
    for peer in work.peers:
        theirs = samples[peer.side, peer.row]
        # Of bandwidths, those of the triad's three streams and of ours.
        scale = work.streams / 3 if work.streams else 1
        ratios = [scale * b / a for a, b in zip(ours, theirs)]
        low, ratio, high = quartiles(ratios)
        yield {
            "work": work.name,
            "size": size,
            "against": peer.name,
            "here_ns": statistics.median(ours),
            "there_ns": statistics.median(theirs),
            "ratio": ratio,
            "quartiles": [low, high],
            "asked": peer.asked[place] if peer.asked else None,
            "bandwidth": bool(work.streams),
            "here_samples": ours,
            "there_samples": theirs,
        }


def number(x):
    return f"{x:.0f}" if x >= 99.5 else f"{x:.1f}" if x >= 9.95 else f"{x:.2f}"


def written(row):
    def as_ratio(x):
        return f"{100 * x:.0f} %" if row["bandwidth"] else f"{number(x)}x"

    low, high = map(as_ratio, row["quartiles"])
    asked = row["asked"]
    met = "" if asked is None else "yes" if row["ratio"] >= asked else "**no**"
    cells = [
        row["work"],
        row["size"].replace("x", "×") if row["size"] != "1" else "",
        number(row["here_ns"] / 1e3),
        row["against"],
        number(row["there_ns"] / 1e3),
        as_ratio(row["ratio"]),
        f"{low} to {high}",
        "" if asked is None else as_ratio(asked),
        met,
    ]
    return "| " + " | ".join(cells) + " |"


def probes(sides, works):
    """The largest difference between both sides, relative to the largest number."""
    for work in works:
        if work.probe and "torch" in sides:
            yield work.name, "diffusers", off(sides["rust"].probe(work.probe), sides["torch"].probe(work.probe))
        if work.row == "ddpm" and work.side == "rust":
            ours = sides["rust"].probe("ddpm-end")
            yield "DDPM's last step", "candle-transformers", off(ours[len(ours) // 2 :], sides["rust"].probe("candle-ddpm"))


def off(ours, theirs):
    if len(ours) != len(theirs):
        return float("inf")
    return max(abs(a - b) for a, b in zip(ours, theirs)) / max(map(abs, theirs))


def output_of(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
    return result.stdout.strip()


def versions(sides, scratch):
    tree = output_of("cargo", "metadata", "--format-version=1", f"--manifest-path={HERE / 'rust' / 'Cargo.toml'}")
    packages = [(package["name"], package["version"]) for package in json.loads(tree)["packages"]]
    names = ["gaussian-diffusion", "candle-transformers", "candle-core", "rand_distr"]
    rust = [f"{name} {version}" for wanted in names for name, version in packages if name == wanted]
    commit = output_of("git", "describe", "--always", "--dirty")
    rust[0] += f" ({commit})" if commit else ""
    torch = [sides["torch"].ask("versions")] if "torch" in sides else []
    return ", ".join([*rust, output_of("rustc", "--version"), *torch])


def cpu():
    try:
        found = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
        model = found and found[1]
    except OSError:
        model = output_of("sysctl", "-n", "machdep.cpu.brand_string")
    return f"{model or platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def seconds_of_cpu(processes):
    """Of all processes of the machine, and of these; nothing where there is no /proc."""
    try:
        fields = pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
        everyone = sum(map(int, fields)) - int(fields[3]) - int(fields[4])
        own = 0
        for process in processes:
            stat = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            own += int(stat[11]) + int(stat[12])
    except (OSError, IndexError):
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    return everyone / ticks, own / ticks


def main():
    options = arguments()
    wanted = [part for part in options.rows.lower().split(",") if part]
    sizes = [size for size in options.sizes.split(",") if size]
    works = [
        work
        for work in WORKS
        if (not wanted or any(part in f"{work.name} {work.row}".lower() for part in wanted))
        and (work.side != "rayon" or has_rayon())
    ]
    sides = sides_for(works, options)
    agreement = list(probes(sides, works))
    watched = [os.getpid()] + [side.process.pid for side in sides.values()]
    start, used = datetime.datetime.now(), seconds_of_cpu(watched)

    print("| work | size | µs | against | its µs | ratio | quartiles | asked | met |")
    print("|---|---|--:|---|--:|--:|--:|--:|---|", flush=True)
    rows = []
    for work in works:
        for place, size in enumerate(work.sizes):
            if sizes and size not in sizes:
                continue
            for row in compared(work, place, size, measured(sides, work, size, options)):
                rows.append(row)
                print(written(row), flush=True)

    now = seconds_of_cpu(watched)
    seconds = (datetime.datetime.now() - start).total_seconds()
    notes = [
        f"{start:%Y-%m-%d}; {cpu()}; f32; medians of {options.rounds} interleaved rounds of {options.ms:g} ms",
        versions(sides, options.scratch),
    ]
    if used and now:
        others = (now[0] - used[0]) - (now[1] - used[1])
        notes.append(f"meanwhile other processes used {100 * max(others, 0) / seconds:.0f} % of a core")
    notes += [f"{name}: largest difference from {peer} {worst:.1g}, relative" for name, peer, worst in agreement]
    print("\n" + "\n".join(f"- {note}" for note in notes))
    if options.json:
        record = {"notes": notes, "rows": rows}
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")


main()
