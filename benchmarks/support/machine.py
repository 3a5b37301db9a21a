"""The machine and the versions that a result belongs to, and where results are written."""

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


def write(name: str, machine: dict[str, Any], result: dict[str, Any]) -> None:
    """Write `results/<name>.json` and say so."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine | {"load_after": load()}} | result, indent=1) + "\n")
    print(f"\n{path.relative_to(RESULTS.parents[1])}  (load before {machine['load_before']}, after {load()})")


def table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns; the first is the head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *rest = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]))
