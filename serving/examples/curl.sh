#!/usr/bin/env bash
# Draws a label map with a model server, with nothing but curl.
#
#     serving/examples/curl.sh http://localhost:8501 map.png 3 image.png
#
# Arguments: the server's REST address, a label map (a PNG file in the ids of
# the data set's files), a seed (each whole number from 0 is another look), the
# file to write the picture to.

set -euo pipefail
[ $# = 4 ] || { echo "Usage: $0 SERVER LABEL_MAP SEED OUTPUT" >&2; exit 2; }
server=$1 label_map=$2 seed=$3 output=$4
[ -r "$label_map" ] || { echo "No such file: $label_map" >&2; exit 2; }
[[ $seed =~ ^[0-9]+$ ]] || { echo "No seed: $seed" >&2; exit 2; }

# The request is JSON. "signature_name" says which of the model's functions is
# asked, "instances" lists the examples to run it on: here one. JSON has no
# bytes, so files are written as {"b64": "<base64>"}.
request() {
    printf '{"signature_name": "synthesize_png", "instances": ['
    printf '{"label_map_bytes": {"b64": "%s"}, "seed": %s}]}' \
        "$(base64 < "$label_map" | tr -d '\n')" "$seed"
}

# The last part of the address is the model's name and ":predict". An error is
# told as {"error": "..."}.
answer=$(
    request | curl --silent --show-error --fail-with-body --max-time 60 \
        --data-binary @- "$server/v1/models/generator:predict"
) || { echo "$answer" >&2; exit 1; }

# The answer, {"predictions": [{"b64": "<base64>"}]}, has one entry for each
# instance.
sed -n 's/.*"b64": *"\([^"]*\)".*/\1/p' <<< "$answer" | base64 -d > "$output"
