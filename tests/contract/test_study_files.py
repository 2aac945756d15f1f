"""Study files: what they say, and one clear message for each that says something wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksim.errors import KsimError, ScenarioError
from ksim.study.sweep.designs import MAX_POINTS
from ksim.study.sweep.matters import check_factors
from ksim.study.sweep.study_file import plan_of

HEAD = 'scenario = "rack-server"\n'
HOST = '[[hosts]]\nname = "a"\nscenario = "vm"\n'
FACTORS = '[factors]\n"host.boot.firmware" = ["60 s", "300 s"]\n'


def plan(folder: Path, text: str):
    path = folder / "study.toml"
    path.write_text(text)
    return plan_of(path)


def test_a_grid_names_every_point_by_its_values(tmp_path: Path) -> None:
    found = plan(tmp_path, HEAD + FACTORS + "kernel.panic_on_oops = [0, 1]\n")
    assert found.columns == ("host.boot.firmware", "kernel.panic_on_oops")
    assert [tuple(found.parameters(place).values()) for place in range(4)] == [
        ("60 s", "0"), ("60 s", "1"), ("300 s", "0"), ("300 s", "1"),
    ]  # fmt: skip
    scenario = found.load(3).scenario
    assert (scenario.host.boot.firmware.mean, scenario.linux.sysctl["kernel.panic_on_oops"]) == (300.0, 1)


def test_a_range_has_both_ends_in_its_unit(tmp_path: Path) -> None:
    text = '[factors]\nhost.memory = { low = "64 GiB", high = "1024 GiB", scale = "log", steps = 3 }\n'
    found = plan(tmp_path, HEAD + text)
    assert [found.parameters(i)["host.memory"] for i in range(3)] == ["64 GiB", "256 GiB", "1024 GiB"]
    assert found.load(1).scenario.host.memory == 256 << 30


def test_a_law_keeps_its_shape(tmp_path: Path) -> None:
    shape = "lognormal(median=10 s, sigma=0.5)"
    text = f'[factors]\nhost.boot.firmware = {{ low = "60 s", high = "120 s", steps = 2, shape = "{shape}" }}\n'
    law = plan(tmp_path, HEAD + text).load(1).scenario.host.boot.firmware
    assert law.mean == pytest.approx(120.0)
    assert law.sigma == 0.5


def test_one_at_a_time_begins_with_the_scenario_as_it_stands(tmp_path: Path) -> None:
    found = plan(tmp_path, HEAD + '[design]\nkind = "one-at-a-time"\n' + FACTORS + "kernel.panic_on_oops = [0]\n")
    assert [tuple(found.parameters(i).values()) for i in range(len(found.points))] == [
        ("", ""), ("60 s", ""), ("300 s", ""), ("", "0"),
    ]  # fmt: skip


def test_an_empty_text_is_a_value_like_others(tmp_path: Path) -> None:
    found = plan(tmp_path, HEAD + '[design]\nkind = "one-at-a-time"\n[factors]\nlinux.cmdline = ["", "panic=-1"]\n')
    assert [found.parameters(i)["linux.cmdline"] for i in range(3)] == ["", '""', "panic=-1"]


def test_a_list_has_the_points_that_it_names(tmp_path: Path) -> None:
    text = '[design]\nkind = "list"\n[[points]]\nhost.cpus = 2\n[[points]]\nhost.boot.firmware = "1 min"\n'
    found = plan(tmp_path, HEAD + text)
    assert [found.parameters(i) for i in range(2)] == [
        {"host.cpus": "2", "host.boot.firmware": ""},
        {"host.cpus": "", "host.boot.firmware": "1 min"},
    ]


def test_factors_are_nested_in_their_host(tmp_path: Path) -> None:
    text = (
        '[[hosts]]\nname = "web"\nscenario = "rack-server"\n[[hosts]]\nname = "db"\nscenario = "large-memory"\n'
        'factors = { "host.memory" = ["2 TB", "4 TB"] }\n' + FACTORS
    )
    found = plan(tmp_path, text)
    assert found.columns == ("host", "host.boot.firmware", "host.memory")
    assert [found.parameters(i)["host"] for i in range(6)] == ["web", "web", "db", "db", "db", "db"]
    assert found.parameters(0)["host.memory"] == ""
    assert found.load(5).scenario.host.memory == 4 * 10**12


@pytest.mark.parametrize("kind", ["latin-hypercube", "sobol", "morris", "sobol-indices"])
def test_sampled_designs_are_the_same_for_the_same_seed(tmp_path: Path, kind: str) -> None:
    ranges = "[factors]\nkexec.success = { low = 0.5, high = 0.9 }\nhost.cpus = { low = 1, high = 64 }\n"

    def texts(seed: int) -> list[tuple[str, ...]]:
        found = plan(tmp_path, f'{HEAD}[design]\nkind = "{kind}"\npoints = 8\nseed = {seed}\n{ranges}')
        return [tuple(found.parameters(i).values()) for i in range(len(found.points))]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert len(texts(1)) == {"latin-hypercube": 8, "sobol": 8, "morris": 24, "sobol-indices": 32}[kind]
    for success, cpus in texts(1):
        assert 0.5 <= float(success) <= 0.9
        assert 1 <= int(cpus) <= 64


BAD = {
    "": "give either scenario",
    HEAD: "empty design",
    HEAD + '[factors]\n"host.boot.firmware" = []\n': "study.toml:3: factors.host.boot.firmware: an empty list",
    HEAD + '[factors]\n"host.boot.firmware" = "60 s"\n': "study.toml:3: factors.host.boot.firmware: expected a list",
    HEAD + '[factors]\n"host.cpus" = [2, 2]\n': "'2' stands there twice",
    HEAD + '[factors]\nhost.cpus = { low = 4, high = 2 }\n': "low 4 is not below high 2",
    HEAD + '[factors]\nhost.cpus = { low = 0, high = 2, scale = "log" }\n': "begins above 0",
    HEAD + '[factors]\nhost.cpus = { low = 1, high = "2 s" }\n': "give both in one unit",
    HEAD + '[factors]\nhost.cpus = { low = 1, hihg = 2 }\n': "hihg",
    HEAD + "[factors]\nhost.cpus = { low = 1, high = 2, steps = 1 }\n": "greater than or equal to 2",
    HEAD + 'measures = ["availabilty"]\n' + FACTORS: "study.toml:2: measures: unknown measure 'availabilty'; did you",
    HEAD + 'strategies = ["kexec"]\n' + FACTORS: "unknown strategy 'kexec'",
    HEAD + 'strategies = ["kdump", "kdump"]\n' + FACTORS: "named twice",
    HEAD + 'engine = "fast"\n' + FACTORS: "expected 'auto', 'simulated', 'compiled' or 'exact'",
    HEAD + 'engin = "auto"\n' + FACTORS: "unknown key; did you mean 'engine'?",
    HEAD + '[design]\nkind = "grd"\n' + FACTORS: "did you mean 'grid'?",
    HEAD + "[design]\npoints = 7\n" + FACTORS: "a grid design takes no points",
    HEAD + '[design]\nkind = "sobol"\npoints = 7\n[factors]\nhost.cpus = { low = 1, high = 9 }\n': "powers of two",
    HEAD + '[design]\nkind = "morris"\n' + FACTORS: "draws from ranges",
    HEAD + '[design]\nkind = "list"\n' + FACTORS: "a list has tables [[points]]",
    HEAD + FACTORS + "[[points]]\nhost.cpus = 2\n": 'a [design] of kind = "list"',
    HEAD + '[design]\nkind = "list"\n' + 2 * "[[points]]\nhost.cpus = 2\n": "point 2 stands there twice",
    HEAD + 'budget = "10"\n' + FACTORS: "no unit in '10'",
    HEAD + 'engine = "exact"\nprecision = { availability = "1 %" }\n' + FACTORS: "exact values have no half-width",
    HEAD + 'precision = { availability = "close" }\n' + FACTORS: "not a precision: 'close'",
    HEAD + 'replications = 9\nprecision = { availability = "1 %" }\n' + FACTORS: "that decides how many",
    'scenario = "rack-sever"\n' + FACTORS: "did you mean 'rack-server'",
    HEAD + "set = { host.memroy = 3 }\n" + FACTORS: "memroy: unknown key; did you mean 'memory'",
    HEAD + "[variants]\na = {}\n" + FACTORS: "a variant without settings",
    HEAD + 'strategies = ["kdump"]\nvariants = { a = { "host.cpus" = 2 } }\n' + FACTORS: "either the one or",
    2 * HOST + FACTORS: "two hosts are named 'a'",
    HOST + 'factors = { "host.boot.firmware" = ["1 s"] }\n' + FACTORS: "varied twice",
    HEAD + "measures = []\n" + FACTORS: "at least 1 item",
    HEAD + '[factors]\nconfidence = [0.9, 0.99]\n': "this is a column of every table",
    HEAD + FACTORS + '"host.boot.\\"firmware\\"" = ["30 s", "90 s"]\n': "varied twice",
    HEAD + '[factors]\nkernel.panic_on_oops = [0, 1]\nlinux.sysctl."kernel.panic_on_oops" = [0, 1]\n': "varied twice",
    HEAD + "set = { host = { boot = { firmware = '5 s' } } }\n" + FACTORS: "varied, and set: host.boot.firmware",
    HEAD + "variants = { a = { host.boot.firmware = '5 s' } }\n" + FACTORS: "varied, and set by variant 'a'",
    "scenario = [\n": "not valid TOML",
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), BAD.items(), ids=[repr(wanted)[:40] for wanted in BAD.values()])
def test_bad_studies_are_refused_with_a_reason(tmp_path: Path, text: str, wanted: str) -> None:
    with pytest.raises(KsimError) as caught:
        len(plan(tmp_path, text).points)
    assert wanted in str(caught.value)


def test_a_design_that_is_too_large_is_refused_before_it_is_made(tmp_path: Path) -> None:
    text = "".join(f"faults.f{i}.rate = {{ low = 1.0, high = 2.0, steps = 100 }}\n" for i in range(9))
    with pytest.raises(ScenarioError, match=f"10{'0' * 17} points, at most {MAX_POINTS}"):
        len(plan(tmp_path, f"{HEAD}[factors]\n{text}").points)


IGNORED = {
    '"kdump.path" = ["/a", "/b"]\n': "factor kdump.path: the scenario ignores it",
    'name = ["a", "b"]\n': "factor name: the scenario ignores it",
    "seed = [1, 2]\n": "factor seed: the scenario ignores it",
    '"micro.load" = [1.0, 2.0]\n': "factor micro.load: the scenario ignores it",
    '"host.memroy" = ["1 GB", "2 GB"]\n': "factor host.memroy: host.memroy: unknown key; did you mean 'memory'?",
    '"host.memory" = ["1 GBit", "2 GBit"]\n': "unknown unit",
}


@pytest.mark.parametrize(("factor", "wanted"), IGNORED.items(), ids=list(IGNORED))
def test_a_factor_that_measures_nothing_is_refused(tmp_path: Path, factor: str, wanted: str) -> None:
    found = plan(tmp_path, f"{HEAD}[factors]\n{factor}")
    with pytest.raises(ScenarioError) as caught:
        check_factors(found)
    assert wanted in str(caught.value)


BEFORE_ANY_WORK = {
    'precision = { software_downtime_min_per_year = "2 s" }\n': "a precision in 's' does not fit",
    'rare = ["foo per year"]\n': "'foo' is no event and no node",
}


@pytest.mark.parametrize(("head", "wanted"), BEFORE_ANY_WORK.items(), ids=list(BEFORE_ANY_WORK))
def test_questions_that_make_no_sense_are_refused_before_any_work(tmp_path: Path, head: str, wanted: str) -> None:
    with pytest.raises(ScenarioError, match=wanted):
        check_factors(plan(tmp_path, HEAD + head + FACTORS))


MATTERS = {
    '"kernel.panic_on_oops" = [0, 1]\n': "",
    "seed = [1, 2]\n": 'engine = "compiled"\n',
    'horizon = ["1 y", "2 y"]\n': 'measures = ["downtime_min_in_horizon"]\n',
    # beside variants, each of which has its own settings
    '"host.boot.firmware" = ["60 s", "61 s"]\n': (
        "variants = { a = { kernel.panic_on_oops = 0 }, b = { host.cpus = 2 } }\n"
    ),
    # one value of many
    '"kernel.oops_limit" = [10000, 9000, 8000, 7000, 6000, 5000, 4000, 3000, 1, 2000]\n': (
        "set = { kernel.panic_on_oops = 0 }\n"
    ),
    # memory matters to kdump alone
    '"host.memory" = ["64 GB", "1 TB"]\n': 'strategies = ["full_reboot", "kdump"]\n',
}


@pytest.mark.parametrize(("factor", "head"), MATTERS.items(), ids=list(MATTERS))
def test_a_factor_that_matters_is_not(tmp_path: Path, factor: str, head: str) -> None:
    check_factors(plan(tmp_path, f"{HEAD}{head}[factors]\n{factor}"))


def test_a_factor_may_matter_beside_another_one_only(tmp_path: Path) -> None:
    """Without kdump, kernel.panic decides whether the host comes back; the base has a crash kernel."""
    text = '[factors]\n"linux.cmdline" = ["crashkernel=512M", "quiet"]\n"kernel.panic" = [0, 10]\n'
    check_factors(plan(tmp_path, HEAD + text))
