"""A kexec restart against a full BIOS reboot, with kdump in between, on three kinds of hosts."""

from ksim.report.experiment import main
from ksim.study.experiment import Experiment

EXPERIMENT = Experiment(
    name="e01_kexec_vs_bios",
    question="What does a kernel failure cost with a full BIOS reboot, kdump, kdump and kexec, or a direct kexec?",
    overrides=("replications=100000",),  # a million host-years of each strategy
    tails=True,
    scenarios=("rack-server", "vm", "large-memory"),
    expectation=(
        "firmware dominates on bare metal, so skipping it is worth more than anything else; kdump costs downtime "
        "and buys a vmcore; in a virtual machine kexec buys nothing; on the database host the load of the database "
        "outlasts the firmware, so that kexec alone helps less."
    ),
)

if __name__ == "__main__":
    main(EXPERIMENT)
