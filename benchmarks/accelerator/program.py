"""A compiled TensorFlow function as StableHLO, and what its numbers mean."""

import dataclasses
import re

import tensorflow as tf

# As StableHLO writes them, by NumPy's name.
_TYPES = {
    "bool": "i1",
    "uint8": "ui8",
    "int32": "i32",
    "uint32": "ui32",
    "int64": "i64",
    "uint64": "ui64",
    "float16": "f16",
    "bfloat16": "bf16",
    "float32": "f32",
    "float64": "f64",
}


@dataclasses.dataclass
class Program:
    """A program for any device that XLA compiles for.

    Args:
        text: StableHLO. It lets each result of kind "update" take the memory
            of its variable's argument.
        arguments: in order, dicts of "name", "shape", "dtype" and "kind":
            "input" or "variable".
        results: in order, the same of kind "output", or "update": the new
            value of the variable of that name.
    """

    text: str
    arguments: list
    results: list


def lower(function, inputs, variables):
    """Translates a function to StableHLO.

    What TensorFlow does not say about the program's arguments and results is
    read from its text, and their types are compared: arguments are the inputs
    and then the variables as the function captured them; results are the
    outputs and then the variables that it writes to.

    Args:
        function: `tf.function` with `jit_compile=True`, of {name: tensor},
            returning {name: tensor}.
        inputs: {name: `tf.TensorSpec`}, of known shapes.
        variables: {name: `tf.Variable`} of all that the function uses.

    Returns:
        `Program`.

    Raises:
        ValueError: if the function uses another variable or an array, if it
            needs code that only TensorFlow has, or if the text is not as
            expected.
    """
    # It takes specifications of single arguments only, tensors in dicts too.
    zeros = {n: tf.zeros(spec.shape, spec.dtype) for n, spec in inputs.items()}
    concrete = function.get_concrete_function(zeros)
    text = function.experimental_get_compiler_ir(zeros)(stage="stablehlo")
    text = _without_copies(text)
    _check_operations(text)
    # TensorFlow takes a dict's values by their sorted names.
    arguments = [
        *(_entry(name, inputs[name], "input") for name in sorted(inputs)),
        *_captured(concrete, variables),
    ]
    argument_types, result_types = _main_types(text)
    _check_types("arguments", arguments, argument_types)

    outputs = concrete.structured_outputs
    results = [_entry(n, outputs[n], "output") for n in sorted(outputs)]
    aliases = _aliases(text)
    expected = range(len(results), len(result_types))
    if sorted(aliases) != list(expected):
        raise ValueError(
            f"The results after the {len(results)} outputs must each be a "
            f"variable's new value. Received: {len(result_types)} results, "
            f"{len(aliases)} of them in a variable's memory."
        )
    results += [arguments[aliases[i]] | {"kind": "update"} for i in expected]
    _check_types("results", results, result_types)
    return Program(text, arguments, results)


def state_variables(state):
    """Returns {name: `tf.Variable`} of all that a training step changes.

    Args:
        state: `TrainState`, made without replicas.
    """
    named = {}
    for part, value in vars(state).items():
        if isinstance(value, tf.Variable):
            named[part] = value
        else:
            named |= model_variables(part, value)
    return named


def model_variables(name, model):
    """Returns {name: `tf.Variable`} of a model or an optimizer.

    Args:
        name: what the variables' own names begin with.
        model: built, without replicas.
    """
    return {f"{name}/{v.path}": v.value for v in model.variables}


def _without_copies(text):
    """Returns a program without the copies that end it.

    TensorFlow copies each new value of a variable, by an operation that is not
    StableHLO's: a reshape to the same shape stands for it, of which the
    compiler leaves nothing.
    """
    return re.sub(
        r"= mhlo\.copy (%\w+) : (tensor<.*?>)",
        r"= stablehlo.reshape \1 : (\2) -> \2",
        text,
    )


def _check_operations(text):
    operations = re.findall(r'^ *%[\w:]+ = "?([\w.]+)', text, re.MULTILINE)
    other = {
        name
        for name in operations
        if name not in ("call", "func.call")
        and not name.startswith("stablehlo.")
        or name == "stablehlo.custom_call"
    }
    if other:
        raise ValueError(
            "The function must consist of StableHLO's own operations. "
            f"Received: {', '.join(sorted(other))}."
        )


def _captured(concrete, variables):
    names = {id(v.handle): name for name, v in variables.items()}
    entries = []
    for captured in concrete.captured_inputs:
        name = names.get(id(captured))
        if name is None:
            raise ValueError(
                "The function must use no variables or arrays but those that "
                f"are named. Received: {captured}."
            )
        entries.append(_entry(name, variables[name], "variable"))
    return entries


def _entry(name, tensor, kind):
    return {
        "name": name,
        "shape": tensor.shape.as_list(),
        "dtype": tensor.dtype.name,
        "kind": kind,
    }


def _main_types(text):
    """Returns the types of the program's arguments and of its results."""
    signature = re.search(r"func\.func @main\((.*)\{$", text, re.MULTILINE)[1]
    arguments = re.findall(r"%arg\d+: tensor<(.*?)>", signature)
    results = signature.rpartition("->")[2]
    return arguments, re.findall(r"tensor<(.*?)>", results)


def _aliases(text):
    """Returns {number of a result: argument whose memory it may take}."""
    return {
        int(result or 0): int(argument)
        for argument, result in re.findall(
            r"parameter_number = (\d+) : i64\}, "
            r"output_index = array<i64(?:: (\d+))?>",
            text,
        )
    }


def _check_types(what, entries, types):
    expected = [
        "x".join([*map(str, entry["shape"]), _TYPES[entry["dtype"]]])
        for entry in entries
    ]
    if types == expected:
        return
    differences = [
        f"{entry['name']} {mine}, in the text {found}"
        for entry, mine, found in zip(entries, expected, types)
        if mine != found
    ]
    raise ValueError(
        f"The program's {what} must be those of the function. Received: "
        f"{len(expected)}, in the text {len(types)}; {differences[:1]}."
    )
