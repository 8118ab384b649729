"""What the page takes. Known to the command that starts it, which must not import Streamlit."""

MAX_UPLOAD_MIB = 200
