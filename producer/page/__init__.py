"""The page's parts. `uploads`, `tables` and `words` know no Streamlit; the others draw with it."""
