"""One file a section of the report: each turns `Prepared` input into a `Section`, figures and tables with readings."""
