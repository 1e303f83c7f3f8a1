"""Paints what fills the picture: sky, mountains, forest, ground, water."""

import numpy as np

from oasis_tf.data.toy_scenes import classes
from oasis_tf.data.toy_scenes.appearance import ROADS
from oasis_tf.data.toy_scenes.appearance import SNOW
from oasis_tf.data.toy_scenes.blending import mix
from oasis_tf.data.toy_scenes.blending import planes
from oasis_tf.data.toy_scenes.blending import saturate
from oasis_tf.data.toy_scenes.canvas import ellipse
from oasis_tf.data.toy_scenes.canvas import puffs
from oasis_tf.data.toy_scenes.textures import noise
from oasis_tf.data.toy_scenes.textures import octaves


def paint_sky(scene):
    canvas = scene.canvas
    down = saturate(canvas.y / scene.layout.horizon)
    down = down + 0.06 * noise(scene.rng, (5, 3), canvas.y, canvas.u)
    color = mix(scene.time.zenith, scene.time.horizon, saturate(down) ** 1.5)
    if scene.time.is_dark:
        stars = noise(scene.rng, (100, 100), canvas.y, canvas.u)
        color = mix(color, (0.9, 0.9, 0.8), saturate(stars * 12 - 10.5))
    canvas.image[...] = color
    canvas.label_map[...] = classes.SKY


def paint_sun(scene, sun):
    canvas = scene.canvas
    distance = ellipse(
        canvas.x - sun.u * canvas.aspect,
        canvas.y - sun.y,
        sun.radius,
        sun.radius,
    )
    glow = 0.6 * np.exp(-np.maximum(distance, 0) / (1.3 * sun.radius))
    canvas.blend(-1.0, scene.time.disc, opacity=glow)
    color = planes(scene.time.disc)
    if scene.time.is_dark:
        spots = noise(
            scene.rng,
            (5, 5),
            (canvas.y - sun.y) / sun.radius / 2 + 0.5,
            (canvas.x - sun.u * canvas.aspect) / sun.radius / 2 + 0.5,
        )
        color = mix(color, (0.72, 0.74, 0.74), np.clip(spots, 0, 0.7))
    canvas.fill(distance, color, classes.SUN)


def paint_cloud(scene, cloud):
    center = cloud.u * scene.canvas.aspect
    reach = np.max(np.abs(cloud.puffs[:, 0]) + cloud.puffs[:, 2])
    top = np.max(cloud.puffs[:, 2] - cloud.puffs[:, 1])
    canvas = scene.canvas.window(
        center - reach, cloud.y - top, center + reach, cloud.y
    )
    x = canvas.x - center
    y = canvas.y - cloud.y
    distance, facing = puffs(x, y, cloud.puffs, scene.layout.light_side, -1)
    distance = np.maximum(distance, y)
    billows = noise(scene.rng, (8, 16), 1 + y / top, x / reach / 2 + 0.5)
    lit = saturate(0.45 - 0.6 * y / top + 0.5 * facing + 0.12 * billows)
    color = mix(scene.time.cloud_shade, scene.time.cloud, lit)
    canvas.fill(distance, color, classes.CLOUD)


def paint_mountains(scene, mountains):
    canvas = scene.canvas
    flanks = mountains.flanks(canvas.u)  # [n, W]
    front = np.argmin(flanks, axis=0)
    ridge, second = np.sort(flanks, axis=0)[:2, np.newaxis]
    below = canvas.y - ridge
    # A crest zigzags down from each peak and parts sunlit rock from shaded.
    crest = octaves(scene.rng, (8, 4), canvas.y, canvas.u, 2)
    off_crest = canvas.u - mountains.peak_u[front] + 0.07 * crest
    facets = octaves(scene.rng, (20, 28), canvas.y, canvas.u, 2)
    side = np.tanh(off_crest * 30) * np.exp(-4 * np.abs(off_crest))
    side = side * saturate(20 * (second - ridge))  # No seam in a valley.
    brightness = 0.85 + 0.32 * side * scene.layout.light_side + 0.16 * facets
    snow_line = (0.02 + 0.5 * scene.season.snow) * (0.3 + 0.15 * facets)
    snow = saturate((snow_line - below) * 30) * (scene.season.snow > 0)
    color = mix(scene.appearance.rock, SNOW, snow) * brightness
    depth = 0.55 - 0.6 * np.clip(below, 0, 0.5)
    canvas.fill(-below, scene.lit(color, depth), classes.MOUNTAIN)


def paint_forest(scene, forest):
    canvas = scene.canvas
    top = scene.layout.horizon - forest.top(canvas.u[0])[np.newaxis]
    season = scene.season
    crowns = octaves(scene.rng, (40, 64), canvas.y, canvas.u, 2)
    if scene.appearance.is_coniferous:
        color = mix(
            planes(season.conifer) * 0.9,
            SNOW,
            0.45 * season.snow * saturate(crowns + 0.5),
        )
    else:
        groves = noise(scene.rng, (12, 24), canvas.y, canvas.u)
        first, _, second = season.foliage
        color = mix(first, second, saturate(0.5 + 1.5 * groves)) * 0.85
    shade = 0.85 + 0.35 * crowns - 3 * np.clip(canvas.y - top - 0.02, 0, 0.1)
    color = color * np.clip(shade, 0.3, 1.3)
    canvas.fill(top - canvas.y, scene.lit(color, 0.45), classes.FOREST)


def paint_grass(scene):
    canvas = scene.canvas
    season = scene.season
    near = saturate(scene.near)
    # Rows lie closer together the farther away they are.
    rows = near / (near + 0.35) * 1.35
    patches = octaves(scene.rng, (6, 4), rows, canvas.u, 2)
    blades = noise(scene.rng, (40, 128), rows, canvas.u)
    color = mix(season.grass, season.dry_grass, saturate(0.5 + patches))
    shade = 1 + (0.04 + 0.14 * near) * blades * (1 - 0.7 * (season.snow > 0.5))
    color = color * (shade + 0.06 * patches)
    if season.flowers:
        buds = noise(scene.rng, (50, 90), rows, canvas.u)
        petals = mix((1.0, 0.9, 0.4), (1.0, 0.97, 1.0), patches > 0)
        color = mix(color, petals, saturate(buds * 6 - 4.3) * near**0.3)
    roll = scene.layout.hills(canvas.u)
    canvas.fill(
        scene.layout.horizon + roll - canvas.y,
        scene.lit(color, near * 0.8 + 0.2),
        classes.GRASS,
    )


def paint_road(scene, road):
    canvas = scene.canvas
    near = scene.near
    across = (canvas.u - road.center(near)) / road.width(near)  # -1 to 1.
    rows = saturate(near)
    rows = rows / (rows + 0.2) * 1.2
    grit = noise(scene.rng, (60, 100), rows, canvas.u)
    color = planes(ROADS[scene.appearance.road])
    color = color * (1 + 0.1 * grit)
    if scene.appearance.road == "asphalt":
        dash = (np.sin(9 / (np.maximum(near, 0) + 0.12)) > 0) & (near > 0.05)
        line = dash * saturate(1.5 - np.abs(across) / 0.06)
        color = mix(color, (0.95, 0.93, 0.85), line)
    elif scene.appearance.road == "dirt":
        tracks = np.exp(-(((np.abs(across) - 0.5) / 0.2) ** 2))
        color = color * (1.1 - 0.25 * tracks)
    else:
        color = color * (1 + 0.12 * grit - 0.12 * across**4)
    slush = saturate(np.abs(across) * 2.5 - 1.7 + grit * 0.4)
    color = mix(color, SNOW, slush * 0.5 * (scene.season.snow > 0.5))
    distance = road.distance(canvas.u, near)
    verge = scene.lit(planes(scene.season.dry_grass) * 0.8, near)
    canvas.blend(distance - 0.012, verge, opacity=0.5, softness=0.02)
    canvas.fill(distance, scene.lit(color, rows), classes.ROAD)


def paint_water(scene, water):
    canvas = scene.canvas
    near = saturate(scene.near)
    rows = near / (near + 0.25) * 1.25
    ripples = noise(scene.rng, (70, 14), rows, canvas.u)
    swell = noise(scene.rng, (24, 5), rows, canvas.u)

    # The mirror image of what stands above the horizon, broken by ripples.
    height, width = canvas.label_map.shape
    mirrored = 2 * scene.layout.horizon - canvas.y + 0.05 * ripples * near
    mirror_row = np.clip(np.abs(mirrored) * height, 0, height - 1).astype(int)
    reflection = canvas.image[:, mirror_row, np.arange(width)]

    tint = scene.lit(scene.appearance.water, 0.5 + 0.5 * near)
    color = mix(tint, reflection, 0.58 - 0.33 * near + 0.08 * swell)
    color = color * (1 + 0.14 * swell)
    crests = saturate(ripples * 2.2 - 1) * 0.4
    color = mix(color, scene.time.horizon, crests)

    distance = water.distance(canvas.u, scene.near)
    bank = planes(scene.season.dry_grass) * planes((0.80, 0.72, 0.62))
    canvas.blend(
        distance - 0.012, scene.lit(bank, near), opacity=0.8, softness=0.01
    )
    canvas.fill(distance, color, classes.WATER)
