"""Work in threads that begin together, and programs in processes of their own."""

import os
import subprocess
import sys
import threading
from pathlib import Path


def raced(work, count):
    """Run work(0), work(1), ... in threads that begin together; gives what they returned, and what was raised."""
    results, raised = [None] * count, []
    together = threading.Barrier(count)

    def guarded(number):
        try:
            together.wait()
            results[number] = work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results, raised


def race(work, count):
    """Run work in threads that begin together, where nothing may be raised; gives what they returned."""
    results, raised = raced(work, count)
    assert raised == []
    return results


def run_python(program, *arguments, timeout=600, **environment):
    """Run a program, as text or in a file, where a crash is a failed test; gives what it printed."""
    command = [sys.executable, *([program] if isinstance(program, Path) else ["-c", program]), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=os.environ | environment)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
