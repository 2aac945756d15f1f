"""ksim: what a Linux host's kernel failures cost in downtime, and which setting would bring it back sooner.

The map. A floor imports only from floors below it; siblings on floor 3 never import each other.

    0 words      units, source, errors
    1 pure       linux (what Linux does), chance (laws, addressed draws), evidence (paths, ledger)
    2 model      a scenario file becomes one lifecycle graph: faults and strategies, or families, one file each
    3 readers    macro (SimPy processes walk the graph), compiled (the same walk in machine code, bit for bit),
                 exact (semi-Markov theory solves it), micro (one boot at the scale of system calls, as SimPy processes)
    4 study      replications, estimates with intervals, comparisons, one crash in full, results on disk
    5 people     report (tables, figures), cli

The path of data:  scenario.toml -> model.loader -> model.compose -> Lifecycle
                   -> macro.walker -> Path -> evidence.ledger -> study.measures -> rows
                   -> compiled.batch      -> evidence.ledger  -> study.measures -> rows
                   -> exact.solve                             -> study.measures -> rows
    Published:     a line of claims    -> study.claims: exact.interval, evidence.account -> verdicts
    One crash:     scenario.micro -> micro.machine -> Ending -> model.compose.recovery -> study.story
"""

__version__ = "0.5.0"
