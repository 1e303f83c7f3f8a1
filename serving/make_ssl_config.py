r"""Writes the file for TF Serving's --ssl_config_file.

    python serving/make_ssl_config.py --key=server.key --cert=server.crt \
        --out=serving/ssl.config

The file holds the texts of the PEM files, not their names, so it is as secret
as the key: only its owner can read it. With `--ca` clients must show a
certificate of that authority. Exits with 2 if a file is not as it must be.
"""

import argparse
import json
import os
import pathlib
import ssl
import sys
import tempfile


def ssl_config(key, cert, ca=None):
    """Returns the text of an `SSLConfig`.

    Args:
        key: path of the server's private key, PEM, without a password.
        cert: path of its certificate, PEM; then those that lead to the root.
        ca: path of the certificate that clients' are verified with, or None.

    Raises:
        ValueError: if a file cannot be read or is not of that kind, or the key
            is another certificate's.
    """
    texts = {"server_key": _read(key), "server_cert": _read(cert)}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty password, or it would be asked for.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise ValueError(
            "`--key` must be the PEM key of `--cert`, without a password. "
            f"Received: {key}, {cert} ({error})."
        ) from error
    if ca:
        texts["custom_ca"] = _read(ca)
        try:
            context.load_verify_locations(ca)
        except ssl.SSLError as error:
            raise ValueError(
                f"`--ca` must be a PEM certificate. Received: {ca} ({error})."
            ) from error
    # A string of JSON is one of the text format, too.
    lines = [f"{name}: {json.dumps(text)}" for name, text in texts.items()]
    lines.append(f"client_verify: {json.dumps(bool(ca))}")
    return "\n".join(lines) + "\n"


def write(path, text):
    """Writes a file that only its owner can read, whole or not at all."""
    path = pathlib.Path(path)
    handle, temporary = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _read(path):
    try:
        return pathlib.Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} must be a PEM file. Received: {error}."
        ) from error


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", required=True, help="Private key, PEM.")
    parser.add_argument("--cert", required=True, help="Certificate, PEM.")
    parser.add_argument("--ca", help="Of the clients' certificates, PEM.")
    parser.add_argument("--out", required=True, help="File to write.")
    arguments = parser.parse_args()
    try:
        text = ssl_config(arguments.key, arguments.cert, arguments.ca)
    except ValueError as error:
        return _fail(error)
    try:
        write(arguments.out, text)
    except OSError as error:
        return _fail(f"`--out` must be a file to write. Received: {error}.")
    return 0


def _fail(error):
    print(f"make_ssl_config: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
