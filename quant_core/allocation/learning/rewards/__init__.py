"""One reward a file: every module here registers one, and dropping in a new file is all it takes."""
