"""`python -m ops.standin`: start a stand-in provider."""

import sys

from ops.standin.command_line import main

sys.exit(main())
