"""The reader: from files as people have them to dates, numbers and names, or to a problem with its line.

| stage | module | decides |
|---|---|---|
| opening | `opening` | which things on disk are read, and how much of them |
| layout | `encoding`, `records`, `layout` | encoding, delimiter, line ends, where the header is, which lines fit it |
| columns | `columns` | which column is what, in which unit, on which basis |
| values | `numbers`, `dates`, `values` | one grammar of numbers, one of dates, what stands for nothing |
| identity | `identity`, `strangers` | ticker, exchange, index or share; what is no share's price |

`opened` says what a price file is by its beginning, `prices` (text) and `parquet` read its rows, `side_lists` reads the
lists beside it (actions, renames, members, sectors).
Nothing is changed, dropped or reinterpreted without a `problems.Problem` that names the file and, where there is one,
the line and the cell.
"""
