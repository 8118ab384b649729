"""Files that students hand in, as text: what a model is to read of a notebook, a document, a page, a source file."""
