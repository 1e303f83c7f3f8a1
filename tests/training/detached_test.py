"""Functions without their graph: `tf.function` is the reference."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from oasis_tf.training.detached import Detached

pytestmark = pytest.mark.optimized


@pytest.fixture
def variable():
    return tf.Variable([1.0, 2.0])


def inputs(*shape, dtype=np.float32):
    x = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    return {"x": tf.constant(x), "flag": tf.constant(x.sum() > 3)}


@tf.custom_gradient
def twice(x):
    y = 2 * x
    return y, lambda dy: dy * y / x  # Holds tensors of a graph.


def make(variable, graphs=None):
    """Returns a function with all that a step has: state, calls, branches."""

    def note_graph():
        if graphs is not None:
            graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))

    def function(structure):
        @tf.function(autograph=False)
        def inner(x):
            note_graph()
            return tf.reduce_sum(twice(x) * variable)

        note_graph()
        x = structure["x"]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.cond(
                structure["flag"], lambda: inner(x), lambda: inner(x * x)
            )
        variable.assign_add([1.0, 1.0])
        return {"y": y, "dx": tape.gradient(y, x), "a": tf.size(x)}

    return function


def test_does_as_the_function_in_a_graph(variable):
    other = tf.Variable(variable)
    found = Detached(make(variable))
    expected = tf.function(make(other), autograph=False)
    # Another shape and another type of shape in between.
    for shape in [(3, 2), (1, 2), (3, 2), (3, 2)]:
        arrays = tf.nest.map_structure(np.asarray, inputs(*shape))
        a, b = found(arrays), expected(inputs(*shape))
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])
    np.testing.assert_array_equal(variable, other)
    np.testing.assert_array_equal(variable, [5.0, 6.0])


def test_is_traced_once_for_each_shape(variable):
    graphs = []
    found = Detached(lambda x: graphs.append(x) or {"y": x["x"]})
    for shape in [(3, 2), (1, 2), (3, 2), (1, 2)]:
        found(inputs(*shape))
    assert len(graphs) == 2


def test_names_tell_inputs_apart():
    found = Detached(
        lambda x: {"y": sum((-1) ** len(n) * v for n, v in x.items())}
    )
    one, two = tf.constant(1.0), tf.constant(2.0)
    assert found({"aa": one, "k": two})["y"] == -1
    assert found({"zz": one, "k": two})["y"] == -1


def test_graphs_are_gone_and_those_of_others_are_not(variable):
    others = tf.function(twice, autograph=False)
    others(tf.constant(1.0))
    graphs = []
    found = Detached(make(variable, graphs))
    found(inputs(3, 2))
    assert graphs
    assert {graph() for graph in graphs} == {None}
    with tf.GradientTape() as tape:
        x = tf.constant(3.0)
        tape.watch(x)
        y = others(x)
    assert tape.gradient(y, x) == 2


def test_definitions_go_with_the_object(variable):
    def count():
        gc.collect()
        names = context.context().list_function_names()
        return sum("_detached_" in name for name in names)

    before = count()
    found = Detached(make(variable))
    found(inputs(3, 2))
    found(inputs(1, 2))
    assert count() > before + 2  # Also those that the functions call.
    del found
    assert count() == before
