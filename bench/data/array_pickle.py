"""Safe reader of CIFAR's batches, which are pickled dictionaries of arrays.

The reader executes neither code from the file nor NumPy's unpickling hooks. These hooks trust their input, so a damaged
type or state can crash the process, and a shape can allocate any amount of memory. The reader unpickles each array as
an inert record, and builds the array only if the shape, type and number of bytes in the record agree.
"""

import io
import math
import pickle
import pickletools
from typing import Any

import numpy as np

from bench.errors import InputError

TYPES = {"u1", "i1", "i2", "i4", "i8", "u2", "u4", "u8"}
MAX_MEMO_ENTRIES = 1 << 20
"""Largest memo index that is accepted. The unpickler allocates memory for all indices below the largest in the file."""


class _Record:
    """Constructor arguments and state of a pickled array or type."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> np.ndarray:
        """Build the array. Raises ValueError, TypeError or AttributeError if the record is not an array of integers."""
        _, shape, kind, fortran_order, content = self.state
        code, order = _text(kind.arguments[0]), _text(kind.state[1])
        if code not in TYPES or order not in ("|", "<", ">", "="):
            raise ValueError(f"the type {code!r} is not an integer type")
        dtype = np.dtype(order.replace("|", "=") + code)
        if not isinstance(content, bytes) or len(content) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"shape {shape} does not match its number of bytes")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


class _Unpickler(pickle.Unpickler):
    """Unpickler of containers, strings, numbers and records. Raises UnpicklingError for any other class or function."""

    known = {
        ("_reconstruct", "multiarray"): lambda *_: _Record(),
        ("ndarray", "numpy"): None,
        ("dtype", "numpy"): _Record,
        ("encode", "_codecs"): lambda text, *_: text.encode("latin1"),
    }

    def find_class(self, module: str, name: str) -> Any:
        key = (name, module.split(".")[-1])
        if key not in self.known or module.split(".")[0] not in ("numpy", "_codecs"):
            raise pickle.UnpicklingError(f"{module}.{name} is not an array")
        return self.known[key]


def read_array_pickle(data: bytes, name: str) -> dict[bytes, Any]:
    """Read a batch of CIFAR's Python version, a dictionary with byte-string keys.

    `name`: name of the file, for error messages.
    """
    try:
        for opcode, argument, _ in pickletools.genops(data):  # raises an exception if a length exceeds the data
            if "PUT" in opcode.name and isinstance(argument, int) and argument > MAX_MEMO_ENTRIES:
                raise pickle.UnpicklingError(f"memo index {argument} exceeds {MAX_MEMO_ENTRIES}")
        value = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        if isinstance(value, dict):
            return {key: part.array() if isinstance(part, _Record) else part for key, part in value.items()}
    except Exception as error:  # a damaged pickle may raise anything, including SystemError
        raise InputError(f"{name}: not a pickle of numeric arrays ({' '.join(str(error).split())})") from None
    raise InputError(f"{name}: expected a dictionary, found {type(value).__name__}")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
