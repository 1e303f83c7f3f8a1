"""Settings of all tests: two logical CPU devices stand in for two GPUs."""

import tensorflow as tf

# TensorFlow takes them only before it first computes something, which a test
# module may do as it is imported.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
