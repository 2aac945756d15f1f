"""What Linux does, as pure functions of its real settings: no randomness, no clock, no simulation engine.

The words
``vocabulary``      releases, contexts, tasks, locks and what a leaked one does
``taint``           what a kernel remembers about itself until the next boot
``events``          everything that can go wrong, by name
``cmdline``         boot parameters; numbers as the kernel reads them
``sysctl``          boot parameters and sysctls -> ``Settings``; every knob with range, release and file
``platform``        the build of a distribution and the hypervisor under it -> where ``Settings`` start
``distro``          what distributions set, and how their capture kernels behave

Decisions
``rules``           how a decision is written down: rows that are asked in the kernel's order
``oops``, ``warning``, ``hardware``, ``oom``, ``file_system``, ``user_mode``, ``detectors``  the tables
``panic``           what a panic does, step by step
``badness``         whom the OOM killer chooses
``escalation``      one event in one state -> everything that follows
``console``         what the kernel prints about it, in the words of its release

Rates and limits of a running kernel
``watermarks``      free memory below which it reclaims, dirty memory above which it writes
``sched``           time slices, weights, throttling
``block``           timeouts, retries and resets of disks
``netdev``          the TX watchdog, rings and polls of network cards

From the panic to the next kernel
``crashkernel``, ``crashkernel_grammar``  how much memory ``crashkernel=`` asks for and really gets
``capture_memory``  what the capture kernel needs, and its end if it has less
``kdump_conf``, ``kdump_actions``, ``kdump_sysconfig``  /etc/kdump.conf, what it does at last, its shell relatives
``core_collector``, ``makedumpfile``  the dump: options, size, duration, full disks
``fadump``          firmware-assisted dump of POWER
``kexec``           two image slots and the commands on them
``boot``            stages of a boot, and a root file system that is not there
``hw_watchdog``     hardware watchdogs
``pstore``          last words that survive
"""
