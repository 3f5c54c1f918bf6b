"""The `quant` command: what each of its words does, and the options that several share."""
