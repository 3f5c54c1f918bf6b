"""One file a section of the report: each turns a `Book` into a `Section`, figures and tables with their readings."""
