"""SavedModels of the generator and the segmenter, as a server loads them."""

import io
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import parameterized
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from oasis_tf import config as config_lib
from oasis_tf.data.image import to_float
from oasis_tf.data.image import to_uint8
from oasis_tf.data.label_map import one_hot
from oasis_tf.data.label_map import restore
from oasis_tf.data.toy_scenes import Builder
from oasis_tf.evaluation import miou
from oasis_tf.exporters import saved_model
from oasis_tf.exporters.served_generator import ServedGenerator
from oasis_tf.models import noise as noise_lib
from oasis_tf.models.discriminator import Discriminator
from oasis_tf.models.generator import Generator
from oasis_tf.models.generator import build_generator
from tests import tiny
from tests import trained

SEMANTIC_CHANNELS = tiny.SEMANTIC_CHANNELS
TOP = SEMANTIC_CHANNELS - 1
SCENES = tiny.batch(size=3)
LABEL_MAP = SCENES["label_map"]  # [3, 16, 16]
SEED = np.array([1, 2, 3])
SIGNATURES = [
    "describe",
    "resample",
    "resample_from_noise",
    "resample_png",
    "serving_default",
    "synthesize",
    "synthesize_from_3d_noise",
    "synthesize_from_noise",
    "synthesize_places",
    "synthesize_png",
]


def generator(noise_channels=2):
    """Returns a generator whose images differ by noise and labels."""
    model = Generator(
        SEMANTIC_CHANNELS,
        channels=(8, 8, 4),
        noise_channels=noise_channels,
        spade_channels=4,
    )
    model.build()
    return lively(model)


def lively(model):
    rng = np.random.default_rng(0)
    for variable in model.variables:
        if variable.path.endswith("moving_variance"):
            continue
        variable.assign(rng.normal(0, 0.5, variable.shape))
    return model


def png(array, **options):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, "PNG", **options)
    return file.getvalue()


def halves():
    """Returns label maps of two regions."""
    label_map = np.zeros([3, 32, 32], np.int32)
    for i, column in enumerate((8, 15, 26)):
        label_map[i, :, column:] = i + 1
    return label_map


def decode(files):
    return [np.array(Image.open(io.BytesIO(file))) for file in files]


class SavedModelTest(tf.test.TestCase, parameterized.TestCase):
    @classmethod
    def temporary(cls):
        return tf.test.TestCase.get_temp_dir(cls("test_session"))

    def ask(self, signature, **inputs):
        """Returns the only output of a signature."""
        tensors = {
            name: tf.constant(value, dtype=self.dtypes[signature][name])
            for name, value in inputs.items()
        }
        [output] = self.model.signatures[signature](**tensors).values()
        return output.numpy()

    @property
    def dtypes(self):
        return {
            name: {
                k: spec.dtype
                for k, spec in function.structured_input_signature[1].items()
            }
            for name, function in self.model.signatures.items()
        }

    def assert_refused(self, message, signature, **inputs):
        with self.assertRaisesRegex(tf.errors.InvalidArgumentError, message):
            self.ask(signature, **inputs)


class GeneratorTest(SavedModelTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.generator = generator()
        # Kept by the class, as its functions need it.
        cls.folder = saved_model.export_generator(
            cls.generator, tiny.CONFIG, Builder.INFO, cls.temporary(), 7
        )
        cls.model = tf.saved_model.load(str(cls.folder))

    def synthesize(self, label_map, seed):
        return self.ask("synthesize", label_map=label_map, seed=seed)

    def drawn(self, noise):
        """Returns what the Keras model draws of `LABEL_MAP`."""
        semantic_map = one_hot(LABEL_MAP, SEMANTIC_CHANNELS)
        return to_uint8(self.generator(noise, semantic_map)).numpy()

    def noise(self, seed):
        z = noise_lib.sample_z(tf.zeros([2], tf.int32), tf.constant(seed), 2)
        return noise_lib.global_noise(z, (16, 16))

    def test_has_all_signatures(self):
        self.assertCountEqual(self.model.signatures, SIGNATURES)

    def test_draws_what_the_keras_model_draws_bit_for_bit(self):
        image = self.synthesize(LABEL_MAP, SEED)
        self.assertEqual(image.dtype, np.uint8)
        self.assertGreater(np.ptp(image), 50)
        self.assertAllEqual(image, self.drawn(self.noise(SEED)))

    def test_regions_are_looked_up_to_the_same_picture(self):
        regions = halves()
        mask = np.zeros([3, 32, 32])
        mask[:, :20] = 1
        looks = [
            noise_lib.global_noise(
                noise_lib.sample_z(tf.zeros([2], tf.int32), seeds, 2), (32, 32)
            )
            for seeds in (tf.constant(SEED), tf.constant(SEED + 9))
        ]
        for image, noise in (
            (self.synthesize(regions, SEED), looks[0]),
            (
                self.ask(
                    "resample",
                    label_map=regions,
                    seed=SEED,
                    local_seed=SEED + 9,
                    noise_mask=mask,
                ),
                tf.where(mask[..., None] == 1, looks[1], looks[0]),
            ),
        ):
            semantic_map = one_hot(regions, SEMANTIC_CHANNELS)
            expected = to_uint8(self.generator(noise, semantic_map)).numpy()
            self.assertGreater(np.ptp(image), 50)
            # Sums of another order: rounding may fall to the next level.
            difference = np.abs(image / 1.0 - expected)
            self.assertLessEqual(difference.max(), 1)
            self.assertLess(difference.mean(), 0.01)

    def test_image_among_others_of_another_form_is_the_same(self):
        scattered = np.random.default_rng(0).integers(0, 11, [2, 32, 32])
        label_map = np.int32([scattered[0], halves()[0], scattered[1]])
        together = self.synthesize(label_map, SEED)
        for i in range(3):
            alone = self.synthesize(label_map[i, None], SEED[i, None])
            difference = np.abs(alone[0] / 1.0 - together[i])
            self.assertLessEqual(difference.max(), 1)
            self.assertLess(difference.mean(), 0.01)

    def test_holds_each_weight_once_and_nothing_of_the_power_iteration(self):
        saved = tf.train.list_variables(
            str(self.folder / "variables/variables")
        )
        num_saved = sum(
            np.prod(shape, dtype=int)
            for name, shape in saved
            if not name.startswith("_CHECKPOINTABLE")
        )
        num_weights = sum(
            v.numpy().size
            for v in self.generator.variables
            if v.name not in ("u", "v")
        )
        # And the counter of `tf.train.Checkpoint`.
        self.assertAllInRange(num_saved - num_weights, 0, 1)

    def test_default_signature_is_synthesize(self):
        image = self.ask("serving_default", label_map=LABEL_MAP, seed=SEED)
        self.assertAllEqual(image, self.synthesize(LABEL_MAP, SEED))

    def test_same_seed_gives_the_same_image_in_any_batch(self):
        batch = self.synthesize(LABEL_MAP, [5, 6, 7])
        alone = self.synthesize(LABEL_MAP[1:2], [6])
        turned = self.synthesize(LABEL_MAP[::-1], [7, 6, 5])
        self.assertAllClose(batch[1:2], alone, atol=1)
        self.assertAllClose(batch, turned[::-1], atol=1)

    def test_another_seed_gives_another_image(self):
        image = self.synthesize(np.stack([LABEL_MAP[0]] * 2), [5, 2**40])
        self.assertGreater(np.abs(image[0] / 1.0 - image[1]).max(), 10)

    def test_takes_other_sizes_and_batches(self):
        image = self.synthesize(np.zeros([1, 8, 32], np.int32), [0])
        self.assertEqual(image.shape, (1, 8, 32, 3))

    def test_from_noise_is_what_the_generator_draws(self):
        z = np.random.default_rng(1).normal(size=[3, 2]).astype(np.float32)
        image = self.ask("synthesize_from_noise", label_map=LABEL_MAP, z=z)
        expected = self.drawn(noise_lib.global_noise(z, (16, 16)))
        self.assertAllEqual(image, expected)

    def test_from_3d_noise_is_what_the_generator_draws(self):
        noise = np.random.default_rng(1).normal(size=[3, 16, 16, 2])
        noise = noise.astype(np.float32)
        image = self.ask(
            "synthesize_from_3d_noise", label_map=LABEL_MAP, noise=noise
        )
        self.assertAllEqual(image, self.drawn(noise))

    def test_places_have_noise_of_their_own(self):
        rng = np.random.default_rng(1)
        z = rng.normal(size=[3, 4, 2]).astype(np.float32)
        place_map = rng.integers(0, 4, [3, 16, 16]).astype(np.int32)
        image = self.ask(
            "synthesize_places", label_map=LABEL_MAP, z=z, place_map=place_map
        )
        noise = np.stack([z[i][place_map[i]] for i in range(3)])
        self.assertAllEqual(image, self.drawn(noise))

    @parameterized.parameters(-1, 4)
    def test_place_without_a_vector_is_told(self, place):
        place_map = np.zeros([3, 16, 16], np.int32)
        place_map[1, 2, 3] = place
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, f"place_map.*0..P-1.*{place}"
        ):
            self.ask(
                "synthesize_places",
                label_map=LABEL_MAP,
                z=np.zeros([3, 4, 2], np.float32),
                place_map=place_map,
            )

    def resample(self, mask):
        return self.ask(
            "resample",
            label_map=LABEL_MAP,
            seed=SEED,
            local_seed=SEED + 9,
            noise_mask=mask,
        )

    def test_resample_takes_the_local_noise_where_the_mask_is_1(self):
        mask = np.zeros([3, 16, 16])
        mask[:, 4:12, 2:9] = 1
        noise = tf.where(
            mask[..., None] == 1, self.noise(SEED + 9), self.noise(SEED)
        )
        self.assertAllEqual(self.resample(mask), self.drawn(noise))

    @parameterized.parameters((0, 0), (1, 9))
    def test_resample_by_one_mask_is_synthesize(self, value, difference):
        image = self.resample(np.full([3, 16, 16], value))
        self.assertAllEqual(
            image, self.synthesize(LABEL_MAP, SEED + difference)
        )

    def test_resample_goes_along_the_arc_in_between(self):
        noise = noise_lib.interpolate_spherically(
            self.noise(SEED), self.noise(SEED + 9), 0.25
        )
        self.assertAllEqual(
            self.resample(np.full([3, 16, 16], 0.25)), self.drawn(noise)
        )

    def test_resample_from_noise_is_resample(self):
        mask = np.zeros([3, 16, 16])
        mask[:, :5] = 1
        base = tf.zeros([2], tf.int32)
        image = self.ask(
            "resample_from_noise",
            label_map=LABEL_MAP,
            z=noise_lib.sample_z(base, tf.constant(SEED), 2),
            z_local=noise_lib.sample_z(base, tf.constant(SEED + 9), 2),
            noise_mask=mask,
        )
        self.assertAllEqual(image, self.resample(mask))

    @parameterized.parameters(8, 4)
    def test_files_draw_as_arrays(self, bits):
        files = [
            png(Image.fromarray(ids), bits=bits)
            for ids in restore(LABEL_MAP, Builder.INFO)
        ]
        drawn = self.ask("synthesize_png", label_map_bytes=files, seed=SEED)
        self.assertAllEqual(decode(drawn), self.synthesize(LABEL_MAP, SEED))

    @parameterized.parameters(None, 0, bytes([7, 7]), bytes([0, 9, 9]))
    def test_palette_files_draw_by_their_numbers(self, transparency):
        files = []
        for ids in restore(LABEL_MAP, Builder.INFO):
            image = Image.fromarray(ids, "P")
            image.putpalette([9, 9, 9] * 20)  # All of one colour.
            options = {"transparency": transparency}
            files.append(png(image, **options) if transparency else png(image))
        drawn = self.ask("synthesize_png", label_map_bytes=files, seed=SEED)
        self.assertAllEqual(decode(drawn), self.synthesize(LABEL_MAP, SEED))

    def test_files_of_several_sizes_are_one_batch(self):
        ids = restore(LABEL_MAP, Builder.INFO)
        files = [png(ids[0]), png(ids[1, :8]), png(ids[2])]
        drawn = decode(
            self.ask("synthesize_png", label_map_bytes=files, seed=SEED)
        )
        self.assertEqual(drawn[1].shape, (8, 16, 3))
        self.assertAllEqual(
            drawn[1], self.synthesize(LABEL_MAP[1:2, :8], SEED[1:2])[0]
        )
        self.assertAllEqual(
            drawn[2], self.synthesize(LABEL_MAP[2:], SEED[2:])[0]
        )

    def resample_files(self, masks):
        return decode(
            self.ask(
                "resample_png",
                label_map_bytes=[
                    png(ids) for ids in restore(LABEL_MAP, Builder.INFO)
                ],
                seed=SEED,
                local_seed=SEED + 9,
                noise_mask_bytes=masks,
            )
        )

    def test_mask_files_are_white_or_bright_or_drawn_on_nothing(self):
        mask = np.zeros([16, 16], np.uint8)
        mask[3:9] = 1
        layer = np.zeros([16, 16, 4], np.uint8)
        layer[3:9] = 10, 20, 30, 255
        files = [png(mask * 255), png(mask), png(layer)]
        self.assertAllEqual(
            self.resample_files(files), self.resample(np.stack([mask] * 3))
        )

    @parameterized.parameters(-1, TOP + 1)
    def test_label_out_of_range_is_told_with_its_value(self, label):
        label_map = LABEL_MAP.copy()
        label_map[2, 3, 4] = label
        self.assert_refused(
            rf"label_map: labels must be in 0\.\.{TOP}; got.*\[{label}\]",
            "synthesize",
            label_map=label_map,
            seed=SEED,
        )

    def test_id_that_is_none_is_told(self):
        ids = restore(LABEL_MAP[0], Builder.INFO)
        ids[5, 6] = 99
        self.assert_refused(
            r"label_map_bytes: ids must be among 0\.\.10; got.*\[99\]",
            "synthesize_png",
            label_map_bytes=[png(ids)],
            seed=[0],
        )

    @parameterized.parameters(((16, 15),), ((0, 16),))
    def test_wrong_size_is_told(self, size):
        self.assert_refused(
            r"label_map: .* multiples of 2; got\] \[{}\] \[{}\]".format(*size),
            "synthesize",
            label_map=np.zeros([1, *size]),
            seed=[0],
        )

    @parameterized.parameters(
        (b"", "must be a PNG file"),
        (b"hello" * 30, "must be a PNG file"),
        (png(np.zeros([16, 16, 3], np.uint8)), "ids.*kind.*RGB"),
        (png(np.zeros([16, 10], np.uint8) + 1)[:60], "Invalid PNG"),
        (png(np.zeros([15, 16], np.uint8)), r"multiples of 2; got.*15.*16"),
        (png(np.zeros([3000, 3000], np.uint8)), "at most 1048576; got.*3000"),
    )
    def test_files_that_are_no_label_map_are_told(self, file, message):
        self.assert_refused(
            message, "synthesize_png", label_map_bytes=[file], seed=[0]
        )

    def test_size_of_a_bomb_is_read_without_decoding_it(self):
        file = bytearray(png(np.zeros([16, 16], np.uint8)))
        file[16:24] = bytes([0x7F, 0xFF, 0xFF, 0xFE] * 2)
        self.assert_refused(
            "at most 1048576; got.*2147483646",
            "synthesize_png",
            label_map_bytes=[bytes(file)],
            seed=[0],
        )

    def test_mask_of_another_size_is_told(self):
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "noise_mask: must have the height"
        ):
            self.resample(np.zeros([3, 16, 14]))
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, "noise_mask_bytes: must have the"
        ):
            self.resample_files([png(np.zeros([16, 14], np.uint8))] * 3)

    def test_mask_beyond_0_and_1_is_told(self):
        with self.assertRaisesRegex(
            tf.errors.InvalidArgumentError, r"noise_mask: must be in 0\.\.1"
        ):
            self.resample(np.full([3, 16, 16], 255))

    def test_wrong_noise_channels_are_refused(self):
        self.assert_refused(
            "", "synthesize_from_noise", label_map=LABEL_MAP, z=np.zeros([3, 5])
        )

    @parameterized.parameters(
        ("synthesize", "seed", [1]),
        ("synthesize_from_noise", "z", np.zeros([1, 2])),
    )
    def test_needs_an_entry_for_each_label_map(self, signature, name, value):
        self.assert_refused(
            f"{name}: must have an entry for each of label_map",
            signature,
            label_map=LABEL_MAP,
            **{name: value},
        )

    def test_describes_itself(self):
        keys = ["dataset_info", "signatures", "model"]
        texts = self.ask("describe", key=keys)
        info, signatures, model = map(json.loads, texts)
        self.assertEqual(info["class_names"], list(Builder.INFO.class_names))
        self.assertEqual(model["size_multiple"], 2)
        self.assertCountEqual(signatures, set(SIGNATURES) - {"serving_default"})
        for name, signature in signatures.items():
            self.assertCountEqual(signature["inputs"], self.dtypes[name])
            for argument in signature["inputs"].values():
                self.assertNotEmpty(argument["doc"])
        for key, text in zip(keys, texts, strict=True):
            asset = self.folder / f"assets.extra/{key}.json"
            self.assertEqual(asset.read_text(), text.decode())
        self.assert_refused(
            "must be one of.*nonsense", "describe", key=["nonsense"]
        )

    def test_warm_up_asks_every_signature(self):
        asked = set()
        path = str(self.folder / "assets.extra/tf_serving_warmup_requests")
        for record in tf.data.TFRecordDataset(path):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            inputs = {
                name: tf.make_ndarray(tensor)
                for name, tensor in request.inputs.items()
            }
            self.ask(request.model_spec.signature_name, **inputs)
            asked.add(request.model_spec.signature_name)
        self.assertEqual(
            asked, set(SIGNATURES) - {"serving_default", "describe"}
        )

    def test_loads_where_keras_and_oasis_tf_cannot_be_imported(self):
        code = (
            "import sys\n"
            "sys.modules['keras'] = sys.modules['oasis_tf'] = None\n"
            "import tensorflow as tf\n"
            "model = tf.saved_model.load(sys.argv[1])\n"
            "image = model.signatures['synthesize'](\n"
            "    label_map=tf.zeros([1, 16, 16], tf.int32),\n"
            "    seed=tf.constant([3], tf.int64))['image']\n"
            "print(int(tf.reduce_sum(tf.cast(image, tf.int32))))\n"
        )
        process = subprocess.run(
            [sys.executable, "-c", code, self.folder],
            capture_output=True,
            text=True,
            cwd=self.get_temp_dir(),
        )
        self.assertEqual(process.returncode, 0, process.stderr)
        image = self.synthesize(np.zeros([1, 16, 16]), [3])
        self.assertEqual(int(process.stdout), image.astype(int).sum())

    def test_a_version_that_is_there_is_kept(self):
        before = {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")}
        again = saved_model.export_generator(
            self.generator, tiny.CONFIG, Builder.INFO, self.folder.parent, 7
        )
        self.assertEqual(again, self.folder)
        after = {p: p.stat().st_mtime_ns for p in self.folder.rglob("*")}
        self.assertEqual(after, before)

    def test_nothing_is_left_where_saving_fails(self):
        directory = pathlib.Path(self.get_temp_dir()) / "export"
        save = tf.saved_model.save

        def fail(module, path, **kwargs):
            save(tf.Module(), path)
            raise OSError("No space left on device")

        with mock.patch.object(tf.saved_model, "save", fail):
            with self.assertRaisesRegex(OSError, "No space"):
                saved_model.export_generator(
                    self.generator, tiny.CONFIG, Builder.INFO, directory, 1
                )
        self.assertEmpty(list(directory.iterdir()))


class OptionsTest(SavedModelTest):
    def export(self, **options):
        folder = saved_model.export_generator(
            generator(),
            tiny.CONFIG,
            Builder.INFO,
            tempfile.mkdtemp(dir=self.get_temp_dir()),
            1,
            **options,
        )
        self.model = tf.saved_model.load(str(folder))
        return folder

    @parameterized.parameters(("float16", 1), ("bfloat16", 8))
    @pytest.mark.slow
    def test_weights_of_half_the_size_draw_almost_the_same(self, dtype, near):
        self.export()
        image = self.ask("synthesize", label_map=LABEL_MAP, seed=SEED)
        self.export(weights=dtype)
        kernels = [
            v
            for v in self.model.signatures["synthesize"].variables
            if "kernel" in v.name
        ]
        self.assertNotEmpty(kernels)
        self.assertEqual({v.dtype.name for v in kernels}, {dtype})
        again = self.ask("synthesize", label_map=LABEL_MAP, seed=SEED)
        self.assertLess(np.abs(again / 1.0 - image).mean(), near)
        self.assertNotAllEqual(again, image)

    def test_files_may_be_jpeg(self):
        self.export(image_format="jpeg")
        files = self.ask(
            "synthesize_png",
            label_map_bytes=[png(restore(LABEL_MAP[0], Builder.INFO))],
            seed=[1],
        )
        image = Image.open(io.BytesIO(files[0]))
        self.assertEqual((image.format, image.size), ("JPEG", (16, 16)))

    def test_limit_of_pixels(self):
        self.export(max_pixels=767)
        self.assert_refused(
            r"at most 767; got\] \[3\] \[16\] \[16\]",
            "synthesize",
            label_map=LABEL_MAP,
            seed=SEED,
        )

    @pytest.mark.slow
    def test_files_beyond_the_limit_are_drawn_one_by_one(self):
        files = [png(ids) for ids in restore(LABEL_MAP, Builder.INFO)]
        self.export()
        together = self.ask("synthesize_png", label_map_bytes=files, seed=SEED)
        self.export(max_pixels=256)
        singly = self.ask("synthesize_png", label_map_bytes=files, seed=SEED)
        self.assertAllEqual(decode(singly), decode(together))

    def test_dense_form_looks_up_nothing(self):
        self.export(form="dense")
        z = np.float32([[1, -1], [0, 2], [-2, 1]])
        label_map = halves()
        image = self.ask("synthesize_from_noise", label_map=label_map, z=z)
        noise = noise_lib.global_noise(z, (32, 32))
        semantic_map = one_hot(label_map, SEMANTIC_CHANNELS)
        expected = generator()(noise, semantic_map)
        self.assertAllEqual(image, to_uint8(expected))
        graph = self.model.signatures["synthesize"].graph.as_graph_def()
        kinds = {
            node.op
            for function in graph.library.function
            for node in function.node_def
        }
        self.assertIn("Conv2D", kinds)
        self.assertNotIn("Unique", kinds)

    def test_wide_kernels_are_stored_for_winograds_convolution(self):
        config = tiny.config(generator={"channels": (128, 128, 64)})
        wide = trained.calm_generator(config)
        z = np.float32([[1, -1], [0, 2], [-2, 1]])
        label_map = halves()
        folder = saved_model.export_generator(
            wide, config, Builder.INFO, self.get_temp_dir(), 1
        )
        self.model = tf.saved_model.load(str(folder))
        ranks = {
            v.name: len(v.shape)
            for v in self.model.signatures["synthesize"].variables
        }
        self.assertEqual(ranks["generator/block_0/conv_0/kernel:0"], 3)
        self.assertEqual(ranks["generator/block_1/conv_0/kernel:0"], 4)
        image = self.ask("synthesize_from_noise", label_map=label_map, z=z)
        noise = noise_lib.global_noise(z, (32, 32))
        expected = to_uint8(wide(noise, one_hot(label_map, SEMANTIC_CHANNELS)))
        self.assertAllClose(image, expected, rtol=0, atol=1)

    @parameterized.parameters(
        ({}, "winograd", {3, 4}),
        ({"convolutions": "direct"}, "direct", {4}),
        ({"weights": "float16"}, "direct", {4}),
    )
    def test_default_goes_by_the_weights(self, options, convolutions, ranks):
        config = tiny.config(generator={"channels": (128, 128, 64)})
        wide = build_generator(config.generator, SEMANTIC_CHANNELS)
        served = ServedGenerator(
            wide, Builder.INFO, "image", config.image_size, **options
        )
        self.assertEqual(served.facts()["convolutions"], convolutions)
        found = {len(v.shape) for v in served.weights if "/conv_0/" in v.name}
        self.assertEqual(found - {1}, ranks)

    def test_winograd_goes_with_float32_only(self):
        with self.assertRaisesRegex(ValueError, "weights='float16'"):
            self.export(weights="float16", convolutions="winograd")

    @parameterized.parameters("weights", "image_format", "form", "convolutions")
    def test_other_choices_are_refused(self, option):
        with self.assertRaisesRegex(ValueError, f"`{option}` must be one of"):
            self.export(**{option: "int4"})


class NoiseTest(tf.test.TestCase):
    def assert_draws(self, noise, kind):
        """Asserts that the images are those of some noise, of any size."""
        model = generator(noise.shape[-1])
        config = tiny.config(generator={"noise": kind})
        served = ServedGenerator(model, Builder.INFO, kind, config.image_size)
        image = served.compile()["synthesize"](LABEL_MAP, SEED)["image"]
        expected = model(noise, one_hot(LABEL_MAP, SEMANTIC_CHANNELS))
        self.assertAllEqual(image, to_uint8(expected))
        return served

    def test_pixel_noise_differs_by_pixel_and_seed(self):
        noise = noise_lib.sample_pixel_noise(
            tf.constant([0, 0]), tf.constant(SEED), (16, 16), 2
        )
        self.assert_draws(noise, "pixel")

    def test_without_noise_the_seed_does_not_matter(self):
        served = self.assert_draws(tf.zeros([3, 16, 16, 0]), "none")
        self.assertCountEqual(
            served.signatures, ["synthesize", "synthesize_png"]
        )


class SegmenterTest(SavedModelTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.discriminator = Discriminator(
            SEMANTIC_CHANNELS, channels=(4, 8), last_channels=4
        )
        cls.discriminator.build()
        lively(cls.discriminator)
        cls.folder = saved_model.export_segmenter(
            cls.discriminator, tiny.CONFIG, Builder.INFO, cls.temporary(), 7
        )
        cls.model = tf.saved_model.load(str(cls.folder))

    def test_segments_as_the_discriminator(self):
        image = SCENES["image"]
        labels = self.ask("segment", image=image)
        logits = self.discriminator(to_float(tf.constant(image)))
        self.assertAllEqual(labels, miou.segment(logits, False))
        self.assertGreater(len(np.unique(labels)), 2)
        self.assertAllEqual(self.ask("serving_default", image=image), labels)

    def test_files_segment_as_arrays(self):
        image = SCENES["image"]
        files = self.ask("segment_png", image_bytes=[png(i) for i in image])
        labels = self.ask("segment", image=image)
        self.assertAllEqual(decode(files), restore(labels, Builder.INFO))

    def test_takes_jpegs_of_several_sizes(self):
        files = []
        for image in (SCENES["image"][0], SCENES["image"][1, :8]):
            file = io.BytesIO()
            Image.fromarray(image).save(file, "JPEG")
            files.append(file.getvalue())
        labels = decode(self.ask("segment_png", image_bytes=files))
        self.assertEqual([a.shape for a in labels], [(16, 16), (8, 16)])

    def test_bad_images_are_told(self):
        self.assert_refused(
            "image: .* multiples of 4",
            "segment",
            image=np.zeros([1, 16, 15, 3]),
        )
        self.assert_refused(
            "image_bytes: must be a PNG or JPEG",
            "segment_png",
            image_bytes=[b"GIF89a" + bytes(90)],
        )

    def test_config_lies_beside(self):
        text = (self.folder / "assets.extra/config.json").read_text()
        self.assertEqual(config_lib.from_json(text), tiny.CONFIG)


if __name__ == "__main__":
    tf.test.main()
