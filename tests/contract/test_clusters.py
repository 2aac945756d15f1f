"""Sweeps on clusters: a real Dask cluster of several processes on loopback, in which a worker is killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ksim.errors import KsimError
from ksim.report.sweep import csv_text
from ksim.study.sweep import executors
from ksim.study.sweep.cells import Done
from ksim.study.sweep.store import STORE, opened
from ksim.study.sweep.study_file import plan_of
from ksim.study.sweep.sweep import State, Where, sweep

STUDY = """
scenario = "host.toml"
measures = ["software_downtime_min_per_year"]
engine = "simulated"
replications = 30
[factors]
"host.boot.firmware" = { low = "60 s", high = "600 s", steps = 12 }
kernel.panic_on_oops = [0, 1]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study whose scenario is a file that the workers, in another folder, do not find."""
    (tmp_path / "host.toml").write_text('extends = "rack-server"\nhorizon = "5 y"\n')
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """Address of a scheduler on a free port of loopback, and its workers: processes of their own, no nannies."""
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    dask += ["--no-dashboard", "--scheduler-file", str(folder / "scheduler.json")]
    processes = [subprocess.Popen(dask, cwd=folder, stderr=subprocess.DEVNULL, text=True)]
    try:
        worker = [
            sys.executable,
            "-m",
            "distributed.cli.dask_worker",
            "--scheduler-file",
            str(folder / "scheduler.json"),
        ]
        worker += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder)]
        processes += [
            subprocess.Popen(worker, cwd=folder, stderr=subprocess.DEVNULL, text=True) for _ in range(workers)
        ]
        from distributed import Client

        with Client(scheduler_file=str(folder / "scheduler.json"), timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)
            address = client.scheduler.address.removeprefix("tcp://")
        yield address, processes[1:]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(folder: Path) -> str:
    with opened(folder / STORE) as store:
        return csv_text(store.columns, store.rows())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_dask_gives_the_same_bytes_though_a_worker_is_killed(study: Path, tmp_path: Path) -> None:
    plan, killed = plan_of(study), []
    (tmp_path / "elsewhere").mkdir()
    with cluster(3, tmp_path / "elsewhere") as (address, workers):

        def kill(state: State) -> None:
            if not killed:
                os.kill(workers[1].pid, signal.SIGKILL)
                killed.append(state.done)

        state = sweep(plan, tmp_path / "dask", Where(executor=f"dask://{address}"), report=kill)
    assert state.is_whole
    assert killed[0] < len(plan.points)
    assert sweep(plan, tmp_path / "serial", Where(workers=1)).is_whole
    assert table(tmp_path / "dask") == table(tmp_path / "serial")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_that_goes_away_leaves_what_is_done(study: Path, tmp_path: Path) -> None:
    plan = plan_of(study)
    (tmp_path / "elsewhere").mkdir()
    with cluster(2, tmp_path / "elsewhere") as (address, workers):
        done: list[int] = []

        def leave(state: State) -> None:
            done.append(state.done)
            for worker in workers:
                worker.kill()
            parent = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            for pid in parent:
                if "dask_scheduler" in Path(f"/proc/{pid}/cmdline").read_text():
                    os.kill(int(pid), signal.SIGKILL)

        with pytest.raises(KsimError, match="the cluster is gone"):
            sweep(plan, tmp_path / "out", Where(executor=f"dask://{address}"), report=leave)
    with opened(tmp_path / "out" / STORE) as store:
        assert len(store.places()) >= done[0] > 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.slow
def test_ray_gives_the_same_bytes(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Ray is installed: ./run uv pip install ray."""
    pytest.importorskip("ray")
    port = free_port()
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    head = ["--head", "--num-cpus", "2", "--include-dashboard", "false", "--disable-usage-stats"]
    short = tempfile.mkdtemp(prefix="ray")  # names of sockets have to fit into 107 bytes
    where = ["--port", str(port), "--temp-dir", short]
    subprocess.run([*ray, "start", *head, *where], check=True, capture_output=True)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    try:
        assert sweep(plan_of(study), tmp_path / "out", Where(executor="ray://auto")).is_whole
    finally:
        subprocess.run([*ray, "stop", "--force"], check=False, capture_output=True)
        shutil.rmtree(short, ignore_errors=True)
    assert sweep(plan_of(study), tmp_path / "serial", Where(workers=1)).is_whole
    assert table(tmp_path / "out") == table(tmp_path / "serial")


BAD = {
    "dask": "unknown executor 'dask'",
    "dsk://127.0.0.1:1": "known: local, dask://HOST:PORT, ray://HOST:PORT",
    "dask://127.0.0.1:1": "no Dask scheduler answers",
}


def test_workers_are_not_for_clusters(study: Path, tmp_path: Path) -> None:
    with pytest.raises(KsimError, match="has its own"):
        sweep(plan_of(study), tmp_path / "out", Where(executor="dask://127.0.0.1:1", workers=2))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "wanted"), BAD.items(), ids=list(BAD))
def test_executors_that_are_not_there(study: Path, tmp_path: Path, name: str, wanted: str) -> None:
    with pytest.raises(KsimError, match=wanted):
        sweep(plan_of(study), tmp_path / "out", Where(executor=name))


def test_workers_of_another_version_are_refused(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "compute", lambda tasks: Done((), ("0.0.1", 1)))
    with pytest.raises(KsimError, match=r"the workers have ksim 0\.0\.1, model 1"):
        sweep(plan_of(study), tmp_path / "out", Where(workers=1))
