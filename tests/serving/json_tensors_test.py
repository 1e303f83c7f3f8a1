"""JSON of the REST API: reading requests, writing answers, errors of both."""

import contextlib
import json
import random
import time

import numpy as np
import tensorflow as tf
from absl.testing import parameterized

from oasis_tf.serving import json_parsing
from oasis_tf.serving import json_tensors
from oasis_tf.serving.status import StatusError

FLOAT = {"x": tf.float32}
TWO = {"a": tf.int32, "b": tf.int32}


def read(body, dtypes):
    body = body.encode() if isinstance(body, str) else body
    return json_tensors.parse(body).read_inputs(dtypes)[0]


def read_value(value, dtype):
    """Returns the tensor of a value in columnar form."""
    return read(f'{{"inputs": {value}}}', {"x": dtype})["x"]


class TestCase(tf.test.TestCase, parameterized.TestCase):
    def assertStatus(self, message, function, *args, code="INVALID_ARGUMENT"):
        with self.assertRaises(StatusError) as context:
            function(*args)
        self.assertEqual(context.exception.message, message)
        self.assertEqual(context.exception.code, code)

    def assertArray(self, array, expected, dtype):
        self.assertEqual(array.dtype, dtype)
        self.assertEqual(array.shape, np.shape(expected))
        self.assertEqual(array.tolist(), expected)


class ParseTest(TestCase):
    @parameterized.parameters(
        ("{}", "serving_default"),
        ('{"signature_name": ""}', "serving_default"),
        ('{"signature_name": "png"}', "png"),
        ('{"signature_name": "a", "signature_name": 5}', "a"),
        (' \n\r\t{"signature_name": "a"} and more', "a"),
        ('\ufeff{"signature_name": "a"}', "a"),
    )
    def test_tells_the_signature(self, body, name):
        document = json_tensors.parse(body.encode())
        self.assertEqual(document.signature_name, name)

    @parameterized.parameters("5", "null", "true", '["a"]', "{}")
    def test_signature_name_must_be_a_string(self, value):
        self.assertStatus(
            f'JSON Value: {{\n    "signature_name": {value}\n}} not formatted '
            "correctly. 'signature_name' key must be a string value.",
            json_tensors.parse,
            f'{{"signature_name": {value}}}'.encode(),
        )

    @parameterized.parameters(
        ("[1]", "[1]"),
        ("[ ]", "[]"),
        ("null", "null"),
        ("true", "true"),
        ('"a\\u00e9\\n"', '"aé\\n"'),
        ("1", "1"),
        ("1.50", "1.5"),
        ("2e0", "2.0"),
        ("9000000.0", "9e+06"),
        ("0.1", "0.1"),
        ("1e300", "1e+300"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744e+19"),
        ("-Infinity", "-Infinity"),
    )
    def test_top_level_must_be_an_object(self, body, printed):
        self.assertStatus(
            f"JSON Value: {printed} Is not object",
            json_tensors.parse,
            body.encode(),
        )

    def test_empty_body_has_a_text_of_its_own(self):
        self.assertStatus(
            "JSON Parse error: The document is empty", json_tensors.parse, b""
        )

    @parameterized.parameters(
        (" \n", "The document is empty.", 2),
        ("\ufeff", "The document is empty.", 3),
        ("instances = [1]", "Invalid value.", 0),
        ("{", "Missing a name for object member.", 1),
        ("{ 1", "Missing a name for object member.", 2),
        ('{"a": 1, }', "Missing a name for object member.", 9),
        ('{"a" 1}', "Missing a colon after a name of object member.", 5),
        ('{"a": }', "Invalid value.", 6),
        ('{"a": 1 ]', "Missing a comma or } after an object member.", 8),
        ('{"a": 01}', "Missing a comma or } after an object member.", 7),
        ("[1 2]", "Missing a comma or ] after an array element.", 3),
        ("[1", "Missing a comma or ] after an array element.", 2),
        ("[1,]", "Invalid value.", 3),
        ("[+1]", "Invalid value.", 1),
        ("[-]", "Invalid value.", 2),
        ("[-null]", "Invalid value.", 2),
        ("[nul]", "Invalid value.", 4),
        ("[True]", "Invalid value.", 1),
        ("[Nan]", "Invalid value.", 3),
        ("[Infinite]", "Invalid value.", 8),
        ('{"é": ?}', "Invalid value.", 7),
        ('["a', "Missing a closing quotation mark in string.", 3),
        ('["a\0"]', "Missing a closing quotation mark in string.", 3),
        ('["a\n"]', "Invalid escape character in string.", 3),
        ('["ab\\x"]', "Invalid escape character in string.", 4),
        ('["\\u00g0"]', "Incorrect hex digit after \\u escape in string.", 2),
        ('["\\ud800"]', "The surrogate pair in string is invalid.", 2),
        ('["\\ud800\\u0041"]', "The surrogate pair in string is invalid.", 2),
        (
            '["\\ud800\\u1"]',
            "Incorrect hex digit after \\u escape in string.",
            2,
        ),
        ("[1.]", "Miss fraction part in number.", 3),
        ("[1.e5]", "Miss fraction part in number.", 3),
        ("[1e]", "Miss exponent in number.", 3),
        ("[1.5e+]", "Miss exponent in number.", 6),
        ("[ 1e999]", "Number too big to be stored in double.", 2),
        ("[-" + "9" * 400 + "]", "Number too big to be stored in double.", 1),
        ("[" + "9" * 5000 + "]", "Number too big to be stored in double.", 1),
    )
    def test_broken_json_is_told_with_its_byte(self, body, what, offset):
        self.assertStatus(
            f"JSON Parse error: {what} at offset: {offset}",
            json_tensors.parse,
            body.encode(),
        )

    def test_nesting_has_a_limit(self):
        self.assertStatus(
            f"JSON Value: {'[' * 256}... Is not object",
            json_tensors.parse,
            b"[" * 100_000 + b"]" * 100_000,
        )
        self.assertStatus(
            "JSON Parse error: Nested more than 100000 deep. at offset: 100000",
            json_tensors.parse,
            b"[" * 100_001 + b"]" * 100_001,
        )

    @parameterized.parameters(
        '{"a": [1, -0, 2.5e-3, true, false, null, "\\u00e9\\"\\\\\\/\\b", {}]}',
        '{"a": {"b": [[], [[1]], {"c": ""}]}, "a": 2, "d": [1e22, 1E+2]}',
        '{"a": [123456789012345678901234567890, -9223372036854775809]}',
    )
    def test_slow_reader_agrees_with_the_fast_one(self, body):
        # A byte order mark, and nothing else, asks for the slow one.
        slow = json_parsing.parse(b"\xef\xbb\xbf" + body.encode())
        fast = json_parsing.parse(body.encode())
        self.assertEqual(repr(slow), repr(fast))


class ValueTest(TestCase):
    """Every dtype, in columnar form."""

    @parameterized.parameters(
        (tf.int32, [[0, -1], [2**31 - 1, -(2**31)]]),
        (tf.int64, [2**63 - 1, -(2**63)]),
        (tf.uint32, [0, 2**32 - 1]),
        (tf.uint64, [0, 2**64 - 1]),
        (tf.int8, [-128, 127]),
        (tf.uint8, [0, 255]),
        (tf.int16, [-(2**15), 2**15 - 1]),
        (tf.bool, [[True], [False]]),
        (tf.float32, [0.5, -1.5]),
        (tf.float64, [0.1, 1e300]),
        (tf.int32, 7),
        (tf.float32, [[], []]),
        (tf.float32, [[[]]]),
        (tf.uint8, []),
        (tf.string, []),
        (tf.float16, []),
        (tf.bfloat16, [[]]),
    )
    def test_values_keep_type_and_shape(self, dtype, value):
        array = read_value(json.dumps(value), dtype)
        self.assertArray(array, value, dtype.as_numpy_dtype)

    @parameterized.parameters(
        (tf.uint8, [300, -1, 255], [44, 255, 255]),
        (tf.int8, [128, 300, -129], [-128, 44, 127]),
        (tf.int16, [65536, 32768, 2**31 - 1], [0, -32768, -1]),
    )
    def test_small_integers_wrap(self, dtype, value, wrapped):
        array = read_value(json.dumps(value), dtype)
        self.assertArray(array, wrapped, dtype.as_numpy_dtype)

    @parameterized.parameters(tf.float32, tf.float64)
    def test_floats_take_any_number(self, dtype):
        big = "1" + "0" * 20
        array = read_value(
            f"[1, {big}, -0, NaN, Infinity, -Infinity, Inf, -Inf]", dtype
        )
        self.assertEqual(array.dtype, dtype.as_numpy_dtype)
        self.assertAllEqual(
            array[:3], np.array([1, 1e20, 0]).astype(array.dtype)
        )
        self.assertTrue(np.isnan(array[3]))
        self.assertAllEqual(array[4:], [np.inf, -np.inf, np.inf, -np.inf])

    def test_numbers_beyond_float32_become_infinite(self):
        array = read_value("[1e39, -1e300, 1e-60]", tf.float32)
        self.assertArray(array, [np.inf, -np.inf, 0.0], np.float32)

    @parameterized.parameters(
        ('"a"', b"a"),
        ('""', b""),
        ('"\\u00e9\\n"', b"\xc3\xa9\n"),
        ('"é"', b"\xc3\xa9"),
        ('"\\ud83d\\ude00"', b"\xf0\x9f\x98\x80"),
        # RapidJSON writes a second half without a first as three bytes.
        ('"\\ude00"', b"\xed\xb8\x80"),
        ('"a\\u0000"', b"a\0"),
        ('{"b64": "aGVsbG8="}', b"hello"),
        ('{"b64": "aGVsbG8"}', b"hello"),
        ('{"b64": "aGVs bG8=\\n"}', b"hello"),
        ('{"b64": "aGVsbA=="}', b"hell"),
        ('{"b64": "aGVsbA"}', b"hell"),
        ('{"b64": "AAA="}', b"\0\0"),
        ('{"b64": ""}', b""),
    )
    def test_strings_become_bytes(self, value, expected):
        self.assertArray(read_value(value, tf.string), expected, object)
        array = read_value(f"[[{value}], [{value}]]", tf.string)
        self.assertArray(array, [[expected], [expected]], object)

    def test_bytes_that_are_not_utf8_are_kept(self):
        inputs = read(b'{"inputs": "\xff\xfe\xed\xa0\x80"}', {"x": tf.string})
        self.assertEqual(inputs["x"].item(), b"\xff\xfe\xed\xa0\x80")

    @parameterized.parameters(
        "a",
        "abcde",
        "a===",
        "aGVsbA=",
        "aGVsbG8==",
        "aGVs=",
        "a*bc",
        "é",
        "-_-_",
    )
    def test_bad_base64_is_told(self, text):
        self.assertStatus(
            "Unable to base64 decode",
            read_value,
            f'["ok", {{"b64": "{text}"}}]',
            tf.string,
        )

    @parameterized.parameters(
        (tf.int32, "1.0", "Number", "int32"),
        (tf.int32, "1.5", "Number", "int32"),
        (tf.int32, "2147483648", "Number", "int32"),
        (tf.int32, "-2147483649", "Number", "int32"),
        (tf.int32, "true", "True", "int32"),
        (tf.int32, "null", "Null", "int32"),
        (tf.int32, '"1"', "String", "int32"),
        (tf.int32, "{}", "Object", "int32"),
        (tf.uint8, "4294967296", "Number", "uint8"),
        (tf.int8, "1.5", "Number", "int8"),
        (tf.int16, "NaN", "Number", "int16"),
        (tf.uint32, "-1", "Number", "uint32"),
        (tf.uint32, "4294967296", "Number", "uint32"),
        (tf.uint64, "-1", "Number", "uint64"),
        (tf.int64, "9223372036854775808", "Number", "int64"),
        (tf.float32, "null", "Null", "float"),
        (tf.float32, "true", "True", "float"),
        (tf.float64, '"NaN"', "String", "double"),
        (tf.bool, "1", "Number", "bool"),
        (tf.bool, "0.5", "Number", "bool"),
        (tf.string, "5", "Number", "string"),
        (tf.string, "false", "False", "string"),
        (tf.string, "null", "Null", "string"),
    )
    def test_wrong_types_are_told(self, dtype, value, json_type, name):
        message = (
            f"JSON Value: {value} Type: {json_type} is not of expected type: "
            f"{name}"
        )
        self.assertStatus(message, read_value, f"[[{value}]]", dtype)
        good = {"bool": "true", "string": '"a"'}.get(name, "1")
        self.assertStatus(
            message, read_value, f"[[{good}], [{value}], [[]]]", dtype
        )
        if value != "{}":  # That would be an object of named inputs.
            self.assertStatus(message, read_value, value, dtype)

    def test_objects_in_string_tensors_must_be_binary_data(self):
        self.assertStatus(
            'JSON Value: {\n    "b64": "YQ==",\n    "x": 1\n} not formatted '
            "correctly for base64 data",
            read_value,
            '["a", {"b64": "YQ==", "x": 1}]',
            tf.string,
        )

    def test_objects_are_no_numbers_even_with_binary_data(self):
        self.assertStatus(
            'JSON Value: {\n    "b64": "YQ=="\n} Type: Object is not of '
            "expected type: int64",
            read_value,
            '{"b64": "YQ=="}',
            tf.int64,
        )

    @parameterized.parameters(
        (tf.float16, "half"),
        (tf.bfloat16, "bfloat16"),
        (tf.uint16, "uint16"),
        (tf.complex64, "complex64"),
    )
    def test_other_dtypes_cannot_be_written(self, dtype, name):
        self.assertStatus(
            f"Conversion of JSON Value: 1.5 to type: {name}",
            read_value,
            "[1.5]",
            dtype,
            code="UNIMPLEMENTED",
        )

    @parameterized.parameters(
        (
            "[[1, 2], [3]]",
            "Encountered list at unexpected size: 1 at level: 1 expected "
            "size: 2",
        ),
        (
            "[[1], []]",
            "Encountered list at unexpected size: 0 at level: 1 expected "
            "size: 1",
        ),
        ("[1, [2]]", "Encountered list at unexpected level: 1 expected < 1"),
        (
            "[[1], 2]",
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. "
            "Expected at level: 2",
        ),
        (
            "[[], null]",
            "JSON Value: null found at incorrect level: 2 in the JSON DOM. "
            "Expected at level: 2",
        ),
        (
            '[[1, "a"], [3]]',
            'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            '[[1, 2], [3], ["a"]]',
            "Encountered list at unexpected size: 1 at level: 1 expected "
            "size: 2",
        ),
    )
    def test_first_irregularity_is_told(self, value, message):
        self.assertStatus(message, read_value, value, tf.float32)

    def test_reads_a_large_label_map(self):
        label_map = np.arange(2 * 64 * 32).reshape(2, 64, 32) % 183
        array = read_value(json.dumps(label_map.tolist()), tf.int32)
        self.assertAllEqual(array, label_map)
        self.assertEqual(array.dtype, np.int32)


class ColumnarTest(TestCase):
    def test_reads_tensors_by_name(self):
        document = json_tensors.parse(
            b'{"inputs": {"b": [[1, 2]], "a": 3, "other": "ignored"}}'
        )
        inputs, is_row = document.read_inputs(TWO)
        self.assertFalse(is_row)
        self.assertLen(inputs, 2)
        self.assertArray(inputs["a"], 3, np.int32)
        self.assertArray(inputs["b"], [[1, 2]], np.int32)

    def test_single_input_needs_no_name(self):
        self.assertArray(read_value("[1, 2]", tf.int32), [1, 2], np.int32)
        self.assertArray(read_value('{"x": 1}', tf.int32), 1, np.int32)

    def test_of_a_repeated_key_the_first_counts(self):
        inputs = read(
            '{"inputs": {"x": 1, "x": 2}, "inputs": 3}', {"x": tf.int32}
        )
        self.assertArray(inputs["x"], 1, np.int32)

    @parameterized.parameters("[1]", "1", "null", '{"b64": "YQ=="}')
    def test_several_inputs_need_names(self, value):
        self.assertStatus(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map",
            read,
            f'{{"inputs": {value}}}',
            TWO,
        )

    @parameterized.parameters('{"a": 1}', "{}", '{"a": 1, "c": 2}')
    def test_missing_names_are_told(self, value):
        name = "b" if "a" in value else "a"
        self.assertStatus(
            f"Missing named input: {name} in 'inputs' object.",
            read,
            f'{{"inputs": {value}}}',
            TWO,
        )


class RowTest(TestCase):
    def test_stacks_plain_values(self):
        document = json_tensors.parse(b'{"instances": [[1, 2], [3, 4]]}')
        inputs, is_row = document.read_inputs({"x": tf.int32})
        self.assertTrue(is_row)
        self.assertArray(inputs["x"], [[1, 2], [3, 4]], np.int32)

    def test_scalars_become_a_batch(self):
        inputs = read('{"instances": [1, 2, 3]}', FLOAT)
        self.assertArray(inputs["x"], [1, 2, 3], np.float32)

    def test_stacks_objects_by_name(self):
        inputs = read(
            '{"instances": [{"a": 1, "b": [2, 3]}, {"b": [5, 6], "a": 4}]}',
            TWO,
        )
        self.assertArray(inputs["a"], [1, 4], np.int32)
        self.assertArray(inputs["b"], [[2, 3], [5, 6]], np.int32)

    def test_single_input_may_be_named(self):
        inputs = read('{"instances": [{"x": [1]}, {"x": [2]}]}', FLOAT)
        self.assertArray(inputs["x"], [[1], [2]], np.float32)

    def test_binary_data_is_a_value(self):
        dtypes = {"b64": tf.string}
        inputs = read('{"instances": [{"b64": "YQ=="}, "b"]}', dtypes)
        self.assertArray(inputs["b64"], [b"a", b"b"], object)
        inputs = read('{"instances": [{"x": {"b64": "YQ"}}]}', {"x": tf.string})
        self.assertArray(inputs["x"], [b"a"], object)

    @parameterized.parameters('{"b64": 5}', '{"b64": "YQ==", "x": 1}')
    def test_other_objects_with_b64_are_named_inputs(self, element):
        self.assertStatus(
            "Failed to process element: 0 key: b64 of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: b64",
            read,
            f'{{"instances": [{element}]}}',
            {"x": tf.string},
        )

    @parameterized.parameters("5", "{}", '"a"', "null")
    def test_instances_must_be_a_list(self, value):
        self.assertStatus(
            f'JSON Value: {{\n    "instances": {value}\n}} Expecting '
            "'instances' to be an list/array",
            read,
            f'{{"instances": {value}}}',
            FLOAT,
        )

    def test_instances_must_not_be_empty(self):
        self.assertStatus(
            "JSON Value: {\n    \"instances\": []\n} No values in 'instances' "
            "array",
            read,
            '{"instances": []}',
            FLOAT,
        )

    def test_one_of_the_keys_is_needed(self):
        self.assertStatus(
            "Missing 'inputs' or 'instances' key", read, '{"input": 1}', FLOAT
        )

    def test_both_keys_are_too_many(self):
        self.assertStatus(
            'JSON Value: {\n    "instances": [1.0],\n    "inputs": [1.0]\n} '
            "Not formatted correctly expecting only one of 'inputs' or "
            "'instances' keys to exist ",
            read,
            '{"instances": [1.0], "inputs": [1.0]}',
            FLOAT,
        )

    def test_signature_without_inputs_is_told(self):
        self.assertStatus(
            "Failed to get input map for signature: s",
            read,
            '{"signature_name": "s", "instances": [1]}',
            {},
        )

    @parameterized.parameters("[1]", '{"b64": "YQ=="}')
    def test_several_inputs_need_objects(self, element):
        self.assertStatus(
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map",
            read,
            f'{{"instances": [{element}]}}',
            TWO,
        )

    def test_missing_names_are_told_with_the_element(self):
        self.assertStatus(
            "Failed to process element: 1 of 'instances' list. JSON object: "
            '{\n    "a": 3\n} keys must be equal to: a,b',
            read,
            '{"instances": [{"b": 1, "a": 2}, {"a": 3}]}',
            TWO,
        )

    def test_unknown_names_are_told_before_missing_ones(self):
        self.assertStatus(
            "Failed to process element: 0 key: c of 'instances' list. Error: "
            "INVALID_ARGUMENT: JSON object: does not have named input: c",
            read,
            '{"instances": [{"a": 1, "c": 2}]}',
            TWO,
        )

    @parameterized.parameters(
        ('{"x": 1}, 2', "object but got list at item 1"),
        ('{"x": 1}, {"b64": ""}', "object but got list at item 1"),
        ('1, 2, {"x": 1}', "value/list but got object at item 2"),
    )
    def test_forms_must_not_be_mixed(self, elements, what):
        self.assertStatus(
            f"Expecting {what} of input list",
            read,
            f'{{"instances": [{elements}]}}',
            FLOAT,
        )

    @parameterized.parameters(
        ("[1, 2]", "[3]", "Expecting tensor size: 2 but got: 1"),
        ("[1, 2]", "[[3, 4]]", "Expecting shape [2] but got: [1,2]"),
        ("1", "[1]", "Expecting shape [] but got: [1]"),
        (
            "[1]",
            "null",
            "JSON Value: null Type: Null is not of expected type: float",
        ),
        (
            "[1]",
            "[[1], [1, 2]]",
            "Encountered list at unexpected size: 2 at level: 1 expected "
            "size: 1",
        ),
    )
    def test_elements_must_be_alike(self, first, second, what):
        for body, key in (
            ('{"instances": [%s, %s]}', ""),
            ('{"instances": [{"x": %s}, {"x": %s}]}', " key: x"),
        ):
            self.assertStatus(
                f"Failed to process element: 1{key} of 'instances' list. "
                f"Error: INVALID_ARGUMENT: {what}",
                read,
                body % (first, second),
                FLOAT,
            )

    def test_dtypes_that_cannot_be_written_are_told_with_the_element(self):
        self.assertStatus(
            "Failed to process element: 0 of 'instances' list. Error: "
            "UNIMPLEMENTED: Conversion of JSON Value: 1 to type: half",
            read,
            '{"instances": [1]}',
            {"x": tf.float16},
            code="UNIMPLEMENTED",
        )

    def test_bad_base64_is_told_with_the_element(self):
        self.assertStatus(
            "Failed to process element: 1 of 'instances' list. Error: "
            "INVALID_ARGUMENT: Unable to base64 decode",
            read,
            '{"instances": ["a", {"b64": "a"}]}',
            {"x": tf.string},
        )


class RobustnessTest(TestCase):
    @parameterized.parameters(65, 255, 3_000, 99_000)
    def test_tensors_of_very_many_dimensions_are_refused(self, depth):
        nested = "[" * depth + "]" * depth
        for key in ("instances", "inputs"):
            self.assertStatus(
                "tensor parsing error: x", read, f'{{"{key}": {nested}}}', FLOAT
            )

    @parameterized.parameters(
        (100_000, "Nested more than 100000"),
        (1_000_000, "Nested too deep for a long text"),
    )
    def test_more_nesting_is_refused(self, depth, message):
        body = '{"inputs": ' + "[" * depth + "]" * depth + "}"
        with self.assertRaisesRegex(StatusError, message):
            read(body, FLOAT)

    @parameterized.parameters(
        # What the fast reader takes, it takes at any length.
        ('"\\ud83d\\ude00"', None),
        ('"\\\\\\ud83d\\ude00"', None),
        ("1" * 299, None),
        # Escaped, the backslash begins no pair.
        ('"\\\\ud83d\\ude00"', "Unusual"),
        ('"\\ud800"', "Unusual"),
        ("1" * 300, "Unusual"),
        ("tru", "Expecting value"),
    )
    def test_long_texts_are_read_fast_or_refused(self, value, message):
        body = '{"a": [' + "[1, 2]," * 200_000 + value + '], "inputs": 1}'
        context = (
            self.assertRaisesRegex(StatusError, message)
            if message
            else contextlib.nullcontext()
        )
        start = time.process_time()
        with context:
            json_tensors.parse(body.encode())
        # It takes about 0.3 s; time that grows with the square would be hours.
        self.assertLess(time.process_time() - start, 20)

    @parameterized.parameters("[", '{"a":')
    def test_deep_values_are_cut_in_errors(self, start):
        end = {"[": "]", '{"a":': "}"}[start]
        nested = start * 99_000 + "1" + end * 99_000
        with self.assertRaises(StatusError) as context:
            read(f'{{"signature_name": {nested}}}', FLOAT)
        self.assertStartsWith(
            context.exception.message, 'JSON Value: {\n    "signature_name": '
        )
        self.assertLess(len(context.exception.message), 400)

    @parameterized.parameters(
        ('"' + "a" * 1000 + '"', '"' + "a" * 255),
        ("[" + "1, " * 1000 + "1]", "[" + "1, " * 85),
        ('"' + "a" * 254 + '"', None),
        ('"' + "a" * 255 + '"', '"' + "a" * 255),
    )
    def test_values_are_cut_at_256_characters(self, value, printed):
        printed = value if printed is None else printed + "..."
        self.assertStatus(
            f"JSON Value: {printed} Is not object",
            json_tensors.parse,
            value.encode(),
        )

    def test_values_are_printed_as_rapidjson_does(self):
        self.assertStatus(
            'JSON Value: [1, [], {}, {\n        "a": null,\n        "b": '
            '[true, {\n                "c": -0.5\n            }]\n    }] Is '
            "not object",
            json_tensors.parse,
            b'[1,[],{},{"a":null,"b":[true,{"c":-0.5}]}]',
        )

    def test_changed_bodies_are_read_or_refused(self):
        body = (
            '{"signature_name": "é\\u00e9\\ud83d\\ude00", "instances": '
            '[{"a": [[1, -2.5e3], [3, NaN]], "b": {"b64": "aGVsbG8="}}, '
            '{"a": [[4, 5], [6, 7]], "b": "text"}], "other": [null, true]}'
        ).encode()
        dtypes = {"a": tf.float32, "b": tf.string}
        rng = random.Random(0)
        num_read = 0
        for _ in range(300):
            changed = bytearray(body)
            for _ in range(rng.randint(1, 4)):
                start = rng.randrange(len(changed))
                length = rng.choice([0, 0, 1, 1, 2, 9])
                pick = rng.randrange(len(body))
                changed[start : start + length] = rng.choice(
                    [
                        b"",
                        bytes([rng.randrange(256)]),
                        rng.choice([b"[", b"]", b"{", b"}", b'"', b",", b"0"]),
                        body[pick : pick + rng.randint(1, 20)],
                    ]
                )
            try:
                inputs, _ = json_tensors.parse(bytes(changed)).read_inputs(
                    dtypes
                )
                self.assertLen(inputs, 2)
                num_read += 1
            except StatusError as error:
                self.assertIn(error.code, ["INVALID_ARGUMENT"])
        self.assertGreater(num_read, 10)


class WriteOutputsTest(TestCase):
    def write(self, is_row=False, **outputs):
        return json_tensors.write_outputs(outputs, is_row)

    @parameterized.parameters(
        (np.array([[1, -2], [3, 4]], np.int8), b"[[1,-2],[3,4]]"),
        (np.array([0, 255], np.uint8), b"[0,255]"),
        (np.array([-(2**15)], np.int16), b"[-32768]"),
        (np.array(-7, np.int32), b"-7"),
        (np.array([2**63 - 1], np.int64), b"[9223372036854775807]"),
        (np.array([2**32 - 1], np.uint32), b"[4294967295]"),
        (np.array([2**64 - 1], np.uint64), b"[18446744073709551615]"),
        (np.array([[True, False]]), b"[[true,false]]"),
        (np.zeros([2, 0, 3], np.int32), b"[[],[]]"),
        (np.zeros([0, 3], np.float16), b"[]"),
        (
            np.array([b"a", b'"\\\n\xc3\xa9'], object),
            b'["a","\\"\\\\\\n\xc3\xa9"]',
        ),
        (np.array([b"\xff\xfe\0"], object), b'["\xff\xfe\\u0000"]'),
        (np.array("a", object), b'"a"'),
        (b"a\0", b'"a\\u0000"'),
    )
    def test_writes_each_type(self, value, text):
        self.assertEqual(self.write(y=value), b'{"outputs":' + text + b"}")

    @parameterized.parameters(
        (3, b"3.0"),
        (9e6, b"9e+06"),
        (0.1, b"0.1"),
        (-0.0, b"-0.0"),
        (3e-5, b"3e-05"),
        (123456.0, b"123456.0"),
        (16777216.0, b"16777216.0"),
        (float("nan"), b"NaN"),
        (float("inf"), b"Infinity"),
        (float("-inf"), b"-Infinity"),
    )
    def test_floats_show_that_they_are(self, value, text):
        for dtype in (np.float32, np.float64):
            self.assertEqual(
                self.write(y=np.array(value, dtype)),
                b'{"outputs":' + text + b"}",
            )

    def test_floats_are_as_short_as_their_type_allows(self):
        third = self.write(y=np.array([1 / 3], np.float32))
        self.assertEqual(third, b'{"outputs":[0.33333334]}')
        third = self.write(y=np.array([1 / 3], np.float64))
        self.assertEqual(third, b'{"outputs":[0.3333333333333333]}')

    @parameterized.parameters(np.float32, np.float64)
    def test_floats_read_back_equal(self, dtype):
        bits = np.random.default_rng(0).integers(0, 256, 8 * 500, np.uint8)
        values = bits.view(dtype)
        values = values[np.isfinite(values)]
        text = self.write(y=values)
        self.assertAllEqual(
            np.array(json.loads(text)["outputs"]).astype(dtype), values
        )

    def test_strings_named_bytes_are_written_as_base64(self):
        png = np.array([[b"hello"], [b""]], object)
        self.assertEqual(
            self.write(image_bytes=png),
            b'{"outputs":[[{"b64":"aGVsbG8="}],[{"b64":""}]]}',
        )
        self.assertEqual(self.write(x_bytes=np.array([1])), b'{"outputs":[1]}')

    def test_several_outputs_are_named(self):
        text = self.write(b=np.array([[1], [2]]), a=np.array(3))
        self.assertEqual(text, b'{"outputs":{"a":3,"b":[[1],[2]]}}')

    def test_row_form_has_one_prediction_for_each_example(self):
        text = self.write(is_row=True, y=np.array([[1, 2], [3, 4]]))
        self.assertEqual(text, b'{"predictions":[[1,2],[3,4]]}')
        text = self.write(
            is_row=True, b=np.array([[1], [2]]), a=np.array([3, 4])
        )
        self.assertEqual(
            text, b'{"predictions":[{"a":3,"b":[1]},{"a":4,"b":[2]}]}'
        )

    def test_row_form_of_no_examples_is_empty(self):
        text = self.write(is_row=True, y=np.zeros([0, 2]))
        self.assertEqual(text, b'{"predictions":[]}')

    def test_row_form_writes_images(self):
        image = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
        text = self.write(is_row=True, image=image)
        self.assertAllEqual(json.loads(text)["predictions"], image)

    def test_scalars_have_no_row_form(self):
        self.assertStatus(
            "Tensor name: total has no shape information ",
            json_tensors.write_outputs,
            {"total": np.float32(1), "y": np.array([1])},
            True,
        )

    def test_examples_must_be_as_many_in_each_output(self):
        self.assertStatus(
            "Tensor name: b has inconsistent batch size: 3 expecting: 2",
            json_tensors.write_outputs,
            {"c": np.zeros(4), "b": np.zeros(3), "a": np.zeros(2)},
            True,
        )

    @parameterized.parameters(
        (np.float16, "half"), (np.uint16, "uint16"), (np.complex64, "complex64")
    )
    def test_other_types_cannot_be_written(self, dtype, name):
        for is_row in (True, False):
            self.assertStatus(
                f"Failed to write JSON value for tensor type: {name}",
                json_tensors.write_outputs,
                {"a": np.zeros([1]), "y": np.zeros([1], dtype)},
                is_row,
            )

    def test_bfloat16_cannot_be_written(self):
        self.assertStatus(
            "Failed to write JSON value for tensor type: bfloat16",
            json_tensors.write_outputs,
            {"y": tf.zeros([1], tf.bfloat16).numpy()},
            False,
        )

    def test_no_outputs_are_told(self):
        self.assertStatus(
            "Cannot convert empty tensor map to JSON",
            json_tensors.write_outputs,
            {},
            True,
        )


if __name__ == "__main__":
    tf.test.main()
