"""Ctrl-C, a polite kill and a closed terminal are one thing: the work ends, says what is kept, and can go on later."""

import signal
import threading
from collections.abc import Callable

STOPPED = 130  # the exit code that shells give to what was ended by Ctrl-C


def unless_stopped(work: Callable[[], int], kept: str) -> int:
    """The exit code of a command line that does `work`: its own, or STOPPED and one sentence after Ctrl-C or a polite kill.

    kept: what is kept and how to go on. From now on a polite kill of this process, or a closed terminal, is a Ctrl-C.
    """
    if threading.current_thread() is threading.main_thread():  # Python lets no other thread say what a signal does
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored: started with nohup
            signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        return work()
    except KeyboardInterrupt:
        print(f"\nstopped; {kept}", flush=True)
        return STOPPED
