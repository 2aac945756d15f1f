"""What Linux does, as pure functions of its real settings: no randomness, no clock, no simulation engine.

``vocabulary``      contexts in which an oops can strike
``cmdline``         boot parameters; how much memory ``crashkernel=`` really reserves
``sysctl``          boot parameters and sysctls -> ``Settings``
``escalation``      does this oops become a panic, and what follows a panic
``detectors``       when soft lockup, hard lockup and hung task detectors notice a hang and panic
``core_collector``  the line of kdump.conf -> compressor, dump level, threads
``makedumpfile``    those and the pages in memory -> size and duration of the dump
"""
