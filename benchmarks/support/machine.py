"""The machine and the versions that a result belongs to, and how results are written down."""

import json
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"


def describe(*packages: str) -> dict[str, Any]:
    """Processor, cores, memory, system, load and versions, as plain JSON values."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {package: version(package) for package in ("relusparsity", *packages)},
        "date": date.today().isoformat(),
        "load_before": load(),
    }


def load() -> float:
    """Mean number of runnable processes in the last minute; above the cores, times are those of a shared machine."""
    return round(os.getloadavg()[0], 2)


def resident(field: str) -> int:
    """Memory of this process, VmRSS (resident now) or VmHWM (its peak), in bytes; Linux."""
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = {key: "" for key in ("model name", "cpu family", "model")}
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in wanted and not wanted[key.strip()]:
            wanted[key.strip()] = value.strip()
    name, family, model = wanted.values()
    return f"{name} (family {family}, model {model})" if family else name or platform.machine()


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as a Markdown table that reads well in a terminal too; the first is the head."""
    widths = [max(2, *(len(row[i]) for row in rows)) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *rest = zip(row, widths, strict=True)
        lines.append(" | ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]))
    lines.insert(1, " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]))
    return "\n".join(f"| {line} |" for line in lines)


def publish(name: str, machine: dict[str, Any], result: dict[str, Any], text: str, script: str = "") -> None:
    """Print `text`, write `results/<name>.json`, and put the text into the README's part of that name.

    `script` is the file that measured, if it is not `<name>.py`.
    """
    machine = machine | {"load_after": load()}
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items())
    text += (
        f"\n\n{machine['date']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_GiB']} GiB, "
        f"{machine['system']}; Python {machine['python']}, {versions}. "
        f"Load average before {machine['load_before']}, after {machine['load_after']}."
    )
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine} | result, indent=1) + "\n")
    readme = RESULTS.parent / "README.md"
    begin, end = f"<!-- {name}: written by {script or name}.py -->\n", f"<!-- end of {name} -->"
    before, found, rest = readme.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{readme} has no part {begin.strip()} … {end}")
    readme.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")
