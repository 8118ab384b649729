"""What the page takes. Known to the command that starts it, which must not import Streamlit."""

MAX_UPLOAD_MIB = 200
MAX_WORK_MIB = 512
"""What is read of one download, text and pictures: a page holds it until it is graded, a command does not."""
MAX_HELD_MIB = 1024
"""Of all sessions' uploads together: Streamlit keeps them in memory as long as their pages are open."""
