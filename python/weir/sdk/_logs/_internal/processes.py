"""What happens at a fork, and at the end of a process that has no atexit.

(1) libweir looks after itself in a forked child. Here: locks, threads and queues of the Python path, and the resource that Python
    shows.
(2) A child of multiprocessing, or of billiard (Celery's), ends with os._exit() after its own finalizers; so there a finalizer
    flushes. Neither module is imported for this.
"""
import os
import sys
import weakref

forkable: 'weakref.WeakSet' = weakref.WeakSet()  # have _after_fork_in_child()
flushable: 'weakref.WeakSet' = weakref.WeakSet()  # have force_flush(ms)
EXIT_MILLIS = 5000

_registered: set = set()


class _Anchor:
    """What multiprocessing holds weakly for the hook."""


_anchor = _Anchor()


def _flush() -> None:
    for each in list(flushable):
        each.force_flush(EXIT_MILLIS)


def _add_finalizer(util):
    util.Finalize(None, _flush, exitpriority=-1000)


def watch() -> None:
    """Has the finalizer added in this process's children, and here when this is one."""
    for name in ('multiprocessing', 'billiard'):
        util = sys.modules.get(name + '.util')
        if util is None or name in _registered or not hasattr(util, 'register_after_fork'):
            continue
        _registered.add(name)
        util.register_after_fork(_anchor, lambda _, util=util: _add_finalizer(util))
        process = sys.modules.get(name + '.process')
        if getattr(process, 'parent_process', lambda: None)() is not None:
            _add_finalizer(util)


def _in_child() -> None:
    for each in list(forkable):
        each._after_fork_in_child()
    watch()


if hasattr(os, 'register_at_fork'):
    os.register_at_fork(after_in_child=_in_child)
