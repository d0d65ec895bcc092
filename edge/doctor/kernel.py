"""The kernel: preemption, real-time throttling, clock source, isolated cores, interrupts."""

from __future__ import annotations

from edge.doctor.finding import Finding, Status, absent, judged
from edge.system_files import SystemFiles

AREA = "kernel"
_GOOD_CLOCKS = ("tsc", "arch_sys_counter")  # read without leaving user space
_CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_PREEMPTION = "sys/kernel/debug/sched/preempt"


def examine(files: SystemFiles) -> list[Finding]:
    """All findings of this area."""
    return [
        preemption(files),
        throttling(files),
        clock_source(files),
        isolated_cores(files),
        interrupts(files),
    ]


def preemption(files: SystemFiles) -> Finding:
    """PREEMPT_RT is best; a kernel that preempts fully is good; voluntary preemption is not."""
    model = _preemption_model(files)
    if not model:
        return absent(AREA, "preemption", "no /proc/version to read")
    return judged(
        AREA,
        "preemption",
        model in ("PREEMPT_RT", "PREEMPT", "full"),
        model,
        "install a PREEMPT_RT kernel (apt-get install linux-image-rt-amd64, on Jetson "
        "nvidia-l4t-rt-kernel), or boot with preempt=full",
    )


def _preemption_model(files: SystemFiles) -> str:
    version = files.text("proc/version")
    if version is None:
        return ""
    if "PREEMPT_RT" in version or files.text("sys/kernel/realtime") == "1":
        return "PREEMPT_RT"
    if "PREEMPT_DYNAMIC" in version:
        return _dynamic_model(files)
    return "PREEMPT" if "PREEMPT" in version.split() else "none"


def _dynamic_model(files: SystemFiles) -> str:
    """Chosen at boot: debugfs shows it in brackets, else the command line or the build tells."""
    shown = files.text(_PREEMPTION) or ""
    if "(" in shown:
        return shown.split("(")[1].split(")")[0]
    for word in (files.text("proc/cmdline") or "").split():
        if word.startswith("preempt="):
            return word.removeprefix("preempt=")
    built = files.unzipped("proc/config.gz") or ""
    for model in ("none", "voluntary", "lazy"):
        if f"CONFIG_PREEMPT_{model.upper()}=y" in built:
            return model
    return "full" if "CONFIG_PREEMPT=y" in built else "PREEMPT_DYNAMIC, model unknown"


def throttling(files: SystemFiles) -> Finding:
    """The kernel takes real-time processes off a core that they fill."""
    runtime = files.number("proc/sys/kernel/sched_rt_runtime_us")
    period = files.number("proc/sys/kernel/sched_rt_period_us")
    if runtime is None or not period:
        return absent(AREA, "real-time throttling", "this kernel has none")
    if runtime < 0:
        return Finding(AREA, "real-time throttling", Status.OK, "off")
    return judged(
        AREA,
        "real-time throttling",
        runtime >= 0.95 * period,
        f"{runtime / period:.0%} of every {period / 1e6:g} s may be real-time",
        "sysctl -w kernel.sched_rt_runtime_us=950000 (or -1: none, at your own risk)",
    )


def clock_source(files: SystemFiles) -> Finding:
    """Spinning reads the clock a million times a second; a slow source costs a system call."""
    source = files.text(_CLOCK)
    if source is None:
        return absent(AREA, "clock source", "not told")
    return judged(
        AREA,
        "clock source",
        source in _GOOD_CLOCKS,
        source,
        "boot with clocksource=tsc tsc=reliable if the processor's counter is constant",
    )


def isolated_cores(files: SystemFiles) -> Finding:
    """A core that the scheduler leaves alone is the quietest place for the servo."""
    isolated = files.text("sys/devices/system/cpu/isolated")
    if isolated is None:
        return absent(AREA, "isolated cores", "not told")
    return judged(
        AREA,
        "isolated cores",
        bool(isolated),
        isolated or "none",
        "boot with isolcpus=N nohz_full=N rcu_nocbs=N and set servo.core: N in robot.yaml",
    )


def interrupts(files: SystemFiles) -> Finding:
    """On an isolated core no device's interrupt has any business."""
    isolated = parse_cores(files.text("sys/devices/system/cpu/isolated") or "")
    if not isolated:
        return absent(AREA, "interrupt affinity", "no isolated core to keep free")
    strays = [
        path.split("/")[2]
        for path in files.paths("proc/irq/[0-9]*/effective_affinity_list")
        if parse_cores(files.text(path) or "") & isolated
    ]
    return judged(
        AREA,
        "interrupt affinity",
        not strays,
        f"IRQ {', '.join(strays)} on an isolated core" if strays else "isolated cores are free",
        "boot with irqaffinity=0, or echo 0 > /proc/irq/N/smp_affinity_list for each, "
        "and stop irqbalance",
    )


def parse_cores(text: str) -> set[int]:
    """Cores of a list such as ``0-2,5``; an unreadable list is empty."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            cores.update(range(int(first), int(last or first) + 1))
    return cores
