"""One boot of one host at the scale of system calls, as SimPy processes in integer nanoseconds.

``machine``     the boot: what it is made of, how it ends
``build``       how it is put together from a scenario; ``programs``: the named workloads
``clock``, ``cpu``, ``task``  time, run queues, threads
``syscall``     what programs may ask of the kernel
``filesystem``, ``pager``     page cache, journal, writeback; memory, reclaim, swap, OOM
``blkdev``, ``netdev``        a disk and a network card whose drivers can fail
``locks``       who holds what, who waits, circles of waiters
``strike``, ``causes``, ``oops``  where a fault may hit, which faults there are, what Linux makes of them
``watchdog``    hangs and who notices
``crash``       what a crash finds and destroys
``recorder``    who did what, when, for pictures
"""
