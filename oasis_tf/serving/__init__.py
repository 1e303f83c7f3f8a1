"""Local model server and client, speaking TensorFlow Serving's API."""
