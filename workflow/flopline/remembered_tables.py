"""Tables taken apart into arrays and words, by which they are told apart and kept: see remembered.

What a table is made of is all that counts for what is made of it: its names, its index, and each
column with its type, its values and which of them are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

KINDS: Final = "biuf"
"""Kinds of arrays that are kept and told apart: truth values and numbers."""


WORDS: Final = ("str", "string")
"""The types that pandas gives columns of words: those it finds itself, those of files."""


class Unknown(TypeError):
    """A value that has no digest, or cannot be kept."""


def is_table(value: object) -> bool:
    """Whether a value is a table, a column or an index of pandas; loads nothing."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) in (pandas.DataFrame, pandas.Series)


def taken_apart(table: Any) -> dict[str, Any]:
    """What a table or column is made of; raises Unknown for one of another make."""
    import pandas as pd

    if table.attrs:
        raise Unknown("a table with attributes")
    if isinstance(table, pd.Series):
        return {
            "name": _word(table.name),
            "index": _index_apart(table.index),
            "columns": [_column_apart(table)],
        }
    names = table.columns
    if names.name is not None or names.dtype != pd.api.types.pandas_dtype("str"):
        raise Unknown("a table whose columns go by more than words")
    return {
        "names": names.tolist(),
        "index": _index_apart(table.index),
        "columns": [_column_apart(column) for _, column in table.items()],
    }


def put_together(parts: Mapping[str, Any]) -> Any:
    """The table or column that was `taken_apart`; each of its arrays is its own."""
    import pandas as pd

    columns = [_column_of(part) for part in parts["columns"]]
    index = _index_of(parts["index"])
    if "names" not in parts:
        return pd.Series(columns[0], index=index, name=parts["name"], copy=False)
    table = pd.DataFrame(dict(enumerate(columns)), index=index, copy=False)
    table.columns = pd.Index(parts["names"], dtype="str")
    return table


def _word(name: object) -> str | None:
    if name is None or type(name) is str:
        return name
    raise Unknown(f"a column called {name!r}")


def _index_apart(index: Any) -> dict[str, Any]:
    import pandas as pd

    name = _word(index.name)
    if type(index) is pd.RangeIndex:
        return {"range": [index.start, index.stop, index.step], "name": name}
    if type(index) is not pd.Index:
        raise Unknown(f"an index of {type(index)}")
    return {"column": _column_apart(index), "name": name}


def _index_of(parts: Mapping[str, Any]) -> Any:
    import pandas as pd

    if "range" in parts:
        return pd.RangeIndex(*parts["range"], name=parts["name"])
    values = _column_of(parts["column"])
    return pd.Index(values, name=parts["name"], dtype=values.dtype)


def _column_apart(column: Any) -> dict[str, Any]:
    """The values of a column or an index, with their type."""
    import pandas as pd

    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in KINDS:
        return {"numbers": column.to_numpy()}
    if isinstance(dtype, pd.CategoricalDtype):
        values = column.array if isinstance(column, pd.Series) else column
        return {
            "codes": np.asarray(values.codes),
            "categories": _column_apart(values.categories),
            "ordered": bool(dtype.ordered),
        }
    for name in WORDS:
        if dtype == pd.api.types.pandas_dtype(name):
            return {"words": _words_apart(column.tolist()), "dtype": name}
    if dtype == np.dtype(object):
        return {"objects": column.tolist()}
    raise Unknown(f"a column of {dtype!r}")


def _column_of(parts: Mapping[str, Any]) -> Any:
    import pandas as pd

    if "numbers" in parts:
        return parts["numbers"]
    if "codes" in parts:
        named = _column_of(parts["categories"])
        categories = pd.Index(named, dtype=named.dtype)
        return pd.Categorical.from_codes(
            parts["codes"], categories=categories, ordered=parts["ordered"]
        )
    if "objects" in parts:
        values = np.empty(len(parts["objects"]), object)
        values[:] = parts["objects"]
        return pd.array(values, dtype=object)  # of an array pandas would guess a type
    return pd.array(_words_of(parts["words"]), dtype=parts["dtype"])


def _words_apart(words: list[Any]) -> dict[str, Any]:
    """Words as their bytes in one row, with how many each has; -1 for one that is missing."""
    raw = [word.encode("utf-8", "surrogatepass") if type(word) is str else None for word in words]
    return {
        "sizes": np.array([-1 if word is None else len(word) for word in raw], np.int64),
        "bytes": np.frombuffer(b"".join(filter(None, raw)), np.uint8),
    }


def _words_of(parts: Mapping[str, Any]) -> list[str | None]:
    raw, words, place = parts["bytes"].tobytes(), [], 0
    for size in parts["sizes"].tolist():
        end = place + max(size, 0)
        words.append(None if size < 0 else raw[place:end].decode("utf-8", "surrogatepass"))
        place = end
    return words
