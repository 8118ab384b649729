"""`python -m ops.standin`: start a stand-in provider."""

import gc
import os
import sys

gc.disable()  # the modules to come stay for good: nothing of them is garbage while they load

from ops.standin.command_line import main  # noqa: E402 - after the collector is off

os.umask(0o077)  # as every process of ours; it imports nothing of theirs
gc.freeze()
gc.enable()
sys.exit(main())
