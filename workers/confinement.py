"""What every process of ours does first: nothing of the working folder is importable, files are private, no core dumps.

Imports only what Python itself has loaded by now, and must be imported before anything else: where the working folder
is on the path, any other import could be a file of a student's. Limits and umask are inherited by children.
"""

import os
import sys

PRIVATE_UMASK = 0o077
SAFE_PATH = "PYTHONSAFEPATH"
PATH_VARIABLE = "PYTHONPATH"


def confine() -> None:
    """Guarantee that no later import finds the working folder, that new files are the user's alone, and no core dumps.

    A folder that PYTHONPATH names by an absolute path stays importable: it was set on purpose.
    """
    _leave_the_working_folder_out()
    os.umask(PRIVATE_UMASK)
    _refuse_core_dumps()


def absolute_entries(python_path: str) -> str:
    """PYTHONPATH without its empty and relative entries: those mean the working folder, whichever that is."""
    return os.pathsep.join(entry for entry in python_path.split(os.pathsep) if _is_absolute(entry))


def _leave_the_working_folder_out() -> None:
    given = os.environ.get(PATH_VARIABLE, "")
    kept = absolute_entries(given)
    relative = [entry for entry in given.split(os.pathsep) if given and not _is_absolute(entry)]
    unsafe = [os.path.abspath(entry) for entry in relative]  # noqa: PTH100 - pathlib could be a student's file still
    # `python -m` and `python -c` put the working folder first; a script puts its own folder there
    if not sys.flags.safe_path and sys.path and sys.path[0] in {"", os.getcwd()}:  # noqa: PTH109 - as above
        unsafe.append(sys.path[0])
    meant = [entry for entry in kept.split(os.pathsep) if entry]
    for folder in unsafe:
        if folder in sys.path and folder not in meant:
            sys.path.remove(folder)
    os.environ[SAFE_PATH] = "1"
    if given:
        os.environ[PATH_VARIABLE] = kept


def _is_absolute(entry: str) -> bool:
    return os.path.isabs(entry)  # noqa: PTH117 - as above


def _refuse_core_dumps() -> None:
    """A core dump holds the key and the students' work."""
    try:
        import resource  # noqa: PLC0415 - after the path is safe; absent on some systems
    except ImportError:
        return
    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    except (ValueError, OSError):
        return
