"""Whatever a scenario file holds: it loads, or there is one message. Never another exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ksim.errors import ScenarioError
from ksim.model.loader import load

GOOD = """extends = "rack-server"
seed = 7
horizon = "10 y"
[host]
memory = "256 GiB"
boot = { firmware = "lognormal(mean=300 s, sigma=0.5)", loader = "6 s" }
[linux]
cmdline = "crashkernel=1G-4G:192M,4G-:256M panic=10"
sysctl = { "kernel.panic_on_oops" = 1 }
[kdump]
core_collector = "makedumpfile -l -d 31"
[recovery]
severity = { journal = 0.9, fsck = 0.05, reinstall = 0.05 }
[faults.kernel_oops]
rate = "0.5 /y"
context = { process = 0.7, softirq = 0.3, hardirq = 0.0, bh_disabled = 0.0, idle = 0.0, init = 0.0 }
"""
JUNK = st.sampled_from(
    ["", "0", "-1", "nan", "inf", "1e999", '"1e999 s"', "[]", "{}", "true", '"x"', '"\\u0000"', "1979-05-27", "[[1]]",
     '"empirical()"', '"weibull(shape=0, mean=1 s)"', '"lognormal(mean=1 s, sigma=1e9)"', "9" * 400, '"9e300 y"']
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good file after a few cuts, swaps, repeats and replaced values."""
    lines = GOOD.splitlines()
    for _ in range(draw(st.integers(1, 4))):
        i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
        match draw(st.sampled_from(["drop", "swap", "repeat", "value", "chars", "key"])):
            case "drop":
                lines[i] = ""
            case "swap":
                lines[i], lines[j] = lines[j], lines[i]
            case "repeat":
                lines.insert(j, lines[i])
            case "value":
                lines[i] = lines[i].partition("=")[0] + "= " + draw(JUNK)
            case "chars":
                at = draw(st.integers(0, len(lines[i])))
                lines[i] = lines[i][:at] + draw(st.text(max_size=4)) + lines[i][at + draw(st.integers(0, 3)) :]
            case "key":
                lines[i] = draw(st.text("abc.[]=\"' {}", max_size=12)) + lines[i]
    return "\n".join(lines)


@settings(max_examples=600)
@given(text=mutated())
def test_mutated_files_load_or_say_why(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        problem = "none"
        try:
            load(str(path))
        except ScenarioError as error:
            problem = str(error)
        assert problem.strip()


@settings(max_examples=300)
@given(key=st.text(max_size=30), value=st.text(max_size=30) | JUNK)
def test_any_override_loads_or_says_why(key: str, value: str) -> None:
    problem = "none"
    try:
        load("vm", [f"{key}={value}"])
    except ScenarioError as error:
        problem = str(error)
    assert problem.strip()
