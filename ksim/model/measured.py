"""``workload.impact``: what a table of crash impacts knows better than the defaults, put in their place.

Replaced are ``workload.pages`` and what each fault source says of itself (``FaultSource.measured``), as means of the
table's rows: those of one workload differ by about one percent, and ``capture.dump_sigma`` is 80 times that, so that
drawing a row for each crash would change nothing that could be seen. What the user wrote down stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from ksim.errors import ScenarioError
from ksim.model.compose import fault_sources
from ksim.model.fields import param_of
from ksim.model.impact import shipped_impact
from ksim.model.scenario import Scenario
from ksim.source import Param, assumed


def with_impact(scenario: Scenario, is_given: Callable[[tuple[str, ...]], bool]) -> tuple[Scenario, dict[str, Param]]:
    """The scenario with the measured values in it, and a Param for each of them by dotted key.

    ``is_given``: whether the user set a key. Raises ScenarioError where the table is missing or broken.
    """
    name = scenario.workload.impact
    if not name:
        return scenario, {}
    try:
        table = shipped_impact(name)
    except (OSError, ValueError) as error:
        raise ScenarioError(f"workload.impact: no usable table of crash impacts for '{name}': {error}") from None
    source = assumed(f"mean of {len(table.rows)} simulated crashes of a {name}, whose own numbers are assumed")
    params: dict[str, Param] = {}

    def measured(model: BaseModel, key: tuple[str, ...], values: dict[str, Any]) -> BaseModel:
        values = {part: value for part, value in values.items() if not is_given((*key, part))}
        for part, value in values.items():
            default = param_of(type(model), part)
            assert default is not None
            params[".".join((*key, part))] = replace(default, value=value, source=source)
        return type(model).model_validate({**model.model_dump(mode="json"), **values})

    workload = measured(scenario.workload, ("workload",), {"pages": table.pages()})
    sources = fault_sources()
    faults = {
        fault: measured(settings, ("faults", fault), dict(sources[settings.kind or fault].measured(table)))
        for fault, settings in scenario.faults.items()
    }
    return scenario.model_copy(update={"workload": workload, "faults": faults}), params
