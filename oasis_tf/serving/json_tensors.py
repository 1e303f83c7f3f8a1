"""Tensors as the REST API writes them in JSON."""

import base64
import itertools
import math
import re

import numpy as np

from oasis_tf.serving.json_parsing import decimal
from oasis_tf.serving.json_parsing import parse as parse_json
from oasis_tf.serving.json_parsing import pretty
from oasis_tf.serving.json_parsing import quote
from oasis_tf.serving.status import StatusError

_MAX_RANK = 64  # Of NumPy's arrays; TensorFlow's limit is 254.

# TensorFlow's own names, where they are not those of its Python types.
_TYPE_NAMES = {"float16": "half", "float32": "float", "float64": "double"}
_FLOATS = ("float32", "float64")
_INT32 = (-(2**31), 2**31 - 1)
_RANGES = {
    "int8": _INT32,
    "uint8": _INT32,
    "int16": _INT32,
    "int32": _INT32,
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_JSON_DTYPES = {*_FLOATS, *_RANGES, "bool", "string"}
# What is cast afterwards: the cast wraps, or makes infinities.
_WIDER = dict.fromkeys(("int8", "uint8", "int16"), "int32")
_WIDER["float32"] = "float64"

_JSON_TYPES = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}
_BASE64_SPACE = re.compile(r"[ \t-\r]")
_BASE64 = re.compile(r"([A-Za-z0-9+/]*)(={0,2})")


def parse(body):
    """Reads a request's body.

    Args:
        body: bytes.

    Returns:
        `Document`.

    Raises:
        StatusError: INVALID_ARGUMENT, if it is not JSON, not an object, or its
            `signature_name` not a string.
    """
    members = parse_json(body)
    if type(members) is not dict:
        raise _invalid(f"JSON Value: {pretty(members)} Is not object")
    if type(members.get("signature_name", "")) is not str:
        raise _invalid(
            f"JSON Value: {pretty(members)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return Document(members)


class Document:
    """The body of a predict request.

    Args:
        members: dict. The JSON object, parsed.

    Attributes:
        signature_name: "serving_default" where the request names none.
    """

    def __init__(self, members):
        self._members = members
        self.signature_name = members.get("signature_name") or "serving_default"

    def read_inputs(self, dtypes):
        """Returns the tensors that the request holds for a signature.

        Args:
            dtypes: {input name: `tf.DType`} of the signature.

        Returns:
            {input name: array}, strings as object arrays of bytes; and whether
            the answer is wanted in row form.

        Raises:
            StatusError: INVALID_ARGUMENT, if the tensors are not as the
                signature and the API want them; UNIMPLEMENTED, if a dtype
                cannot be written in JSON.
        """
        if not dtypes:
            raise _invalid(
                f"Failed to get input map for signature: {self.signature_name}"
            )
        is_row = "instances" in self._members
        if is_row == ("inputs" in self._members):
            raise self._neither_or_both(is_row)
        if is_row:
            leaves = _read_instances(self._instances(), dtypes)
        else:
            leaves = _read_columns(self._members["inputs"], dtypes)
        inputs = {
            name: _to_array(name, *leaves[name], dtypes[name])
            for name in leaves
        }
        return inputs, is_row

    def _neither_or_both(self, both):
        if not both:
            return _invalid("Missing 'inputs' or 'instances' key")
        return _invalid(
            f"JSON Value: {pretty(self._members)} Not formatted correctly "
            "expecting only one of 'inputs' or 'instances' keys to exist "
        )

    def _instances(self):
        instances = self._members["instances"]
        if type(instances) is not list:
            problem = "Expecting 'instances' to be an list/array"
        elif not instances:
            problem = "No values in 'instances' array"
        else:
            return instances
        raise _invalid(f"JSON Value: {pretty(self._members)} {problem}")


def write_outputs(outputs, is_row):
    """Writes an answer's body.

    Args:
        outputs: {output name: array}, strings as object arrays of bytes.
        is_row: whether to write one prediction for each example.

    Returns:
        bytes: JSON, and strings' own bytes even where they are not UTF-8.

    Raises:
        StatusError: INVALID_ARGUMENT, if an output has a type that cannot be
            written, or, in row form, not the others' number of examples.
    """
    if not outputs:
        raise _invalid("Cannot convert empty tensor map to JSON")
    # A scalar string is no array, and would lose its last zero bytes as one.
    arrays = {
        name: np.asarray(value, object if type(value) is bytes else None)
        for name, value in sorted(outputs.items())
    }
    if is_row:
        _check_batch_sizes(arrays)
    columns = {
        name: _nest(_texts(name, array), array.shape, 1 if is_row else 0)
        for name, array in arrays.items()
    }
    rows = zip(*columns.values())
    if len(columns) > 1:
        keys = [quote(name) for name in columns]
        rows = (_object(zip(keys, row)) for row in rows)
    else:
        rows = (text for (text,) in rows)
    answer = ",".join(rows)
    if is_row:
        text = f'{{"predictions":[{answer}]}}'
    else:
        text = f'{{"outputs":{answer}}}'
    return text.encode("utf-8", "surrogateescape")


def _invalid(message):
    return StatusError("INVALID_ARGUMENT", message)


def _type_name(dtype_name):
    return _TYPE_NAMES.get(dtype_name, dtype_name)


# Requests. A tensor is read level by level, which is fast. Only when that finds
# something amiss is it walked value by value, in TensorFlow Serving's order,
# for the error that comes first. Both go to any depth without recursion.


def _read_columns(value, dtypes):
    """Returns {name: (shape, values)} of the columnar form."""
    if not _is_named(value):
        if len(dtypes) > 1:
            raise _invalid(
                "inputs is a plain value/list, but expecting an object as "
                "multiple input tensors required as per tensorinfo_map"
            )
        value = {name: value for name in dtypes}
    leaves = {}
    for name, dtype in sorted(dtypes.items()):
        if name not in value:
            raise _invalid(f"Missing named input: {name} in 'inputs' object.")
        leaves[name] = _read_levels(value[name], dtype) or _walk(
            value[name], dtype
        )
    return leaves


def _read_instances(instances, dtypes):
    """Returns {name: (shape, values)} of the row form, batched."""
    as_objects = _is_named(instances[0])
    if not as_objects and len(dtypes) > 1:
        raise _invalid(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        )
    columns = {name: instances for name in dtypes}
    if as_objects:
        if not all(
            _is_named(element) and element.keys() == dtypes.keys()
            for element in instances
        ):
            return _walk_instances(instances, dtypes, as_objects)
        columns = {
            name: [element[name] for element in instances] for name in dtypes
        }
    leaves = {
        name: _read_levels(column, dtypes[name])
        for name, column in columns.items()
    }
    if None in leaves.values():
        return _walk_instances(instances, dtypes, as_objects)
    return leaves


def _walk_instances(instances, dtypes, as_objects):
    """Does what `_read_instances` does, one value after the other."""
    values = {name: [] for name in dtypes}
    shapes = {}
    for i, element in enumerate(instances):
        if _is_named(element) != as_objects:
            raise _invalid(
                f"Expecting {'object' if as_objects else 'value/list'} but got "
                f"{'list' if as_objects else 'object'} at item {i} of input "
                "list"
            )
        named = element if as_objects else {name: element for name in dtypes}
        for name, value in named.items():
            try:
                found = _walk_instance(name, value, dtypes, shapes)
            except StatusError as error:
                key = f" key: {name}" if as_objects else ""
                raise StatusError(
                    error.code,
                    f"Failed to process element: {i}{key} of 'instances' list. "
                    f"Error: {error}",
                ) from error
            values[name] += found
        if named.keys() != dtypes.keys():
            raise _invalid(
                f"Failed to process element: {i} of 'instances' list. JSON "
                f"object: {pretty(element)} keys must be equal to: "
                f"{','.join(sorted(dtypes))}"
            )
    return {
        name: ((len(instances), *shapes[name]), values[name]) for name in dtypes
    }


def _walk_instance(name, value, dtypes, shapes):
    """Returns one example's values; holds its shape to the first one's."""
    if name not in dtypes:
        raise _invalid(f"JSON object: does not have named input: {name}")
    shape, values = _walk(value, dtypes[name])
    expected = shapes.setdefault(name, shape)
    if math.prod(expected) != math.prod(shape):
        raise _invalid(
            f"Expecting tensor size: {math.prod(expected)} but got: "
            f"{math.prod(shape)}"
        )
    if expected != shape:
        raise _invalid(
            f"Expecting shape [{','.join(map(str, expected))}] but got: "
            f"[{','.join(map(str, shape))}]"
        )
    return values


def _read_levels(value, dtype):
    """Returns shape and values of nested lists; None where anything is amiss.

    Args:
        value: parsed JSON.
        dtype: `tf.DType`.

    Returns:
        `(shape, values)`, tuple and flat list; or None.
    """
    shape = []
    level = [value]
    while level and type(level[0]) is list:
        if set(map(type, level)) != {list} or len(set(map(len, level))) != 1:
            return None
        shape.append(len(level[0]))
        level = list(itertools.chain.from_iterable(level))
    return (tuple(shape), level) if _fit(level, dtype.name) else None


def _walk(value, dtype):
    """Does what `_read_levels` does, one value after the other.

    Raises:
        StatusError: where `_read_levels` returns None.
    """
    shape = _shape_of_firsts(value)
    values = []
    open_ones = [iter([value])]
    while open_ones:
        level = len(open_ones) - 1
        for item in open_ones[-1]:
            if type(item) is list:
                _check_list(item, level, shape)
                open_ones.append(iter(item))
                break
            _check_value(item, level, shape, dtype)
            values.append(item)
        else:
            open_ones.pop()
    return shape, values


def _shape_of_firsts(value):
    shape = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _check_list(item, level, shape):
    if level >= len(shape):
        raise _invalid(
            f"Encountered list at unexpected level: {level} expected < "
            f"{len(shape)}"
        )
    if len(item) != shape[level]:
        raise _invalid(
            f"Encountered list at unexpected size: {len(item)} at level: "
            f"{level} expected size: {shape[level]}"
        )


def _check_value(item, level, shape, dtype):
    if level != len(shape):
        raise _invalid(
            f"JSON Value: {pretty(item)} found at incorrect level: {level + 1} "
            f"in the JSON DOM. Expected at level: {len(shape)}"
        )
    if not _fit([item], dtype.name):
        raise _misfit(item, dtype.name)


def _misfit(item, dtype_name):
    if type(item) is dict and dtype_name == "string":
        if _is_named(item):
            return _invalid(
                f"JSON Value: {pretty(item)} not formatted correctly for "
                "base64 data"
            )
        return _invalid("Unable to base64 decode")
    if type(item) is not dict and dtype_name not in _JSON_DTYPES:
        return StatusError(
            "UNIMPLEMENTED",
            f"Conversion of JSON Value: {pretty(item)} to type: "
            f"{_type_name(dtype_name)}",
        )
    json_type = _JSON_TYPES.get(type(item)) or str(item)  # "True", "False".
    return _invalid(
        f"JSON Value: {pretty(item)} Type: {json_type} is not of expected "
        f"type: {_type_name(dtype_name)}"
    )


def _fit(values, dtype_name):
    """Returns whether all values may stand in a tensor of a dtype."""
    if not values:
        return True
    types = set(map(type, values))
    if dtype_name in _RANGES:
        low, high = _RANGES[dtype_name]
        return types == {int} and low <= min(values) and max(values) <= high
    if dtype_name in _FLOATS:
        return types <= {int, float}
    if dtype_name == "string":
        return types <= {str, dict} and None not in map(_to_bytes, values)
    return dtype_name == "bool" and types == {bool}


def _is_named(value):
    """Returns whether a value is an object, and not binary data."""
    if type(value) is not dict:
        return False
    return len(value) != 1 or type(value.get("b64")) is not str


def _to_bytes(value):
    """Returns the bytes of a str or object; None if it holds none."""
    if type(value) is str:
        return value.encode("utf-8", "surrogateescape")
    if _is_named(value):
        return None
    match = _BASE64.fullmatch(_BASE64_SPACE.sub("", value["b64"]))
    if not match:
        return None
    digits, padding = match.groups()
    missing = -len(digits) % 4
    if missing == 3 or (padding and len(padding) != missing):
        return None
    return base64.b64decode(digits + "=" * missing)


def _to_array(name, shape, values, dtype):
    if len(shape) > _MAX_RANK:
        raise _invalid(f"tensor parsing error: {name}")
    if dtype.name == "string":
        values = list(map(_to_bytes, values))
    to_dtype = dtype.as_numpy_dtype
    array = np.array(values, _WIDER.get(dtype.name, to_dtype))
    with np.errstate(over="ignore"):
        return array.astype(to_dtype, copy=False).reshape(shape)


# Answers.


def _check_batch_sizes(arrays):
    expected = None
    for name, array in arrays.items():
        if not array.ndim:
            raise _invalid(f"Tensor name: {name} has no shape information ")
        expected = len(array) if expected is None else expected
        if len(array) != expected:
            raise _invalid(
                f"Tensor name: {name} has inconsistent batch size: "
                f"{len(array)} expecting: {expected}"
            )


def _texts(name, array):
    """Returns the JSON text of each value, as a flat list."""
    dtype_name = "string" if array.dtype.kind in "OSU" else array.dtype.name
    flat = array.ravel()
    if dtype_name in _RANGES:
        return list(map(str, flat.tolist()))
    if dtype_name in _FLOATS:
        return list(map(decimal, flat))
    if dtype_name == "bool":
        return ["true" if value else "false" for value in flat]
    if dtype_name == "string":
        write = _write_base64 if name.endswith("_bytes") else _write_raw
        return list(map(write, flat.tolist()))
    if not array.size:
        return []
    raise _invalid(
        f"Failed to write JSON value for tensor type: {_type_name(dtype_name)}"
    )


def _write_base64(value):
    return f'{{"b64":"{base64.b64encode(_own_bytes(value)).decode()}"}}'


def _write_raw(value):
    return quote(_own_bytes(value).decode("utf-8", "surrogateescape"))


def _own_bytes(value):
    return value if type(value) is bytes else _to_bytes(value)


def _nest(texts, shape, outer):
    """Joins flat texts into lists; the first `outer` axes stay apart."""
    for axis in range(len(shape) - 1, outer - 1, -1):
        size = shape[axis]
        texts = [
            f"[{','.join(texts[i * size : (i + 1) * size])}]"
            for i in range(math.prod(shape[:axis]))
        ]
    return texts


def _object(members):
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"
