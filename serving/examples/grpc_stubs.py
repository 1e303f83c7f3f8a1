"""Draws a label map with a model server, over gRPC.

    pip install tensorflow-serving-api
    python serving/examples/grpc_stubs.py localhost:8500 map.png 3 image.png

Arguments: the server's gRPC address, a label map (a PNG file in the ids of the
data set's files), a seed (each whole number from 0 is another look), the file
to write the picture to.
"""

import pathlib
import sys

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_service_pb2_grpc


def synthesize(server, label_map, seed):
    """Returns the picture, a PNG file's bytes, of a label map's."""
    # A request says which model is asked, and which of its functions, here
    # called signatures.
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "generator"
    request.model_spec.signature_name = "synthesize_png"
    # Inputs are tensors whose first axis is the batch: lists of one file and
    # of one seed.
    request.inputs["label_map_bytes"].CopyFrom(
        tf.make_tensor_proto([label_map])
    )
    request.inputs["seed"].CopyFrom(tf.make_tensor_proto([seed], tf.int64))

    # A program that asks more than once keeps its channel. By default gRPC
    # refuses answers of more than 4 MiB.
    options = [("grpc.max_receive_message_length", 64 * 2**20)]
    with grpc.insecure_channel(server, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=60)  # Seconds.
    return response.outputs["image_bytes"].string_val[0]


def main():
    if len(sys.argv) != 5:
        sys.exit(f"Usage: {sys.argv[0]} SERVER LABEL_MAP SEED OUTPUT")
    _, server, label_map, seed, output = sys.argv
    try:
        file = pathlib.Path(label_map).read_bytes()
        image = synthesize(server, file, int(seed))
        pathlib.Path(output).write_bytes(image)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
